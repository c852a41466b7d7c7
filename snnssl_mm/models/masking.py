"""Networks that see a part of an image's patches only, as if the rest were not there.

Tian et al., "Designing BERT for Convolutional Networks: Sparse and Hierarchical Masked
Modeling" (SparK), ICLR 2023, arXiv 2301.03580, on dense maps: every convolution gets
zeros at the hidden positions, and every norm and the neuron behind it run on the
visible positions alone. What hidden pixels contain then changes no output, maps that a
backbone returns are zero at hidden positions, and batch statistics are those of the
visible ones. Attention sums over tokens whose spikes are zero where they are hidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor


class TakeRows(torch.autograd.Function):
    """Rows ``index``, each at most once, of ``x`` [T, M, C].

    As ``x.index_select(1, index)``, whose gradient adds rows up one after another; each
    row has one place here.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        """Return ``[T, len(index), C]``."""
        ctx.save_for_backward(index)
        ctx.rows = x.shape[1]
        return x.index_select(1, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Put the rows of the gradient back; the others are zero."""
        return put_rows(grads[0], ctx.saved_tensors[0], ctx.rows), None


def put_rows(rows: Tensor, index: Tensor, number: int) -> Tensor:
    """Return ``[T, number, C]``, zero but for ``rows`` at ``index``."""
    whole = rows.new_zeros(rows.shape[0], number, rows.shape[2])
    return whole.index_copy(1, index, rows)


class Positions(NamedTuple):
    """Visible positions of maps of one size.

    Attributes:
        hidden: ``[N, 1, H, W]``, whether a position is hidden.
        rows: ``[N K]``, the visible ones, counted through all N images.
    """

    hidden: Tensor
    rows: Tensor


class VisiblePatches:
    """Which patches of each image a network sees.

    Args:
        visible: ``[N, h, w]``, boolean, with the same number of visible patches in each
            image.
        number: That number.
    """

    def __init__(self, visible: Tensor, number: int) -> None:
        self.visible = visible
        self.number = number
        self._positions: dict[tuple[int, int], Positions] = {}

    def positions(self, height: int, width: int) -> Positions:
        """Return the positions on a map of this size.

        Raises:
            ValueError: If the size is not a multiple of that of the grid of patches.
        """
        key = (height, width)
        if key not in self._positions:
            self._positions[key] = self._on_map(height, width)
        return self._positions[key]

    def _on_map(self, height: int, width: int) -> Positions:
        grid = self.visible.shape[-2:]
        rows, columns = height // grid[0], width // grid[1]
        if (rows * grid[0], columns * grid[1]) != (height, width) or not rows * columns:
            raise ValueError(
                f"a map of {height}x{width} does not divide into {grid[0]}x{grid[1]} "
                "patches; use patches of the network's largest stride, and images "
                "whose sides they divide"
            )
        fine = self.visible.repeat_interleave(rows, 1).repeat_interleave(columns, 2)
        # Sorted instead of nonzero(), which would wait for the GPU.
        order = fine.flatten(1).byte().argsort(dim=1, descending=True, stable=True)
        index = order[:, : self.number * rows * columns]
        first = torch.arange(len(fine), device=fine.device) * (height * width)
        return Positions(~fine.unsqueeze(1), (index + first[:, None]).flatten())

    def hide(self, x: Tensor) -> Tensor:
        """Return ``x`` [..., N, C, H, W] with zeros at the hidden positions."""
        return x.masked_fill(self.positions(*x.shape[-2:]).hidden, 0)

    def gather(self, x: Tensor) -> Tensor:
        """Return the visible positions of ``x`` [T, N, C, H, W]: [T, N, C, K, 1]."""
        steps, samples, channels = x.shape[:3]
        index = self.positions(*x.shape[-2:]).rows
        rows = x.permute(0, 1, 3, 4, 2).reshape(steps, -1, channels)
        found = TakeRows.apply(rows, index).unflatten(1, (samples, -1))
        # Not transpose(2, 3).unsqueeze(-1), whose last stride is 1: torch 2.13 computes
        # a wrong gradient of batch norm for such strides on CPUs.
        return found.unsqueeze(3).movedim(-1, 2)

    def scatter(self, packed: Tensor, height: int, width: int) -> Tensor:
        """Return ``[T, N, C, H, W]``, zero but for what :meth:`gather` has taken."""
        rows = packed.squeeze(-1).transpose(2, 3).flatten(1, 2)
        index = self.positions(height, width).rows
        whole = put_rows(rows, index, len(packed[0]) * height * width)
        return whole.unflatten(1, (-1, height, width)).permute(0, 1, 4, 2, 3)


# Not a ContextVar, which torch.compile cannot trace; a plain global it can.
_visible: VisiblePatches | None = None


def visible_patches() -> VisiblePatches | None:
    """Return what networks see at present; None for everything."""
    return _visible


@contextmanager
def only_visible(patches: VisiblePatches | None) -> Iterator[None]:
    """Let the backbones that are called inside see these patches only.

    Args:
        patches: Those of the batch; None for whole images.

    Example:
        >>> from snnssl_mm.models import Spikformer
        >>> patches = VisiblePatches(torch.eye(2).bool().unsqueeze(0), 2)
        >>> with only_visible(patches):
        ...     (map,) = Spikformer(stem="cifar")(torch.rand(1, 3, 8, 8))
        >>> bool(patches.hide(map).equal(map))
        True
    """
    global _visible
    before, _visible = _visible, patches
    try:
        yield
    finally:
        _visible = before


def hide(x: Tensor) -> Tensor:
    """Return ``x`` [..., N, C, H, W] with zeros where networks see nothing."""
    patches = visible_patches()
    return x if patches is None else patches.hide(x)
