"""Contrast of samples between slices: NT-Xent (SimCLR) over time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from snnssl_mm.losses.pairs import Pairs
from snnssl_mm.losses.slices import SliceLoss


class NTXentParts(NamedTuple):
    """The only term of NT-Xent."""

    contrast: Tensor


class NTXentLoss(SliceLoss):
    r"""NT-Xent on the time steps of two or more views.

    The mean over ordered pairs p != q of slices, and over samples i, of::

        -log exp(s(p_i, q_i)) / (sum_{j != i} exp(s(p_i, p_j)) + sum_j exp(s(p_i, q_j)))

    with s the cosine similarity divided by the temperature. The negatives of a pair are
    the other samples of its own two slices, so that another time step of the same image
    is never one; ``'flat'`` is the exception, and shows why this matters. At T = 1 it
    is NT-Xent (Chen et al., "A Simple Framework for Contrastive Learning of Visual
    Representations", ICML 2020, arXiv 2002.05709).

    Cost: every pair needs its own B^2 similarities, which have no closed form, but one
    [S B, S B] matrix of similarities serves all pairs of S slices: S^2 B^2 D, as for
    ``'flat'``. See :class:`Contrast`: the matrix is never stored. ``'step'`` is linear
    in the number of time steps.

    Args:
        temperature: Divisor of the cosine similarities.
        **slices: ``time`` and ``within_view``, see
            :class:`~snnssl_mm.losses.SliceLoss`.

    Example:
        >>> z_a, z_b = torch.randn(2, 4, 32, 16)  # T = 4, B = 32, D = 16
        >>> NTXentLoss(time="step")(z_a, z_b).shape
        torch.Size([])
    """

    def __init__(self, temperature: float = 0.5, **slices: str | bool) -> None:
        super().__init__(**slices)  # type: ignore[arg-type]
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.temperature = temperature

    def terms(self, slices: Tensor) -> NTXentParts:
        """Compute the mean over groups, pairs and samples."""
        # Each factor of a product gets half of the temperature.
        z = F.normalize(slices, dim=-1) / self.temperature**0.5
        pairs = self.pairs(slices)
        total: Tensor = Contrast.apply(z.flatten(1, 2), pairs)
        return NTXentParts(total / (pairs.number * z.shape[0] * z.shape[3]))

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"temperature={self.temperature}, {super().extra_repr()}"


class Row(NamedTuple):
    """Similarities of the samples of slice p to those of its partners and its own.

    Attributes:
        group: Index of the group.
        p: Index of the slice.
        slices: Indices of k slices: p and its partners, ascending.
        own: Where p is among them.
        keys: Their samples ``[k B, D]``.
        similarities: ``[B, k, B]``.
    """

    group: int
    p: int
    slices: list[int]
    own: int
    keys: Tensor
    similarities: Tensor


def rows_of(z: Tensor, pairs: Pairs) -> Iterator[Row]:
    """Yield the rows of all slices, one at a time, for ``z`` [G, S, B, D]."""
    counts = pairs.mask(torch.zeros((), dtype=torch.bool)).tolist()
    for group, slices in enumerate(z):
        for p, counted in enumerate(counts):
            chosen = [q for q, counts in enumerate(counted) if counts or q == p]
            complete = len(chosen) == len(slices)
            keys = slices.flatten(0, 1) if complete else cat(slices, chosen)
            similarities = (slices[p] @ keys.T).unflatten(1, (len(chosen), -1))
            yield Row(group, p, chosen, chosen.index(p), keys, similarities)


def cat(slices: Tensor, chosen: list[int]) -> Tensor:
    """Join some slices; a list as index would be copied to the device."""
    return torch.cat([slices[q] for q in chosen])


class Contrast(torch.autograd.Function):
    """Sum of NT-Xent over groups, ordered pairs and samples.

    Per slice p, one row of [B, B] blocks of similarities is computed, here and again in
    the backward pass; what is kept is a number for each sample and block.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, pairs: Pairs) -> Tensor:
        """Sum up -s(p_i, q_i) + log of the denominator.

        Args:
            ctx: Keeps what the backward pass needs.
            z: Groups of slices ``[G, S, B, D]``, whose products are similarities.
            pairs: The pairs that count.
        """
        groups, number, batch, _ = z.shape
        offsets = z.new_zeros((groups, number, number, batch))
        total = z.new_zeros((), dtype=torch.float64)
        for group, p, chosen, own, _, similarities in rows_of(z, pairs):
            positives = similarities.diagonal(dim1=0, dim2=2)  # [k, B]
            total -= positives.sum() - positives[own].sum()
            similarities[:, own].fill_diagonal_(-torch.inf)
            blocks = similarities.logsumexp(2).T  # [k, B]
            denominators = torch.logaddexp(blocks[own], blocks)
            denominators[own] = 0
            total += denominators.sum()
            denominators[own] = torch.inf
            row = -denominators
            row[own] = row.logsumexp(0)
            for index, q in enumerate(chosen):
                offsets[group, p, q] = row[index]
        ctx.save_for_backward(z, offsets)
        ctx.pairs = pairs
        return total.to(z.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Gradient in closed form, see :class:`ContrastGradient`."""
        z, offsets = ctx.saved_tensors
        return ContrastGradient.apply(ctx.pairs, grad, z, offsets), None


class ContrastGradient(torch.autograd.Function):
    """Backward pass of :class:`Contrast`, which cannot be differentiated again.

    With d(p_i, q) the logarithm of the denominator, a similarity of different slices
    has the derivative ``exp(s - d(p_i, q)) - [i = j]``, and one of the same slice
    ``sum_q exp(s - d(p_i, q)) = exp(s + o(p_i))``. Both are exp(s + offset), with an
    offset per row and block that the forward pass has kept. A similarity stands in the
    matrix twice, so the gradient of p_i is a product of one row with all samples::

        G(p_i) = sum_{q, j} (exp(s + offset[p, q, i]) + exp(s + offset[q, p, j])
                             - 2 [i = j, p != q]) q_j
    """

    @staticmethod
    def forward(
        ctx: Any, pairs: Pairs, grad: Tensor, z: Tensor, offsets: Tensor
    ) -> Tensor:
        """Gradient of ``z``.

        Args:
            ctx: Not used.
            pairs: The pairs that count.
            grad: Gradient of the sum, a scalar.
            z: ``[G, S, B, D]``.
            offsets: ``[G, S, S, B]``.
        """
        found = torch.empty_like(z)
        with torch.autocast(z.device.type, enabled=False):
            for group, p, chosen, own, keys, similarities in rows_of(z, pairs):
                of_row = cat(offsets[group, p, :, None], chosen)  # [k, B]
                of_column = cat(offsets[group, :, p, None], chosen)
                weights = (similarities + of_row.T[..., None]).exp_()
                weights += similarities.add_(of_column).exp_()
                weights.diagonal(dim1=0, dim2=2).sub_(2)
                weights[:, own].fill_diagonal_(0)
                torch.mm(weights.flatten(1) * grad, keys, out=found[group, p])
        return found

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        """Refuse a second derivative."""
        raise NotImplementedError("NT-Xent has no second derivative")
