"""What downstream networks predict on the same scenes, beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import cv2
import numpy as np
import torch
from matplotlib import patheffects
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from snnssl_mm.datasets.loading import read_image

MIN_AREA = 8
"""Pixels of a part of a label image that is worth its class's name."""

OUTLINE = [patheffects.withStroke(linewidth=1.5, foreground="black")]


class Column(NamedTuple):
    """A column of the picture.

    Attributes:
        title: Its heading.
        samples: mmdet's or mmseg's data samples, one a row.
        metainfo: Of their dataset: ``classes`` and ``palette`` (RGB). A class named
            ``'background'`` is not drawn.
        truth: Whether to draw the annotations instead of the predictions.
    """

    title: str
    samples: Sequence[Any]
    metainfo: dict[str, Any]
    truth: bool = False


@torch.no_grad()
def predict(model: Any, loader: Any, count: int) -> list[Any]:
    """Data samples of the first ``count`` images of a test loader, predictions in."""
    samples: list[Any] = []
    for batch in islice(loader, -(-count // loader.batch_size)):
        samples += model.test_step(batch)
    return samples[:count]


def plot_predictions(columns: Sequence[Column], out: Path, score: float = 0.3) -> Path:
    """Draw images in rows, and what each column found on them.

    Args:
        columns: Truth and predictions; every one has the same images.
        out: Picture to write.
        score: Boxes below this score are not drawn.
    """
    rows = len(columns[0].samples)
    figure, axes = plt.subplots(
        rows,
        len(columns),
        figsize=(1.9 * len(columns), 1.9 * rows + 0.3),
        squeeze=False,
        constrained_layout=True,
    )
    for axis_row, samples in zip(
        axes, zip(*(column.samples for column in columns), strict=True), strict=True
    ):
        for axis, sample, column in zip(axis_row, samples, columns, strict=True):
            draw(axis, sample, column, score)
    for axis, column in zip(axes[0], columns, strict=True):
        axis.set_title(column.title, fontsize=9)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130)
    plt.close(figure)
    return out


def draw(axis: Any, sample: Any, column: Column, score: float) -> None:
    """Draw one image with its boxes or its label image."""
    image = read_image(sample.img_path)
    axis.imshow(image, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    classes = column.metainfo["classes"]
    colors = np.array(column.metainfo["palette"]) / 255
    if "pred_sem_seg" in sample:
        found = sample.gt_sem_seg if column.truth else sample.pred_sem_seg
        overlay(axis, found.data[0].cpu().numpy(), classes, colors)
        return
    instances = sample.gt_instances if column.truth else sample.pred_instances
    scale = np.tile(sample.get("scale_factor", (1, 1)) if column.truth else (1, 1), 2)
    for index in range(len(instances)):
        if column.truth or instances.scores[index] >= score:
            if "masks" in instances and not column.truth:
                mask = np.asarray(instances.masks[index].cpu())
                cover(axis, mask, colors[int(instances.labels[index])])
            box = instances.bboxes[index].cpu().numpy() / scale
            label = int(instances.labels[index])
            draw_box(axis, box, classes[label], colors[label])


def cover(axis: Any, mask: np.ndarray, color: np.ndarray) -> None:
    """Lay a colour over the pixels of a boolean mask."""
    axis.imshow(np.multiply.outer(mask, [*color, 0.6]), interpolation="nearest")


def draw_box(axis: Any, box: np.ndarray, name: str, color: np.ndarray) -> None:
    """Draw a box [x1, y1, x2, y2] and the name of its class."""
    x, y, right, bottom = box - 0.5  # from pixel edges to matplotlib's pixel centres
    axis.add_patch(
        Rectangle((x, y), right - x, bottom - y, fill=False, color=color, linewidth=1.2)
    )
    place = dict(ha="left", va="bottom", fontsize=8, clip_on=True)
    axis.text(x, max(y, 3), name, color=color, path_effects=OUTLINE, **place)


def overlay(
    axis: Any, labels: np.ndarray, classes: Sequence[str], colors: np.ndarray
) -> None:
    """Lay the colours of a label image over an image, and write the classes' names."""
    shown = np.zeros((*labels.shape, 4))
    for label in np.unique(labels):
        if label >= len(classes) or classes[label] == "background":
            continue
        shown[labels == label] = [*colors[label], 0.75]
        count, _, stats, centers = cv2.connectedComponentsWithStats(
            (labels == label).astype(np.uint8)
        )
        for part in range(1, count):
            if stats[part, cv2.CC_STAT_AREA] >= MIN_AREA:
                style = dict(ha="center", va="center", path_effects=OUTLINE)
                name = classes[label]
                axis.text(*centers[part], name, color="white", fontsize=8, **style)
    axis.imshow(shown, interpolation="nearest")
