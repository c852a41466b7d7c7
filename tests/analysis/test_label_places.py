"""Labels of boxes cover no other label and stay in the image."""

from hypothesis import given
from hypothesis import strategies as st

from snnssl_mm.analysis.plots.label_places import overlap, place_labels

IMAGE = (100.0, 80.0)
box = st.tuples(*[st.floats(0, 1)] * 4).map(
    lambda v: (90 * v[0], 70 * v[1], 90 * v[0] + 10 * v[2], 70 * v[1] + 10 * v[3])
)


@given(st.lists(box, max_size=12))
def test_labels_cover_nothing(boxes):
    places = place_labels(boxes, [(20.0, 6.0)] * len(boxes), IMAGE)
    shown = [place for place in places if place]
    for index, place in enumerate(shown):
        assert min(place) >= 0
        assert place[2] <= IMAGE[0] + 1e-9
        assert place[3] <= IMAGE[1] + 1e-9
        assert all(overlap(place, other) == 0 for other in shown[:index])


def test_two_boxes_on_one_object_have_both_their_labels():
    found = place_labels([(40, 40, 60, 60), (41, 41, 60, 60)], [(20, 6)] * 2, IMAGE)
    assert all(found)


def test_a_lonely_label_stands_above_its_box():
    assert place_labels([(10, 30, 40, 50)], [(20, 6)], IMAGE) == [(10, 24, 30, 30)]
