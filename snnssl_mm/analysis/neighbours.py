"""Nearest neighbours: what a pretrained network finds alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from sklearn.neighbors import NearestNeighbors

from snnssl_mm.engine.probes import LabelledFeatures


def to_pictures(inputs: np.ndarray) -> np.ndarray:
    """Turn inputs ``[N, 3, H, W]`` into pictures ``[N, H, W, 3]`` from 0 to 1."""
    pictures = inputs.transpose(0, 2, 3, 1)
    low, high = np.quantile(pictures, [0.001, 0.999])
    return np.clip((pictures - low) / (high - low), 0, 1)


def plot_neighbours(
    features: LabelledFeatures,
    pictures: tuple[np.ndarray, np.ndarray],
    out: Path,
    rows: int = 10,
    columns: int = 8,
) -> Path:
    """Draw test images beside their nearest training images by cosine similarity.

    Args:
        features: Of training and test images.
        pictures: Training and test images ``[n, H, W, 3]`` in 0..1.
        out: Picture to write. A neighbour of another class has a red frame.
        rows: Number of test images: of every class in turn.
        columns: Number of neighbours.
    """
    (train_x, train_y), (test_x, test_y) = features
    seen_before = [np.sum(test_y[:i] == label) for i, label in enumerate(test_y)]
    queries = np.argsort(seen_before, kind="stable")[:rows]
    queries = queries[np.argsort(test_y[queries], kind="stable")]
    search = NearestNeighbors(n_neighbors=columns, metric="cosine").fit(train_x)
    neighbours = search.kneighbors(test_x[queries], return_distance=False)

    figure, axes = plt.subplots(
        rows,
        columns + 1,
        figsize=(columns + 1.4, rows),
        gridspec_kw={"width_ratios": [1.4] + [1] * columns},
        squeeze=False,
    )
    for row, (query, found) in enumerate(zip(queries, neighbours, strict=True)):
        show(axes[row, 0], pictures[1][query], "black")
        label = str(test_y[query])
        axes[row, 0].set_ylabel(label, rotation=0, labelpad=12, va="center")
        for axis, index in zip(axes[row, 1:], found, strict=True):
            same = train_y[index] == test_y[query]
            show(axis, pictures[0][index], "tab:green" if same else "tab:red")
    axes[0, 0].set_title("unseen", fontsize=9)
    axes[0, 1].set_title("nearest training scenes", fontsize=9, loc="left")
    figure.subplots_adjust(0.05, 0.02, 0.98, 0.95, wspace=0.08, hspace=0.08)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    return out


def show(axis: Any, picture: np.ndarray, frame: str) -> None:
    """Show a small picture in a coloured frame."""
    axis.imshow(picture, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(color=frame, linewidth=2)
