"""Features in the plane: groups that are apart stay apart, and nothing is random."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from snnssl_mm.analysis.feature_embedding import embed, plot_embedding
from snnssl_mm.analysis.plots.plot_style import CLASSES


def two_groups():
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    centres = np.eye(8)[labels] * 5
    return np.abs(centres + generator.normal(0, 0.3, (60, 8))), labels


def test_groups_stay_apart():
    features, labels = two_groups()
    points = embed(features)
    assert points.shape == (60, 2)
    assert KNeighborsClassifier(3).fit(points, labels).score(points, labels) == 1


def test_nothing_is_random():
    features, _ = two_groups()
    np.testing.assert_array_equal(embed(features), embed(features))


def test_dead_dimensions_do_no_harm():
    features, _ = two_groups()
    assert np.isfinite(embed(np.pad(features, ((0, 0), (0, 3))))).all()


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="got 3"):
        embed(np.ones((3, 2)))


def test_picture_shows_every_class_in_its_colour(tmp_path):
    from matplotlib.colors import to_rgb
    from matplotlib.image import imread

    features, labels = two_groups()
    panel = embed(features), labels
    file = plot_embedding({"a": panel, "b": panel}, ["x", "y"], tmp_path / "2.png")
    picture = imread(file)[..., :3]
    for color in CLASSES[:2]:
        assert (np.abs(picture - to_rgb(color)).max(-1) < 0.01).sum() > 100
