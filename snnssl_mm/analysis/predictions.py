"""Predictions of downstream networks next to the ground truth."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from matplotlib import patheffects
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch, Rectangle
from mmengine.config import Config
from mmengine.runner import Runner

from snnssl_mm.analysis.event_pictures import colored, recording_of
from snnssl_mm.analysis.plots.label_places import Box, place_labels
from snnssl_mm.analysis.plots.plot_style import QUIET, SMALL, WIDTH, styled_figure
from snnssl_mm.checkpoints.preprocessing import transforms_named
from snnssl_mm.datasets.events.frames import EventFrames
from snnssl_mm.datasets.loading import read_image
from snnssl_mm.probing import load_trained_model

TRUTH = {"mmdet": "annotated boxes", "mmseg": "annotated classes"}
"""Scopes whose predictions are drawn, and the title of the ground truth's column."""

FONT = 7.0  # points; size of names and scores in the images
PICTURE = "picture"
"""Entry of a data sample's metainfo with the picture of a recording."""
SHOWN = 15
"""Largest number of drawn boxes per image, those with the highest scores."""
CELL = (1.35, 2.6)
"""Smallest and largest width of an image, in inches."""
HALO = [patheffects.withStroke(linewidth=1.5, foreground="black")]


class Column(NamedTuple):
    """A column of the picture.

    Attributes:
        title: Heading of the column.
        samples: mmdet's or mmseg's data samples, one per row.
        metainfo: ``classes`` and ``palette`` (RGB) of their dataset. A class named
            ``'background'`` is not drawn.
        truth: Whether to draw the annotations instead of the predictions.
    """

    title: str
    samples: Sequence[Any]
    metainfo: dict[str, Any]
    truth: bool = False


def columns_of(models: Sequence[tuple[str, Config, str]], count: int) -> list[Column]:
    """Predict with every model on the same test images.

    Args:
        models: Title, config and checkpoint of each. The first model of a task also
            gives the column of the ground truth.
        count: Number of images.

    Raises:
        ValueError: If a config is not for detection or segmentation, or the weights do
            not fit.
    """
    for _, cfg, _ in models:
        require_task(cfg)
    columns: list[Column] = []
    scopes = set()
    for title, cfg, checkpoint in models:
        network = load_trained_model(cfg, checkpoint)
        loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
        samples = predict(network, loader, count)
        for index, sample in enumerate(samples if reads_recordings(cfg) else ()):
            sample.set_metainfo({PICTURE: counts_of(loader.dataset, index)})
        metainfo = loader.dataset.metainfo
        if cfg.default_scope not in scopes:
            truth = TRUTH[cfg.default_scope]
            columns.append(Column(truth, samples, metainfo, truth=True))
            scopes.add(cfg.default_scope)
        columns.append(Column(title, samples, metainfo))
    return columns


def require_task(cfg: Config) -> None:
    """Refuse a config that is not for detection or segmentation.

    Raises:
        ValueError: If it has another scope or no ``test_dataloader``.
    """
    if cfg.get("default_scope") not in TRUTH or not cfg.get("test_dataloader"):
        raise ValueError(
            f"{cfg.filename} is not a config of mmdet or mmseg with a test_dataloader "
            f"(default_scope={cfg.get('default_scope')!r}); give a config of detection "
            "or segmentation"
        )


def reads_recordings(cfg: Config) -> bool:
    """Tell whether the test pipeline loads recordings of an event camera."""
    return bool(transforms_named(cfg.test_dataloader, "LoadEvents"))


def counts_of(dataset: Any, index: int) -> np.ndarray:
    """Draw all events of a recording as one picture, RGB ``[H, W, 3]``."""
    frames = EventFrames(1)({"recording": recording_of(dataset, index)})["img"]
    return np.array(colored(frames)[0])


def picture_of(sample: Any) -> np.ndarray:
    """Return the picture of a data sample: that of its events, or its image file."""
    found = sample.get(PICTURE)
    return read_image(sample.img_path) if found is None else np.array(found)


