#!/usr/bin/env python3
"""Draw the README's picture: from unlabelled scenes to detection and segmentation.

usage: python benchmarks/pipeline_picture.py [work_dirs/demo/seed0] [--out FILE]

Everything in the picture is computed from the checkpoints of a demo.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from mmengine.config import Config
from PIL import Image

from snnssl_mm import compat
from snnssl_mm.analysis.plots.plot_style import ORANGE, QUIET, SKY, styled_figure
from snnssl_mm.analysis.predictions import Column, columns_of, draw
from snnssl_mm.analysis.unseen_views import unseen_views
from snnssl_mm.cli.demo import CONFIG, TRAINED, last_checkpoint
from snnssl_mm.cli.shared.user_errors import run_tool
from snnssl_mm.datasets.loading import read_image
from snnssl_mm.neurons import set_path
from snnssl_mm.probing.probe_models import load_trained_model
from snnssl_mm.recording.spike_recording import neurons_of, outputs_passed_to
from snnssl_mm.recording.two_views import two_view_batches

ROOT = Path(__file__).resolve().parents[1]
SIZE = (8.0, 4.72)  # inches; at 200 dots per inch, 1600 pixels wide
LAYER = "stem.stages.1.neuron"
LEVELS = ("stem.stages.2.neuron", "stem.stages.3.neuron", "blocks.0.mlp.1.neuron")
VIEWED = 3  # the scene of the two views, among those of a batch
DIMENSIONS = 24  # of 512, so that single entries of the correlation can be seen
SCENE = 0  # the scene of the lower half, among the test scenes
BANDS = ("#EEF4FA", "#F8F3E8")
BINARY = ListedColormap(["#0B0F14", SKY])
RATES = LinearSegmentedColormap.from_list("rates", ["#0B0F14", SKY, "white"])
VALUES = LinearSegmentedColormap.from_list("values", ["#0B0F14", ORANGE, "white"])


class Pretraining(NamedTuple):
    """What the upper half shows.

    Attributes:
        scenes: Unlabelled scenes.
        views: Views A and B of one of them.
        spikes: A channel's spikes for view A, ``[T, H, W]``.
        analog: The same channel's analog values for view B, ``[T, H, W]``.
        correlation: Embedding of A at t = 1 with that of B at t = 4.
    """

    scenes: list[np.ndarray]
    views: tuple[np.ndarray, np.ndarray]
    spikes: np.ndarray
    analog: np.ndarray
    correlation: np.ndarray


def to_picture(image: torch.Tensor) -> np.ndarray:
    """Turn ``[3, H, W]`` from 0 to 255 into a picture."""
    return image.permute(1, 2, 0).clamp(0, 255).numpy().astype(np.uint8)


@torch.no_grad()
def embed(model: Any, inputs: torch.Tensor, path: str) -> tuple[Any, Any]:
    """Return a layer's outputs for the viewed image, and all embeddings, on a path."""
    found: dict[str, torch.Tensor] = {}
    set_path(model.backbone, path)
    layer = {LAYER: model.backbone.get_submodule(LAYER)}
    with outputs_passed_to(found.__setitem__, layer):
        embeddings = model.project(inputs)
    return found[LAYER][:, VIEWED], embeddings


