"""t-SNE plot of the features of unseen images, coloured by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import patheffects
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from snnssl_mm.analysis.plots.plot_style import CLASSES, styled_figure
from snnssl_mm.probing import Loaders, labelled_features
from snnssl_mm.probing.labelled_images import class_count, class_names

Arrays = tuple[np.ndarray, np.ndarray]
NAMED = 20
"""Largest number of named classes; from the eleventh class on, the marker changes."""
HALO = [patheffects.withStroke(linewidth=2.5, foreground="white")]


def embed(features: np.ndarray) -> np.ndarray:
    """Map features ``[n, C]`` to points ``[n, 2]`` by t-SNE of cosine distances.

    van der Maaten & Hinton, "Visualizing Data using t-SNE", JMLR 2008. Initialised by
    the first two principal components, so the result is deterministic.

    Raises:
        ValueError: If there are fewer than 4 samples.
    """
    if len(features) < 4:
        raise ValueError(f"t-SNE needs at least 4 samples, got {len(features)}")
    perplexity = min(30.0, (len(features) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, metric="cosine", init="pca", random_state=0)
    scaled = StandardScaler(with_mean=False).fit_transform(features)
    return np.asarray(tsne.fit_transform(scaled))


def embed_test_images(
    models: Mapping[str, Any], loaders: Loaders
) -> tuple[dict[str, Arrays], list[str]]:
    """Embed the features of several networks for the same test images.

    Args:
        models: Title -> DualPathSSL; not changed.
        loaders: Loaders of training images (for BatchNorm statistics) and test images.

    Returns:
        Title -> points ``[n, 2]`` and classes ``[n]``; and the names of the classes.
    """
    panels = {}
    for title, model in models.items():
        features, labels = labelled_features(model, loaders).test
        panels[title] = embed(features), labels
    names = list(class_names(loaders.test.dataset))
    return panels, names or [str(label) for label in range(class_count(loaders))]


def plot_embedding(
    panels: Mapping[str, Arrays], classes: Sequence[str], out: Path
) -> Path:
    """Draw one panel per network.

    Args:
        panels: Title -> points ``[n, 2]`` and classes ``[n]`` of the same images.
        classes: Names of the classes.
        out: Picture to write.
    """
    with styled_figure(out, 1.1 + 7.6 / max(2, len(panels))) as figure:
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, (title, found) in zip(axes, panels.items(), strict=True):
            draw_points(axis, *found, classes)
            axis.set(title=title, xticks=[], yticks=[])
            axis.spines[:].set(color="0.8", visible=True)
        if len(classes) <= NAMED:
            handles = axes[0].get_legend_handles_labels()
            figure.legend(
                *handles, loc="outside lower center", ncols=10, markerscale=2.5,
                title="class", columnspacing=1.2, handletextpad=0.1,
            )  # fmt: skip
    return out


def draw_points(
    axis: Any, points: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> None:
    """Draw points ``[n, 2]``, and the names of classes that form a cluster."""
    spread = distance(points)
    for label, name in enumerate(classes):
        mine = points[labels == label]
        color = CLASSES[label % len(CLASSES)]
        marker = "o" if label % NAMED < len(CLASSES) else "^"
        style = dict(color=color, marker=marker, linewidths=0)
        axis.scatter(*mine.T, s=7, label=name, **style)
    if len(classes) <= NAMED:
        for label, name in enumerate(classes):
            mine = points[labels == label]
            if len(mine) and distance(mine) < 0.6 * spread:
                middle = np.median(mine, axis=0)
                nearest = mine[np.square(mine - middle).sum(1).argmin()]
                style = dict(ha="center", va="center", fontweight="bold")
                axis.text(*nearest, name, path_effects=HALO, **style)


def distance(points: np.ndarray) -> float:
    """Return the median distance of points from their median."""
    return float(np.median(np.linalg.norm(points - np.median(points, axis=0), axis=1)))
