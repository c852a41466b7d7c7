"""Nearest neighbours of unseen images in feature space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snnssl_mm.analysis.event_pictures import colored
from snnssl_mm.analysis.plots.picture_grid import label_row, picture_grid, write_title
from snnssl_mm.analysis.plots.plot_style import BLUE, RED
from snnssl_mm.probing.features import Arrays, LabelledFeatures
from snnssl_mm.probing.frozen_probes import find_neighbours


def to_pictures(inputs: np.ndarray) -> np.ndarray:
    """Turn inputs into pictures ``[N, H, W, 3]`` from 0 to 1.

    Args:
        inputs: Images ``[N, 3, H, W]``, or clips ``[N, T, C, H, W]``, whose mean over
            time is drawn; of events, see :func:`.event_pictures.colored`.
    """
    if inputs.ndim == 5:
        inputs = inputs.mean(1)
    if inputs.shape[1] == 2:
        return colored(inputs - inputs.min()) / 255
    pictures = inputs.transpose(0, 2, 3, 1)
    low, high = np.quantile(pictures, [0.001, 0.999])
    return np.clip((pictures - low) / (high - low), 0, 1)


def plot_neighbours(
    features: LabelledFeatures,
    pictures: tuple[np.ndarray, np.ndarray],
    out: Path,
    rows: int = 10,
    columns: int = 8,
    names: Sequence[str] = (),
) -> Path:
    """Draw test images next to their nearest training images by cosine similarity.

    Args:
        features: Features of training and test images.
        pictures: Training and test images ``[n, H, W, 3]`` in 0..1.
        out: Picture to write. A neighbour of another class has a dashed frame and its
            class above it.
        rows: Number of test images, taken from every class in turn.
        columns: Number of neighbours.
        names: Names of the classes.
    """
    (train_x, train_y), (test_x, test_y) = features
    seen_before = [np.sum(test_y[:i] == label) for i, label in enumerate(test_y)]
    queries = np.argsort(seen_before, kind="stable")[:rows]
    queries = queries[np.argsort(test_y[queries], kind="stable")]
    columns = min(columns, len(train_x))
    asked = LabelledFeatures(features.train, Arrays(test_x[queries], test_y[queries]))
    _, classes, neighbours = find_neighbours(asked, columns)

    right = int(np.sum(classes == test_y[queries][:, None]))
    heading = (
        "Unseen images and their nearest training images in feature space\n"
        f"{right} of these {neighbours.size} neighbours are of the same class (solid "
        "blue); dashed orange: another class, its name above"
    )
    size = (len(queries), columns + 1, pictures[0].shape[1:3])
    with picture_grid(out, *size, left=1.1, heading=heading) as (_, axes):
        write_title(axes[0, 0], "unseen")
        for row, (query, found) in enumerate(zip(queries, neighbours, strict=True)):
            own = test_y[query]
            show(axes[row, 0], pictures[1][query], "black")
            label_row(axes[row, 0], f"class {names[own] if names else own}")
            for axis, index in zip(axes[row, 1:], found, strict=True):
                other = train_y[index]
                show(axis, pictures[0][index], BLUE if other == own else RED)
                if other != own:
                    axis.spines[:].set(linestyle=(0, (2, 2)), capstyle="butt")
                    write_title(axis, str(names[other] if names else other))
    return out


def show(axis: Any, picture: np.ndarray, frame: str) -> None:
    """Show a small picture in a coloured frame."""
    axis.imshow(picture, interpolation="nearest")
    axis.spines[:].set(color=frame, linewidth=2, visible=True)
