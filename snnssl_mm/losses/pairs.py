"""Sums of the pair loss's parts over slice pairs: of (C_ii - 1)^2 and of C_ij^2.

A slice z[p] is a [B, D] batch of embeddings; C(p, q) = z[p]^T z[q] / B of slices that
are normalised over the batch. :class:`GramSums` is linear in the number of time steps
and needs hardly more memory than its gradient, :func:`correlation_sums` is the cheaper
one for few time steps and large batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-5
STRETCH = {"cpu": 2**18, "cuda": 2**26}
"""Numbers that are worked on at a time: on a CPU they stay in its cache."""


class Pairs(NamedTuple):
    """Which ordered pairs p != q of 2 t slices count, first those of view A, then B.

    Attributes:
        steps: t, slices of one view.
        within_view: All pairs, or only those between the views.
    """

    steps: int
    within_view: bool

    @property
    def number(self) -> int:
        """How many."""
        slices = 2 * self.steps
        return slices * (slices - 1) if self.within_view else slices * self.steps

    def mask(self, like: Tensor) -> Tensor:
        """Return 1 for pairs that count, else 0, as ``[S, S]``."""
        index = torch.arange(2 * self.steps, device=like.device)
        if not self.within_view:
            index = index // self.steps
        return (index[:, None] != index).to(like.dtype)


def normalize_slices(z: Tensor) -> tuple[Tensor, Tensor]:
    """Normalise ``z`` [..., B, D] to mean 0 and variance 1 over B.

    Returns:
        The result, and the factor 1 / sqrt(variance + eps) [..., 1, D].
    """
    var, mean = torch.var_mean(z, dim=-2, correction=0, keepdim=True)
    rstd = torch.rsqrt(var + EPS)
    return (z - mean).mul_(rstd), rstd


def normalization_gradient(grad: Tensor, z: Tensor, rstd: Tensor) -> Tensor:
    """Gradient before :func:`normalize_slices` from that of its result ``z``."""
    slope = (grad * z).mean(-2, keepdim=True)
    return (grad - grad.mean(-2, keepdim=True)).sub_(z * slope).mul_(rstd)


def stretches(z_a: Tensor) -> Iterator[slice]:
    """Cut the dimensions of ``z_a`` [t, B, D], one of two views, into stretches."""
    steps, batch, dims = z_a.shape
    width = STRETCH.get(z_a.device.type, STRETCH["cpu"]) // (2 * steps * batch)
    width = max(width // 64 * 64, 64)  # whole vectors and cache lines
    for low in range(0, dims, width):
        yield slice(low, min(low + width, dims))


class GramSums(torch.autograd.Function):
    """Both sums from Gram matrices K_p = z[p] z[p]^T [B, B].

    The squared norms of all C(p, q) sum to (||sum_p K_p||^2 - sum_p ||K_p||^2) / B^2,
    or between the views to 2 <sum_A K, sum_B K> / B^2; their diagonals need products
    of the same dimension only. The gradient has a closed form; dimensions are taken in
    stretches, and the normalised slices of one computed again for it.
    """

    @staticmethod
    def forward(
        ctx: Any, z_a: Tensor, z_b: Tensor, pairs: Pairs
    ) -> tuple[Tensor, Tensor]:
        """Sums of (C_ii - 1)^2 and of C_ij^2 for ``z_a``, ``z_b`` [t, B, D]."""
        steps, batch, _ = z_a.shape
        mask = pairs.mask(z_a)
        grams = z_a.new_zeros((2 * steps, batch, batch))
        on_diagonal, squares = z_a.new_zeros(2, dtype=torch.float64)
        for part in stretches(z_a):
            z, _ = normalize_slices(torch.cat([z_a[..., part], z_b[..., part]]))
            grams.baddbmm_(z, z.transpose(1, 2))
            diagonals = diagonals_of(z)
            on_diagonal += ((diagonals - 1).square_() * mask).sum().double()
            squares += (diagonals.square_() * mask).sum().double()
        others = grams.sum(0) - grams  # sum of K_q over the partners q of each p
        if not pairs.within_view:
            view_a, view_b = grams.view(2, steps, batch, batch).sum(1)
            others = torch.stack([view_b, view_a]).repeat_interleave(steps, 0)
        total = sum(
            torch.dot(k.flatten().double(), other.flatten().double())
            for k, other in zip(grams, others, strict=True)
        )
        ctx.save_for_backward(z_a, z_b, others)
        ctx.pairs = pairs
        off_diagonal = total / batch**2 - squares
        return on_diagonal.to(z_a.dtype), off_diagonal.to(z_a.dtype)

    @staticmethod
    def backward(
        ctx: Any, grad_on: Tensor, grad_off: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        """Gradients of both views."""
        grads = GramGradients.apply(grad_on, grad_off, *ctx.saved_tensors, ctx.pairs)
        return *grads, None


class GramGradients(torch.autograd.Function):
    """The backward pass of :class:`GramSums`, which cannot be differentiated again.

    ``once_differentiable`` would lose the second derivative in silence where torch asks
    for that with respect to the views alone.
    """

    @staticmethod
    def forward(
        ctx: Any,
        grad_on: Tensor,
        grad_off: Tensor,
        z_a: Tensor,
        z_b: Tensor,
        others: Tensor,
        pairs: Pairs,
    ) -> tuple[Tensor, Tensor]:
        """Gradients of ``z_a`` and ``z_b``."""
        batch = z_a.shape[1]
        mask = pairs.mask(z_a) * (4 / batch)  # of a square, in both orders
        weights = others * (4 / batch**2 * grad_off)
        grads = torch.empty_like(z_a), torch.empty_like(z_b)
        with torch.autocast(z_a.device.type, enabled=False):
            for part in stretches(z_a):
                z, rstd = normalize_slices(torch.cat([z_a[..., part], z_b[..., part]]))
                diagonals = diagonals_of(z)
                errors = ((diagonals - 1) * grad_on - diagonals * grad_off) * mask
                grad = (errors @ z.permute(2, 0, 1)).permute(1, 2, 0)
                grad = torch.baddbmm(grad, weights, z)
                grad = normalization_gradient(grad, z, rstd)
                for whole, half in zip(grads, grad.chunk(2), strict=True):
                    whole[..., part] = half
        return grads

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        """Refuse."""
        raise NotImplementedError("the pair loss has no second derivative")


def diagonals_of(z: Tensor) -> Tensor:
    """C_ii(p, q) of all slice pairs of ``z`` [S, B, d], as [d, S, S]."""
    by_dimension = z.permute(2, 0, 1).contiguous()  # strided, bmm falls to a loop
    return by_dimension @ by_dimension.transpose(1, 2) / z.shape[1]


def correlation_sums(z_a: Tensor, z_b: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Both sums from the correlation matrices [D, D] themselves."""
    batch, dims = z_a.shape[1:]
    slices = [F.batch_norm(z, None, None, training=True, eps=EPS) for z in (*z_a, *z_b)]
    on_diagonal, off_diagonal = [], []
    for p in range(len(slices) if pairs.within_view else pairs.steps):
        first = p + 1 if pairs.within_view else pairs.steps
        if first == len(slices):
            break
        c = slices[p].T @ torch.cat(slices[first:], 1) / batch  # [D, partners D]
        diagonals = c.unflatten(1, (-1, dims)).diagonal(dim1=0, dim2=2)
        # Once for both orders of a pair; a dot product has no [D, D] intermediate.
        on_diagonal.append(2 * (diagonals - 1).square().sum())
        squares = torch.dot(c.flatten(), c.flatten())
        off_diagonal.append(2 * (squares - diagonals.square().sum()))
    return torch.stack(on_diagonal).sum(), torch.stack(off_diagonal).sum()


def sum_over_pairs(z_a: Tensor, z_b: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Both sums for ``z_a``, ``z_b`` [t, B, D], not normalised, the cheaper way."""
    steps, batch, dims = z_a.shape
    if 2 * steps * batch < pairs.number / 2 * dims:
        on_diagonal, off_diagonal = GramSums.apply(z_a, z_b, pairs)
        return on_diagonal, off_diagonal
    return correlation_sums(z_a, z_b, pairs)
