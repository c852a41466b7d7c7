#!/usr/bin/env python3
"""Draw the pictures of the pages about other objectives.

usage: python docs/method/objectives/draw_objectives.py [NAME ...]

Writes NAME.svg into this folder; all pictures without an argument. What the losses say
of embeddings is computed with the package's own code.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import mmcv
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from draw import (  # noqa: E402
    ANALOG,
    ANALOG_LIGHT,
    GREY,
    INK,
    SHARED,
    SPIKE,
    SPIKE_LIGHT,
    WIDTH,
    arrow,
    box,
    canvas,
    draw_slices,
    write_pictures,
)

from snnssl_mm.datasets import DigitScenes  # noqa: E402
from snnssl_mm.losses import LeJEPALoss, NTXentLoss, VICRegLoss  # noqa: E402

LEFT, RIGHT = 12, 35


def clouds() -> dict[str, Tensor]:
    """Return embeddings ``[B, 2]``: collapsed, on a line, and Gaussian."""
    generator = torch.Generator().manual_seed(0)
    spread = torch.randn(256, 2, generator=generator)
    line = spread[:, :1] * torch.tensor([[1.0, 0.7]]) + 0.05 * spread
    return {"collapsed": 0.05 * spread, "on a line": line, "Gaussian": spread}


def plain(ax: Axes) -> None:
    """Remove ticks and frame."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def vicreg() -> Figure:
    """Draw what VICReg says of three clouds of embeddings."""
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.5))
    for ax, (name, z) in zip(axes, clouds().items(), strict=True):
        parts = VICRegLoss().parts(z[None], z[None])
        ax.scatter(*z.T, s=4, color=ANALOG, lw=0)
        ax.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
        ax.set_title(name, fontsize=9.5, loc="center")
        ax.set_xlabel(
            f"variance {parts.variance:.1f}\ncovariance {parts.covariance:.1f}",
            fontsize=9,
        )
        plain(ax)
    return figure


def lejepa() -> Figure:
    """Draw projections of three clouds of embeddings beside the normal distribution."""
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.3), sharey=True)
    x = torch.linspace(-3, 3, 121)
    direction = torch.tensor([math.cos(0.9), math.sin(0.9)])
    for ax, (name, z) in zip(axes, clouds().items(), strict=True):
        torch.manual_seed(0)
        parts = LeJEPALoss(lambd=1.0).parts(z[None], z[None])
        ax.hist(z @ direction, bins=24, range=(-3, 3), density=True, color=ANALOG_LIGHT)
        ax.plot(x, (-(x**2) / 2).exp() / math.sqrt(2 * math.pi), color=INK, lw=1.5)
        ax.set_ylim(0, 0.9)
        ax.set_title(name, fontsize=9.5, loc="center")
        ax.set_xlabel(f"SIGReg {parts.gaussianity:.1f}", fontsize=9)
        plain(ax)
        ax.spines["bottom"].set_visible(True)
    return figure


def roles(loss: NTXentLoss, steps: int, batch: int) -> Tensor:
    """Return what pairs of samples are for a loss, by the sign of its gradient.

    Orthogonal embeddings: a step down the gradient moves the embedding of sample i
    towards that of its positives and away from that of its negatives.

    Returns:
        ``[2TB, 2TB]``: 1 for a positive, -1 for a negative, 0 for neither.
    """
    number = 2 * steps * batch
    z = torch.eye(number).view(2, steps, batch, number).requires_grad_()
    loss(*z).backward()
    assert z.grad is not None
    pull = -z.grad.reshape(number, number)
    return (pull.sign() * (pull.abs() > 1e-6)).fill_diagonal_(0)


def ntxent() -> Figure:
    """Draw which samples attract and repel each other."""
    steps, batch = 2, 3
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.0))
    for ax, time in zip(axes, ("all", "flat"), strict=True):
        found = roles(NTXentLoss(time=time), steps, batch)
        for color, value in ((SHARED, 0), (SPIKE, 1), (ANALOG_LIGHT, -1)):
            rows, columns = (found == value).nonzero().T
            ax.scatter(columns, rows, marker="s", s=105, color=color, lw=0)
        for edge in range(1, 2 * steps):
            for line in (ax.axhline, ax.axvline):
                line(batch * edge - 0.5, color=INK, lw=1 if edge == steps else 0.4)
        names = [f"{view}{t}" for view in "AB" for t in range(1, steps + 1)]
        centres = [batch * i + 1 for i in range(2 * steps)]
        size = 2 * steps * batch - 0.4
        ax.set(xlim=(-0.6, size), ylim=(size, -0.6), aspect="equal")
        ax.set_title(f'time="{time}"', fontsize=9.5)
        plain(ax)
        ax.set_xticks(centres, names)
        ax.set_yticks(centres, names)
        ax.tick_params(length=0, pad=1, labelsize=8)
    return figure


def column(ax: Axes, x: float, top: float, view: str, network: str, color: str) -> None:
    """Draw a view, its network, and the arrow between them."""
    box(ax, x, top, view, 20.5, 4.4, color)
    arrow(ax, (x, top - 2.2), (x, top - 5))
    box(ax, x, top - 9, network, 20.5, 8, color)


