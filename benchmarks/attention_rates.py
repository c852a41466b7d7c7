#!/usr/bin/env python3
"""Measure how often each attention neuron fires in an untrained Spikformer.

usage: python benchmarks/attention_rates.py [--networks NAME ...] [--out FILE]

For every network, image size and ``attention_scale``: one forward pass in training mode
(batch statistics) on the spiking path, T = 4, of crops of scikit-learn's two
photographs, or of digit scenes for the digits network. Rows that the file contains
already are not computed again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from attention_rates_table import attention_rates_table
from sklearn.datasets import load_sample_images
from torch import Tensor

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.user_errors import run_tool
from snnssl_mm.datasets.digit_scenes import iter_digit_scenes
from snnssl_mm.models import Spikformer
from snnssl_mm.models.spikformer import ARCHS
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.firing_recorder import FiringRecorder
from snnssl_mm.recording.results_file import ResultsFile

OUT = Path(__file__).parent / "results" / "attention_rates.json"
DIGITS = "digits"
NETWORKS: Mapping[str, Any] = {
    DIGITS: dict(embed_dims=64, depth=1, num_heads=4),
    **{name: name for name in ARCHS},
}
SCALES = (0.125, "auto")
PHOTOGRAPH_SIZES = (
    ("cifar", 32, 32, 16),
    ("imagenet", 224, 224, 2),
    ("imagenet", 800, 1344, 1),  # 1333x800, padded
)
DIGIT_SIZES = (("cifar", 16, 16, 64), ("cifar", 48, 48, 64))
"""Stem, height, width and number of images."""
KEY = ("network", "stem", "height", "width", "attention_scale")


def photographs(count: int, height: int, width: int) -> Tensor:
    """Return random crops [N, 3, H, W], normalised with the statistics of ImageNet."""
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
    std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
    pictures = [
        (torch.tensor(np.array(image)).permute(2, 0, 1) - mean) / std
        for image in load_sample_images().images
    ]
    rng, crops = np.random.default_rng(0), []
    for index in range(count):
        picture = pictures[index % len(pictures)]
        full_height, full_width = picture.shape[1:]
        tall = int(full_height * rng.uniform(0.3, 1.0))
        wide = min(full_width, tall * width // height)
        top = rng.integers(full_height - tall + 1)
        left = rng.integers(full_width - wide + 1)
        crop = picture[None, :, top : top + tall, left : left + wide]
        crops.append(
            F.interpolate(crop, (height, width), mode="bilinear", antialias=True)
        )
    return torch.cat(crops)


def digit_scenes(count: int, size: int) -> Tensor:
    """Return training scenes [N, 3, S, S], normalised as in the digits' recipe."""
    scenes = islice(iter_digit_scenes("train", count, size), count)
    pixels = torch.tensor(np.stack([scene for scene, _ in scenes]), dtype=torch.float)
    return ((pixels - 38.0) / 62.0)[:, None].expand(-1, 3, -1, -1)


@torch.no_grad()
def attention_rates(
    arch: Any, stem: str, images: Tensor, scale: float | str, seed: int = 0
) -> list[float]:
    """Return the rate of each block's attention neuron at initialisation, 0 to 1."""
    torch.manual_seed(seed)
    model = Spikformer(arch, stem=stem, attention_scale=scale).train()
    with FiringRecorder(model) as recorder:
        model(images)
    return [
        fmean(layer.rates)
        for layer in recorder.layers()
        if layer.name.endswith("attention")
    ]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS)
    )
    parser.add_argument("--out", type=Path, default=OUT, help="results as JSON")
    return parser.parse_args()


def cells_of(networks: Sequence[str]) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the entries of each row and its number of images, small images first."""
    for sizes, named in (
        (DIGIT_SIZES, [name for name in networks if name == DIGITS]),
        (PHOTOGRAPH_SIZES, [name for name in networks if name != DIGITS]),
    ):
        for (*size, count), network, scale in product(sizes, named, SCALES):
            yield dict(zip(KEY, (network, *size, scale), strict=True)), count


def main() -> None:
    """Measure what the file lacks, and print the table."""
    args = parse_args()
    require_writable(args.out)
    file = ResultsFile(args.out, "attention_rates", KEY)
    for cell, count in cells_of(args.networks):
        if file.find(**cell):
            continue
        network, stem, height, width, scale = cell.values()
        images = (
            digit_scenes(count, height)
            if network == DIGITS
            else photographs(count, height, width)
        )
        rates = attention_rates(NETWORKS[network], stem, images, scale)
        rates = [round(rate, 4) for rate in rates]
        row = {"images": count, "rates": rates, "command": command_line()}
        file.append({**cell, **row})
    attention_rates_table(file.rows).print()


if __name__ == "__main__":
    run_tool(main)