@torch.no_grad()
def predict(model: Any, loader: Any, count: int) -> list[Any]:
    """Predict the first ``count`` images of a test loader; return the data samples."""
    samples: list[Any] = []
    for batch in islice(loader, -(-count // loader.batch_size)):
        samples += model.test_step(batch)
    return samples[:count]


def plot_predictions(columns: Sequence[Column], out: Path, score: float = 0.3) -> Path:
    """Draw images in rows, and the ground truth and predictions in columns.

    Args:
        columns: Ground truth and predictions for the same images.
        out: Picture to write.
        score: Lowest score of a drawn box.
    """
    first = picture_of(columns[0].samples[0])
    cell = float(np.clip(WIDTH / len(columns), *CELL))
    size = (cell * first.shape[0] / first.shape[1]) * len(columns[0].samples)
    maps = [column for column in columns if "pred_sem_seg" in column.samples[0]]
    found = classes_in(maps)
    foot = (0.3 if len(maps) < len(columns) else 0.0) + (0.35 if found else 0.0)
    width = cell * len(columns)
    letters = int(cell * 72 / (0.6 * SMALL))  # in the width of a column
    titles = [textwrap.fill(column.title, letters) for column in columns]
    head = 0.3 + 0.17 * max(title.count("\n") for title in titles)
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, hspace=0, wspace=0)
    with styled_figure(out, size + head + foot, width, layout, images=True) as figure:
        axes = figure.subplots(len(columns[0].samples), len(columns), squeeze=False)
        for title, column, line in zip(titles, columns, axes.T, strict=True):
            line[0].set_title(title, fontsize=SMALL, loc="center")
            for axis, sample in zip(line, column.samples, strict=True):
                draw(axis, sample, column, score, cell)
        if len(maps) < len(columns):
            text = f"boxes: class and score, from a score of {score:g} on"
            figure.supxlabel(text, fontsize=SMALL, color=QUIET, x=0.01, ha="left")
        if found:
            handles = [
                Patch(color=tuple(color), label=name) for name, color in found.items()
            ]
            figure.legend(
                handles=handles, loc="outside lower right", ncols=10,
                handlelength=0.9, columnspacing=1.0, handletextpad=0.4,
            )  # fmt: skip
    return out


def classes_in(columns: Sequence[Column]) -> dict[str, np.ndarray]:
    """Return names and colours of the classes in label maps; empty if more than 20."""
    found: dict[str, np.ndarray] = {}
    for column in columns:
        classes, colors = column.metainfo["classes"], column.metainfo["palette"]
        for sample in column.samples:
            shown = sample.gt_sem_seg if column.truth else sample.pred_sem_seg
            for label in np.unique(shown.data.cpu().numpy()):
                if label < len(classes) and classes[label] != "background":
                    found[classes[label]] = np.array(colors[label]) / 255
    names = [*dict.fromkeys(n for c in columns for n in c.metainfo["classes"])]
    return {name: found[name] for name in names if name in found and len(found) <= 20}


def draw(
    axis: Any, sample: Any, column: Column, score: float, width: float = CELL[1]
) -> None:
    """Draw one image, ``width`` inches wide, with its boxes or its label image."""
    image = picture_of(sample)
    axis.imshow(image, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    colors = np.array(column.metainfo["palette"]) / 255
    classes = column.metainfo["classes"]
    if "pred_sem_seg" in sample:
        found = sample.gt_sem_seg if column.truth else sample.pred_sem_seg
        overlay(axis, found.data[0].cpu().numpy(), classes, colors)
        return
    instances = sample.gt_instances if column.truth else sample.pred_instances
    scale = np.tile(sample.get("scale_factor", (1, 1)) if column.truth else (1, 1), 2)
    if not column.truth:
        order = instances.scores.argsort(descending=True)[:SHOWN]
        instances = instances[order[instances.scores[order] >= score]]
    if not len(instances):  # also if no annotations were loaded
        return
    corners = getattr(instances.bboxes, "tensor", instances.bboxes).tolist()
    boxes: list[Box] = []
    texts: list[str] = []
    for index in range(len(instances)):
        label = int(instances.labels[index])
        left, top, right, bottom = corners[index] / scale
        boxes.append((left, top, right, bottom))
        texts.append(str(classes[label]))
        if not column.truth:
            texts[-1] += f" {float(instances.scores[index]):.2f}"
            if "masks" in instances:
                mask = np.asarray(instances.masks[index].cpu())
                cover(axis, mask, colors[label])
        draw_box(axis, boxes[-1], colors[label])
    pixel = image.shape[1] / (72 * width)  # image pixels in a point
    sizes = [((0.62 * len(t) + 0.2) * FONT * pixel, 1.15 * FONT * pixel) for t in texts]
    places = place_labels(boxes, sizes, image.shape[1::-1])
    for text, place, label in zip(texts, places, instances.labels, strict=True):
        if place:
            x, y = place[0] + 0.1 * FONT * pixel - 0.5, place[3] - 0.2 * FONT * pixel
            color = lighter(colors[int(label)])
            style = dict(color=color, path_effects=HALO, fontsize=FONT, clip_on=True)
            axis.text(x, y - 0.5, text, ha="left", va="baseline", **style)


def lighter(color: np.ndarray) -> np.ndarray:
    """Mix a colour with white, so that text is legible on dark and bright images."""
    mixed: np.ndarray = 0.4 * color + 0.6
    return mixed


def cover(axis: Any, mask: np.ndarray, color: np.ndarray) -> None:
    """Draw a colour over the pixels of a boolean mask."""
    axis.imshow(np.multiply.outer(mask, [*color, 0.5]), interpolation="nearest")


def draw_box(axis: Any, box: Box, color: np.ndarray) -> None:
    """Draw a box (x1, y1, x2, y2)."""
    x, y, right, bottom = np.array(box) - 0.5  # from edges to matplotlib's centres
    axis.add_patch(
        Rectangle((x, y), right - x, bottom - y, fill=False, color=color, linewidth=1.2)
    )


def overlay(
    axis: Any, labels: np.ndarray, classes: Sequence[str], colors: np.ndarray
) -> None:
    """Draw the colours of a label image over an image, and name the larger regions."""
    shown = np.zeros((*labels.shape, 4))
    parts = []
    for label in np.unique(labels):
        if label >= len(classes) or classes[label] == "background":
            continue
        shown[labels == label] = [*colors[label], 0.75]
        count, _, stats, centers = cv2.connectedComponentsWithStats(
            (labels == label).astype(np.uint8)
        )
        for part in range(1, count):
            area = int(stats[part, cv2.CC_STAT_AREA])
            parts.append((area, *centers[part], str(classes[label])))
    axis.imshow(shown, interpolation="nearest")
    apart = 0.12 * labels.shape[1]  # about the width of a name
    named: list[tuple[float, float]] = []
    for area, x, y, name in sorted(parts, reverse=True):
        near = any(np.hypot(x - a, y - b) < apart for a, b in named)
        if near or area < 0.004 * labels.size:
            continue
        named.append((x, y))
        style = dict(ha="center", va="center", path_effects=HALO, fontsize=FONT)
        axis.text(x, y, name, color="white", clip_on=True, **style)
