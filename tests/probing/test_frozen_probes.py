"""k-NN and linear probe against formulas in float64 and cases counted by hand."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from snnssl_mm.probing import LabelledFeatures, fit_linear, linear_accuracy
from snnssl_mm.probing.frozen_probes import (
    accuracies,
    find_neighbours,
    frozen_probe,
    knn_scores,
    linear_scores,
)


def random_features(train=60, test=25, classes=4, channels=8, seed=0):
    """Overlapping classes, float32 as a network's features are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, channels))
    parts = []
    for count in (train, test):
        labels = np.arange(count) % classes
        points = centres[labels] + rng.normal(size=(count, channels))
        parts.append((points.astype(np.float32), labels))
    return LabelledFeatures(*parts)


def plain_scores(features, classes, k, temperature):
    """The formula, image by image, with nothing in common with the package."""
    (train, labels), (test, _) = features
    train, test = train.astype(np.float64), test.astype(np.float64)
    result = np.zeros((len(test), classes))
    for row, query in enumerate(test):
        similarity = [
            query @ other / np.linalg.norm(query) / np.linalg.norm(other)
            for other in train
        ]
        nearest = sorted(range(len(train)), key=lambda i: -similarity[i])[:k]
        for index in nearest:
            result[row, labels[index]] += np.exp(similarity[index] / temperature)
    return result


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (20, 0.07), (200, 1.0)])
def test_knn_is_the_formula(device, k, temperature):
    features = random_features()
    found = knn_scores(find_neighbours(features, k, device), 4, k, temperature)
    expected = plain_scores(features, 4, k, temperature)
    shares, expected = (s / s.sum(1, keepdims=True) for s in (found, expected))
    np.testing.assert_allclose(shares, expected, atol=1e-5)
    assert 0.3 < accuracies(found, features.test[1])["top1"] < 1


def test_torch_and_scikit_learn_find_the_same_neighbours(monkeypatch):
    features = random_features()
    expected = find_neighbours(features, 7)
    monkeypatch.setattr("snnssl_mm.probing.frozen_probes.CHUNK", 120)  # 2 images each
    found = find_neighbours(features, 7, "cpu")
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.distances, expected.distances, atol=1e-6)


def test_fewer_of_many_neighbours_vote_like_fewer_neighbours():
    features = random_features()
    many, few = (find_neighbours(features, k) for k in (30, 5))
    np.testing.assert_array_equal(
        knn_scores(many, 4, 5, 0.07), knn_scores(few, 4, 5, 0.07)
    )


def test_a_low_temperature_is_the_nearest_neighbour_and_does_not_overflow():
    features = random_features()
    scores = knn_scores(find_neighbours(features, 20), 4, 20, 1e-6)
    nearest = find_neighbours(features, 1).labels[:, 0]
    np.testing.assert_array_equal(scores.argmax(1), nearest)


@pytest.mark.parametrize("k", [0, -3])
def test_without_neighbours_there_is_no_vote(k):
    with pytest.raises(ValueError, match=f"k={k}"):
        find_neighbours(random_features(), k)


@pytest.mark.parametrize("temperature", [0, -0.07, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    neighbours = find_neighbours(random_features(), 3)
    with pytest.raises(ValueError, match=f"temperature.*{temperature}"):
        knn_scores(neighbours, 4, 3, temperature)


def test_linear_probe_is_logistic_regression_on_standardised_features():
    features = random_features()
    (train, labels), (test, test_labels) = features
    mean, deviation = train.mean(0), train.std(0)
    plain = LogisticRegression(max_iter=500).fit((train - mean) / deviation, labels)
    expected = plain.predict_proba((test - mean) / deviation)
    np.testing.assert_allclose(linear_scores(features, 4), expected, atol=1e-3)
    accuracy = fit_linear(features).score(test, test_labels)
    assert accuracy == linear_accuracy(features)
    assert 0.3 < accuracy < 1


def test_scale_of_a_feature_does_not_matter_to_the_linear_probe():
    features = random_features()
    factors = np.array([1, 1e-3, 1e3, 7, 1, 1, 50, 1], np.float32)
    scaled = LabelledFeatures(*((x * factors, labels) for x, labels in features))
    np.testing.assert_allclose(
        linear_scores(scaled, 4), linear_scores(features, 4), atol=1e-3
    )


def test_a_class_without_training_images_is_never_predicted():
    features = random_features()
    kept = features.train[1] != 2
    part = LabelledFeatures(tuple(x[kept] for x in features.train), features.test)
    scores = linear_scores(part, 4)
    assert (scores[:, 2] == 0).all()
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-6)
    assert (scores.argmax(1)[features.test[1] == 2] != 2).all()


def test_top_1_and_top_5_counted_by_hand():
    scores = np.zeros((4, 11))
    scores[:, :6] = [6, 5, 4, 3, 2, 1]
    assert accuracies(scores, np.array([0, 4, 5, 9])) == {"top1": 0.25, "top5": 0.5}
    # A class that nobody voted for is no prediction, even if the others are fewer.
    only = np.zeros((2, 11))
    only[:, 7] = 1
    assert accuracies(only, np.array([7, 0])) == {"top1": 0.5, "top5": 0.5}
    assert accuracies(scores[:, :10], np.array([0, 4, 5, 9])) == {"top1": 0.25}


@pytest.mark.parametrize(
    ("probe", "settings"),
    [("knn", {"k": 5, "temperature": 0.1}), ("linear", {"max_iter": 50})],
)
def test_settings_reach_the_probe(probe, settings):
    features = random_features()
    scores = (
        plain_scores(features, 4, 5, 0.1)
        if probe == "knn"
        else fit_linear(features, 50).predict_proba(features.test[0])
    )
    expected = (scores.argmax(1) == features.test[1]).mean()
    assert frozen_probe(probe, settings, features, 4) == {"top1": expected}
