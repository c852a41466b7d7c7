"""Attention maps of spiking self-attention: attention that each token receives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from snnssl_mm.analysis.images import NetworkImage, crop_to_picture
from snnssl_mm.analysis.plots.picture_grid import (
    label_row,
    label_width,
    over_picture,
    picture_grid,
    write_title,
)
from snnssl_mm.recording.spike_recording import outputs_passed_to, run_spiking


class AttentionMap(NamedTuple):
    """The attention of one block for one image.

    Attributes:
        name: The block's attention, such as ``blocks.0.attention``.
        maps: Attention that each token receives, ``[heads, H, W]``: the mean over
            time steps and queries of q^T k, in spikes that coincide.
    """

    name: str
    maps: np.ndarray


def is_attention(module: nn.Module) -> bool:
    """Tell whether a module is self-attention with a joint projection to q, k, v."""
    return hasattr(module, "num_heads") and hasattr(module, "qkv")


@torch.no_grad()
def attention_maps(backbone: nn.Module, image: NetworkImage) -> list[AttentionMap]:
    """Run an image through the spiking path and record the received attention.

    There is no softmax, so the attention from query i to token j is the number of q and
    k channels that spike together: A[i, j] = sum_c q[c, i] k[c, j]. The map of token j
    is the mean of A[i, j] over the queries i.

    Args:
        backbone: Network with spiking self-attention; it stays in evaluation mode on
            the spiking path.
        image: The image; its padding is cropped from the maps.

    Returns:
        One entry per block, in order.

    Raises:
        ValueError: If the network has no such attention.
    """
    blocks: dict[str, Any]
    blocks = {n: m for n, m in backbone.named_modules() if is_attention(m)}
    if not blocks:
        raise ValueError(
            f"{type(backbone).__name__} has no spiking self-attention; use a "
            "transformer such as snnssl_mm.Spikformer"
        )
    found: list[AttentionMap] = []

    def record(name: str, spikes: Tensor) -> None:
        steps, _, _, height, width = spikes.shape
        heads, dims = blocks[name].num_heads, blocks[name].dims
        both = spikes[:, 0, : 2 * dims]
        q, k = both.reshape(steps, 2, heads, -1, height * width).unbind(1)
        received = torch.einsum("thc,thcj->hj", q.float().mean(-1), k.float())
        maps = (received / steps).reshape(heads, height, width)
        found.append(AttentionMap(name, crop_to_picture(maps.cpu().numpy(), image)))

    with outputs_passed_to(record, {name: block.qkv for name, block in blocks.items()}):
        run_spiking(backbone, image.inputs)
    return found


def plot_attention_maps(
    blocks: Sequence[AttentionMap], picture: np.ndarray, out: Path, heads: int = 6
) -> Path:
    """Draw one row per block: overlay, mean of the heads, single heads.

    Args:
        blocks: Attention of one image.
        picture: The image, RGB ``[H, W, 3]``.
        out: Picture to write.
        heads: Largest number of drawn heads.
    """
    heads = min(heads, max(len(block.maps) for block in blocks))
    left = label_width([block.name for block in blocks])
    heading = (
        "Where spiking self-attention looks: attention that each place receives\n"
        "over the image, mean of the heads, single heads; in channels of query and "
        "key that spike together, from 0 (black) to the panel's largest"
    )
    size = (len(blocks), 2 + heads, picture.shape[:2])
    with picture_grid(out, *size, left=left, heading=heading) as (_, grid):
        for block, line in zip(blocks, grid, strict=True):
            draw_block(line, block, picture)
    return out


def draw_block(line: Any, block: AttentionMap, picture: np.ndarray) -> None:
    """Draw a block's maps into the axes of a row."""
    height, width = picture.shape[:2]
    extent = (0, width, height, 0)
    style: Any = dict(cmap="magma", extent=extent, interpolation="nearest", vmin=0)
    mean = block.maps.mean(0)
    over_picture(line[0], mean, mean / (mean.max() or 1), picture, **style)
    line[1].imshow(mean, vmax=mean.max() or 1, **style)
    write_title(line[1], f"mean, to {mean.max():.2g}")
    for index, axis in enumerate(line[2:]):
        if index >= len(block.maps):
            axis.set_visible(False)
            continue
        head = block.maps[index]
        axis.imshow(head, vmax=head.max() or 1, **style)
        write_title(axis, f"head {index + 1}, to {head.max():.2g}")
    tokens = f"{block.maps.shape[2]} x {block.maps.shape[1]} tokens"
    label_row(line[0], block.name, tokens, f"{len(block.maps)} heads")