def correlate(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    """Return the correlations of the first dimensions over the batch."""
    a, b = ((x - x.mean(0)) / x.std(0, correction=0) for x in (a, b))
    return (a.T @ b / len(a))[:DIMENSIONS, :DIMENSIONS].numpy()


def pretraining(folder: Path) -> Pretraining:
    """Compute the upper half from the checkpoint of the pretraining."""
    cfg = Config.fromfile(ROOT / CONFIG)
    model = load_trained_model(cfg, str(last_checkpoint(folder)))
    views = unseen_views(cfg)
    batches = [*two_view_batches(views.dataset, views.collate, 512)]
    pictures = [batches[0]["inputs"][view][VIEWED] for view in (0, 1)]
    a, b = (torch.cat([x["inputs"][view] for x in batches]) for view in (0, 1))
    data = {"inputs": [a, b], "data_samples": None}
    both = model.data_preprocessor(data, training=False)["inputs"]
    fired, z_a = embed(model, both[0], "spike")
    values, z_b = embed(model, both[1], "analog")
    bright = pictures[0].float().mean(0).flatten()
    rates = fired.mean(0).flatten(1)
    likeness = torch.stack(
        [torch.corrcoef(torch.stack([bright, r]))[0, 1] for r in rates]
    )
    channel = int(torch.nan_to_num(likeness, -1).argmax())
    indices = np.linspace(0, len(views.dataset) - 1, 512).astype(int)[:9]
    originals = [views.dataset.get_data_info(int(index))["img"] for index in indices]
    return Pretraining(
        originals,
        (to_picture(pictures[0]), to_picture(pictures[1])),
        fired[:, channel].numpy(),
        values[:, channel].numpy(),
        correlate(z_a[0], z_b[-1]),
    )


def downstream(folder: Path) -> tuple[list[Column], list[np.ndarray]]:
    """Predict with the demo's detector and segmentor; return the detector's maps too.

    The maps are the share of channels that spike, averaged over time.
    """
    models = []
    for task, config in TRAINED.items():
        checkpoint = last_checkpoint(folder / f"{task}_pretrained")
        models.append((task, Config.fromfile(ROOT / config), str(checkpoint)))
    columns = [column for column in columns_of(models, SCENE + 1) if not column.truth]
    _, cfg, checkpoint = models[0]
    detector = load_trained_model(cfg, checkpoint)
    scene = read_image(columns[0].samples[SCENE].img_path).transpose(2, 0, 1)
    data = {"inputs": [torch.tensor(scene.copy())], "data_samples": None}
    inputs = detector.data_preprocessor(data)
    maps: dict[str, np.ndarray] = {}

    def keep(name: str, output: torch.Tensor) -> None:
        maps[name] = output[:, 0].mean((0, 1)).numpy()

    with torch.no_grad(), outputs_passed_to(keep, neurons_of(detector.backbone)):
        detector.backbone(inputs["inputs"])
    return columns, [maps[name] for name in LEVELS]


class Poster:
    """A figure on which pictures, texts and arrows are placed in inches."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure
        self.canvas = figure.add_axes((0, 0, 1, 1), zorder=-1)
        self.canvas.set(xlim=(0, SIZE[0]), ylim=(0, SIZE[1]), facecolor="white")

    def band(self, y: float, height: float, color: str) -> None:
        """Draw the background of a half."""
        box = FancyBboxPatch(
            (0.1, y), SIZE[0] - 0.2, height, "round,pad=0,rounding_size=0.08",
            facecolor=color, edgecolor="none",
        )  # fmt: skip
        self.canvas.add_patch(box)

    def axes(self, x: float, y: float, side: float, color: str = "white") -> Any:
        """Add square axes without ticks, with their lower left corner at (x, y)."""
        width, height = SIZE
        axis = self.figure.add_axes(
            (x / width, y / height, side / width, side / height)
        )
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(visible=True, color=color, linewidth=1)
        return axis

    def picture(
        self, pixels: np.ndarray, x: float, y: float, side: float, **style: Any
    ) -> None:
        """Show a picture."""
        self.axes(x, y, side).imshow(pixels, interpolation="nearest", **style)

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Write a text centred at x, whose first line begins below y."""
        settings: Any = dict(ha="center", va="baseline", fontsize=8.2)
        lines = text.split("\n")
        for line, words in enumerate(lines):
            self.canvas.text(x, y - 0.11 - 0.13 * line, words, **settings | style)

    def arrow(self, start: Sequence[float], end: Sequence[float], **style: Any) -> None:
        """Draw an arrow."""
        settings: Any = dict(
            arrowstyle="-|>", mutation_scale=11, linewidth=1.6, color="#3A3A3A",
            shrinkA=0, shrinkB=0,
        )  # fmt: skip
        self.canvas.add_patch(FancyArrowPatch(start, end, **settings | style))


def draw_pretraining(poster: Poster, shown: Pretraining) -> None:
    """Draw the upper half."""
    poster.band(2.5, 2.14, BANDS[0])
    title: Any = dict(ha="left", fontsize=11, weight="bold")
    poster.text(0.25, 4.52, "1  Pretrain without labels", **title)
    for index, scene in enumerate(shown.scenes):
        row, column = divmod(index, 3)
        axis = poster.axes(0.25 + 0.42 * column, 3.75 - 0.42 * row, 0.4)
        axis.imshow(scene, interpolation="nearest")
        if index == VIEWED:
            axis.spines[:].set(color=ORANGE, linewidth=2)
    poster.text(0.87, 2.84, "unlabelled scenes")
    top, bottom, side = 3.56, 2.91, 0.6
    for y, view, name in ((top, 0, "view A"), (bottom, 1, "view B")):
        poster.arrow((1.55, 3.5), (1.83, y + side / 2))
        poster.picture(shown.views[view], 1.88, y, side)
        poster.arrow((2.53, y + side / 2), (2.98, y + side / 2))
        at = y + side + 0.14 if view == 0 else y - 0.06
        poster.text(1.88 + side / 2, at, name)
    for y, maps, colors in (
        (top, shown.spikes, BINARY),
        (bottom, shown.analog, VALUES),
    ):
        for step, pixels in enumerate(maps):
            x = 3.05 + 0.65 * step
            poster.picture(pixels, x, y, side, cmap=colors, vmin=0, vmax=1)
            if y == top:
                poster.text(x + side / 2, top + side + 0.14, f"t = {step + 1}")
    poster.text(3.05 + 1.28, top + side + 0.33, "spike path: binary", weight="bold")
    poster.text(
        3.05 + 1.28,
        bottom - 0.06,
        "analog path: smooth, the same weights",
        weight="bold",
    )
    for y in (top, bottom):
        poster.arrow((5.68, y + side / 2), (6.12, 3.52))
    extent = dict(cmap="RdBu_r", vmin=-1, vmax=1)
    poster.picture(shown.correlation, 6.3, 2.92, 1.22, **extent)
    poster.text(6.91, 4.47, "Cross Temporal Loss", weight="bold")
    poster.text(6.91, 4.31, "A at t = 1 with B at t = 4", color=QUIET)
    poster.text(6.91, 2.86, "correlations become 1 on\nthe diagonal, 0 elsewhere")


def draw_transfer(
    poster: Poster, columns: Sequence[Column], maps: Sequence[np.ndarray]
) -> None:
    """Draw the lower half."""
    poster.band(0.08, 2.14, BANDS[1])
    title: Any = dict(ha="left", fontsize=11, weight="bold")
    poster.text(0.25, 2.1, "2  Detect and segment", **title)
    side, y = 1.36, 0.36
    scene = read_image(columns[0].samples[SCENE].img_path)
    poster.picture(scene, 0.25, y, side)
    poster.text(0.25 + side / 2, y - 0.05, "new scene")
    middle = y + side / 2
    poster.arrow((1.68, middle), (2.0, middle))
    x = 2.06
    for pixels, size in zip(maps, (1.1, 0.62, 0.36), strict=True):
        limits = dict(
            zip(("vmin", "vmax"), np.quantile(pixels, (0.02, 0.99)), strict=True)
        )
        poster.picture(pixels, x, middle - size / 2, size, cmap=RATES, **limits)
        x += size + 0.07
    poster.text(3.13, y - 0.05, "pretrained backbone, spikes only")
    for column, left, name in zip(
        columns, (4.85, 6.42), ("mmdet: Mask R-CNN", "mmseg: semantic FPN"), strict=True
    ):
        axis = poster.axes(left, y, side)
        draw(axis, column.samples[SCENE], column, 0.3, side)
        poster.text(left + side / 2, y - 0.05, name)
    poster.arrow((4.35, middle), (4.78, middle))


def pipeline_picture(folder: Path, out: Path) -> None:
    """Draw the picture of a demo's run."""
    upper, (columns, maps) = pretraining(folder), downstream(folder)
    with styled_figure(out, SIZE[1], SIZE[0], None, images=True) as figure:
        poster = Poster(figure)
        draw_pretraining(poster, upper)
        draw_transfer(poster, columns, maps)
        poster.arrow((3.2, 2.66), (3.2, 1.82), linewidth=2.4, mutation_scale=16)
        text = "the weights, by config inheritance, in stock mmdet and mmseg models"
        poster.text(3.36, 2.12, text, ha="left")
    Image.open(out).convert("RGB").save(out, optimize=True)  # opaque


def main() -> None:
    """Read the arguments and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    folder = Path("work_dirs", "demo", "seed0")
    parser.add_argument("folder", nargs="?", type=Path, default=folder)
    out = ROOT / "docs" / "_static" / "pipeline.png"
    parser.add_argument("--out", type=Path, default=out, help="picture to draw")
    args = parser.parse_args()
    compat.apply()
    pipeline_picture(args.folder, args.out)
    print(args.out)


if __name__ == "__main__":
    run_tool(main)