def comparison(
    name: str, networks: tuple[str, str], views: tuple[str, str], predictor: bool
) -> tuple[Figure, Axes]:
    """Draw predictions on the left that are compared with targets on the right."""
    figure, ax = canvas(47, 38)
    colors = (SPIKE_LIGHT, ANALOG_LIGHT if networks[0] == networks[1] else SHARED)
    for x, view, network, color in zip(
        (LEFT, RIGHT), views, networks, colors, strict=True
    ):
        column(ax, x, 35.4, view, network, color)
    if predictor:
        arrow(ax, (LEFT, 22.4), (LEFT, 18.2))
        box(ax, LEFT, 16, "predictor h", 20.5, 4.4, SPIKE_LIGHT)
    start = 13.8 if predictor else 22.4
    arrow(ax, (LEFT, start), (LEFT, 5.2))
    arrow(ax, (RIGHT, 22.4), (RIGHT, 5.2), color=GREY)
    ax.text(RIGHT + 1, 13.8, "no gradient", va="center", color=INK)
    box(ax, 23.5, 3, name, 43, 4.4)
    return figure, ax


STUDENT = "backbone,\nprojector"
SLICES = ("view A, step s", "view B, step t")


def simsiam() -> Figure:
    """Draw SimSiam: a predictor and a stop-gradient."""
    name = "mean of -cos over pairs of slices"
    return comparison(name, (STUDENT, STUDENT), SLICES, predictor=True)[0]


def byol() -> Figure:
    """Draw BYOL: the targets are a teacher's, an average of past weights."""
    name = "mean of -cos over pairs of slices"
    networks = (STUDENT, "teacher: backbone,\nprojector")
    figure, ax = comparison(name, networks, SLICES, predictor=True)
    arrow(ax, (LEFT + 10.25, 26.4), (RIGHT - 10.25, 26.4), color=GREY)
    ax.text(RIGHT + 1, 18.6, "its weights\nfollow slowly", va="center")
    return figure


def distillation() -> Figure:
    """Draw distillation: the targets are features of a trained network."""
    networks = (STUDENT, "trained network,\nno spikes")
    views = ("view A, step t", "view A")
    name = "-cos or smooth L1, each step"
    return comparison(name, networks, views, predictor=False)[0]


def next_step() -> Figure:
    """Draw which steps of one view predict which of the other."""
    figure, ax = canvas(47, 22)
    for y, color, view in ((18.6, SPIKE_LIGHT, "A"), (4.4, ANALOG_LIGHT, "B")):
        draw_slices(ax, 25, y, color)
        ax.text(9, y, f"view {view}", ha="center", va="center")
    for t in range(3):
        x = 25 - 10.2 + 5.1 * t + 2.35
        arrow(ax, (x, 17), (x + 5.1, 6.2), color=SPIKE)
        arrow(ax, (x, 6), (x + 5.1, 16.8), color=ANALOG)
    ax.text(37.4, 11.6, "h predicts", va="center")
    return figure


def mae() -> Figure:
    """Draw masked autoencoding on a digit scene."""
    figure, ax = canvas(47, 19)
    with tempfile.TemporaryDirectory() as folder:
        scenes = DigitScenes(folder, split="train", num_train=100, num_test=10)
        image = torch.from_numpy(mmcv.imread(scenes[0]["img_path"], "grayscale"))
    image = image.float() / 255
    side = image.shape[0] // 4
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    hidden = torch.zeros(16, dtype=torch.bool).index_fill(0, order[:8], value=True)
    shown = hidden.view(4, 4).repeat_interleave(side, 0).repeat_interleave(side, 1)
    for x, pixels, text in (
        (8, image.masked_fill(shown, float("nan")), "half of the patches"),
        (39, image.masked_fill(~shown, float("nan")), "pixels to predict"),
    ):
        extent = (x - 6.5, x + 6.5, 4.6, 17.6)
        ax.imshow(pixels, cmap="gray", vmin=0, vmax=1, extent=extent, zorder=2)
        ax.fill([*extent[:2], *extent[1::-1]], [4.6, 4.6, 17.6, 17.6], color=SHARED)
        ax.text(x, 2.2, text, ha="center", va="center")
    ax.set(xlim=(0, 47), ylim=(0, 19), aspect="auto")
    box(ax, 23.5, 14.2, "backbone", 12, 4.4, SPIKE_LIGHT)
    box(ax, 23.5, 7.6, "decoder", 12, 4.4)
    arrow(ax, (14.9, 14.2), (17.5, 14.2))
    arrow(ax, (23.5, 12), (23.5, 9.8))
    arrow(ax, (29.5, 7.6), (32.1, 7.6))
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "vicreg": vicreg,
    "ntxent": ntxent,
    "lejepa": lejepa,
    "simsiam": simsiam,
    "byol": byol,
    "next_step": next_step,
    "distillation": distillation,
    "mae": mae,
}

if __name__ == "__main__":
    write_pictures(PICTURES, HERE, sys.argv[1:])
