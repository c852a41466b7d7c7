"""Features in the plane: groups that are apart stay apart, and nothing is random."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from snnssl_mm.analysis.feature_embedding import embed, plot_embedding


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
    with pytest.raises(ValueError, match="at least 4 samples, got 3"):
        embed(np.ones((3, 2)))


def test_picture_is_as_wide_as_its_panels(tmp_path):
    from matplotlib.image import imread

    features, labels = two_groups()
    panel = embed(features), labels
    one = plot_embedding({"a": panel}, ["x", "y"], tmp_path / "1.png")
    two = plot_embedding({"a": panel, "b": panel}, ["x", "y"], tmp_path / "2.png")
    assert imread(two).shape[1] > 1.5 * imread(one).shape[1]
