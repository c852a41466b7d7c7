"""Probes of frozen features: weighted k-NN and a linear classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import normalize

from snnssl_mm.probing.features import LabelledFeatures

MANY_CLASSES = 10  # top-5 is reported for more classes than this
CHUNK = 2**26  # similarities computed at once: 256 MiB of float32


class Neighbours(NamedTuple):
    """Nearest training images of each test image, the nearest first.

    Attributes:
        distances: ``[m, k]``, 1 - cosine similarity.
        labels: ``[m, k]``, classes of the training images.
        indices: ``[m, k]``, indices of the training images.
    """

    distances: np.ndarray
    labels: np.ndarray
    indices: np.ndarray


def find_neighbours(
    features: LabelledFeatures, k: int, device: str | None = None
) -> Neighbours:
    """Find the nearest training images by cosine similarity (exhaustive search).

    Args:
        features: Features of the training set (the neighbours) and the test set.
        k: Number of neighbours, at most the size of the training set.
        device: Device on which torch searches. By default the GPU; without one,
            scikit-learn searches on all cores.

    Raises:
        ValueError: If ``k`` is below 1.
    """
    if k < 1:
        raise ValueError(f"k-NN needs k >= 1 neighbours, got k={k}")
    (train, labels), (test, _) = features
    k = min(k, len(labels))
    if device is None and torch.cuda.is_available():
        device = "cuda"
    if device is None:
        search = NearestNeighbors(n_neighbors=k, metric="cosine", n_jobs=-1)
        distances, indices = search.fit(train).kneighbors(test)
    else:
        distances, indices = search_by_torch(train, test, k, device)
    return Neighbours(distances, labels[indices], indices)


def search_by_torch(
    train: np.ndarray, test: np.ndarray, k: int, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return distances and indices ``[m, k]`` of the nearest rows of ``train``.

    Args:
        train: Features ``[n, C]`` to search in; all are moved to the device.
        test: Features ``[m, C]`` to search for, processed in chunks.
        k: Number of neighbours.
        device: Name of the device.
    """
    bank = normalize(torch.from_numpy(train).to(device)).T
    parts = []
    for chunk in torch.from_numpy(test).split(max(1, CHUNK // len(train))):
        found = (normalize(chunk.to(device)) @ bank).topk(k)
        parts.append((1 - found.values.cpu().numpy(), found.indices.cpu().numpy()))
    distances, indices = zip(*parts, strict=True)
    return np.concatenate(distances), np.concatenate(indices)


def knn_scores(
    neighbours: Neighbours, classes: int, k: int, temperature: float
) -> np.ndarray:
    """Score classes by votes of the nearest ``k`` with weight exp(similarity / T).

    Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
    Discrimination", CVPR 2018. The weights of each test image are divided by that of
    its nearest neighbour, which changes no vote and prevents overflow.

    Args:
        neighbours: At least ``k`` for each test image, or all that exist.
        classes: Number of classes.
        k: Number of neighbours that vote.
        temperature: Temperature T of the weights.

    Returns:
        Scores ``[m, classes]``.

    Raises:
        ValueError: If the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"k-NN needs a temperature above 0, got {temperature}")
    distances = neighbours.distances[:, :k].astype(np.float64)
    weights = np.exp((distances[:, :1] - distances) / temperature)
    scores = np.zeros((len(weights), classes))
    rows = np.arange(len(weights))
    for weight, label in zip(weights.T, neighbours.labels[:, :k].T, strict=True):
        scores[rows, label] += weight
    return scores


def fit_linear(features: LabelledFeatures, max_iter: int = 500) -> Pipeline:
    """Fit logistic regression on standardised features of the training set.

    Args:
        features: Features of a training and a test set; the latter is not used.
        max_iter: Iterations of the solver (L-BFGS).

    Returns:
        The fitted estimator: ``fit_linear(features).score(*features.test)``.
    """
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=max_iter))
    return probe.fit(*features.train)


def linear_scores(
    features: LabelledFeatures, classes: int, max_iter: int = 500
) -> np.ndarray:
    """Predict probabilities ``[m, classes]`` of the test set by :func:`fit_linear`.

    Classes without a training image get probability 0.

    Args:
        features: Features of a training and a test set.
        classes: Number of classes.
        max_iter: Iterations of the solver (L-BFGS).
    """
    probe = fit_linear(features, max_iter)
    scores = np.zeros((len(features.test[1]), classes))
    scores[:, probe.classes_] = probe.predict_proba(features.test[0])
    return scores


def frozen_probe(
    probe: str, settings: Mapping[str, Any], features: LabelledFeatures, classes: int
) -> dict[str, float]:
    """Evaluate features by a probe; return the result of :func:`accuracies`.

    Args:
        probe: ``'knn'`` or ``'linear'``.
        settings: ``k`` and ``temperature``, or ``max_iter``.
        features: Features of a training and a test set.
        classes: Number of classes.
    """
    if probe == "knn":
        k = settings["k"]
        neighbours = find_neighbours(features, k)
        scores = knn_scores(neighbours, classes, k, settings["temperature"])
    else:
        scores = linear_scores(features, classes, settings["max_iter"])
    return accuracies(scores, features.test[1])


def count_classes(features: LabelledFeatures) -> int:
    """Return the number of classes: the largest label plus one."""
    return 1 + max(int(labels.max()) for _, labels in features)


def accuracies(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Compute top-1 accuracy, and top-5 for more than ten classes, from 0 to 1.

    A class with score 0 was not predicted and does not count among the five.

    Args:
        scores: Scores ``[m, classes]``, not negative.
        labels: Classes ``[m]``.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = order == labels[:, None]
    result = {"top1": float(hits[:, 0].mean())}
    if scores.shape[1] > MANY_CLASSES:
        predicted = scores[np.arange(len(labels)), labels] > 0
        result["top5"] = float((hits[:, :5].any(axis=1) & predicted).mean())
    return result


def knn_accuracy(
    features: LabelledFeatures, k: int = 20, temperature: float = 0.07
) -> float:
    """Compute the top-1 accuracy of a weighted k-NN; see :func:`knn_scores`.

    Args:
        features: Features of the training set (the neighbours) and the test set.
        k: Number of neighbours, at most the size of the training set.
        temperature: Temperature T of the weights.
    """
    neighbours = find_neighbours(features, k)
    scores = knn_scores(neighbours, count_classes(features), k, temperature)
    return accuracies(scores, features.test[1])["top1"]


def linear_accuracy(features: LabelledFeatures, max_iter: int = 500) -> float:
    """Compute the top-1 accuracy of logistic regression; see :func:`linear_scores`."""
    scores = linear_scores(features, count_classes(features), max_iter)
    return accuracies(scores, features.test[1])["top1"]
