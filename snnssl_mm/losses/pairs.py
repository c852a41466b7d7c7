"""Sums of the pair loss's two terms over pairs of slices.

A slice z_p is a [B, D] batch of embeddings, normalised over the batch, and
C(p, q) = z_p^T z_q / B. With m_pq = 1 for the ordered pairs that count, else 0::

    on  = sum_pq m_pq sum_i (C_ii(p, q) - 1)^2
    off = sum_pq m_pq sum_{i != j} C_ij(p, q)^2

:class:`GramSums` is linear in the number of time steps and needs hardly more memory
than its gradient, :func:`correlation_sums` is cheaper for few time steps and large
batches. Views hold the samples of one of W processes, and B counts those of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from snnssl_mm.losses.gather import gather_batch, gather_rows
from snnssl_mm.processes import (
    process_count,
    several_processes,
    sum_over_processes,
)

EPS = 1e-5
TILE = {"cpu": 2**18, "cuda": 2**26}
"""Numbers in a tile of embeddings; on a CPU, a tile that stays in its cache."""


class Pairs(NamedTuple):
    """Selection of ordered pairs p != q among S = V t slices, t of each of V views.

    Attributes:
        steps: t, slices of one view.
        within_view: Whether pairs inside one view count too.
        views: V.
    """

    steps: int
    within_view: bool
    views: int = 2

    @property
    def number(self) -> int:
        """Number of ordered pairs that count."""
        slices = self.views * self.steps
        return slices * (slices - (1 if self.within_view else self.steps))

    def mask(self, like: Tensor) -> Tensor:
        """Return m_pq: 1 for pairs that count, else 0, as ``[S, S]``."""
        index = torch.arange(self.views * self.steps, device=like.device)
        if not self.within_view:
            index = index // self.steps
        return (index[:, None] != index).to(like.dtype)


class Moments(NamedTuple):
    """Mean and 1 / sqrt(variance + eps) over the batch, each ``[S, 1, D]``."""

    mean: Tensor
    rstd: Tensor

    @classmethod
    def of(cls, z: Tensor) -> Moments:
        """Compute those of ``z`` [S, B / W, D] over all processes."""
        batch = z.shape[1] * process_count()
        # var_mean over rows is far slower on a CPU.
        mean = sum_over_processes(z.sum(1, keepdim=True)) / batch
        squares = (z - mean).square_().sum(1, keepdim=True)
        return cls(mean, torch.rsqrt(sum_over_processes(squares) / batch + EPS))

    def normalize(self, z: Tensor) -> Tensor:
        """Normalise ``z`` to mean 0 and variance 1 over the batch."""
        return (z - self.mean).mul_(self.rstd)


def normalization_gradient(grad: Tensor, z: Tensor, rstd: Tensor) -> Tensor:
    """Gradient of the input of a normalisation from that of its result ``z``.

    With z = (x - mean) rstd, where mean and rstd depend on x, and means over B::

        G(x) = rstd (G(z) - mean(G(z)) - z mean(G(z) z))

    Args:
        grad: G(z), ``[S, B / W, D]``.
        z: Normalised slices ``[S, B / W, D]``.
        rstd: ``[S, 1, D]``.
    """
    sums = torch.stack([grad.sum(1, keepdim=True), (grad * z).sum(1, keepdim=True)])
    offset, slope = sum_over_processes(sums) / (z.shape[1] * process_count())
    return (grad - offset).sub_(z * slope).mul_(rstd)


def dimension_tiles(views: Sequence[Tensor], batch: int) -> Iterator[slice]:
    """Tile the dimensions of ``views``, each ``[t, B / W, D]``, for B = ``batch``."""
    steps, _, dims = views[0].shape
    numbers = TILE.get(views[0].device.type, TILE["cpu"])
    width = numbers // (len(views) * steps * batch)
    width = max(width // 64 * 64, 64)  # whole vectors and cache lines
    for low in range(0, dims, width):
        yield slice(low, min(low + width, dims))


class GramSums(torch.autograd.Function):
    """Both sums from the Gram matrices K_p = z_p z_p^T [B, B] of the slices.

    ``||C(p, q)||^2 = <K_p, K_q> / B^2``, so with O_p = sum_q m_pq K_q::

        sum_pq m_pq ||C(p, q)||^2 = sum_p <K_p, O_p> / B^2

    S Gram matrices replace S^2 correlation matrices [D, D]. O_p is sum_q K_q - K_p for
    all pairs, and the sum of the other views' K for pairs between views. The
    diagonals C_ii(p, q) need products within dimension i only: [S, S] for each i.

    Each process computes the B / W rows of the Gram matrices of its own samples, and
    the gradient of these; a W-th of the work. They share sums over the batch (moments,
    diagonals, totals) and the normalised rows, which are gathered once.

    Dimensions are processed in tiles. The backward pass, :class:`GramGradients`, has a
    closed form; it keeps O [S, B / W, B] and, of several processes, the gathered rows.
    """

    @staticmethod
    def forward(
        ctx: Any, pairs: Pairs, dtype: torch.dtype | None, *views: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sums of (C_ii - 1)^2 and of C_ij^2 for ``views``, each ``[t, B / W, D]``.

        Args:
            ctx: Keeps what the backward pass needs.
            pairs: The pairs that count.
            dtype: Type in which rows travel between processes; None for the views'.
            *views: Own samples, not normalised.
        """
        steps, own, _ = views[0].shape
        batch = own * process_count()
        mask = pairs.mask(views[0])
        grams = views[0].new_zeros((len(views) * steps, own, batch))
        tiles: list[tuple[Tensor, ...]] = []
        for part in dimension_tiles(views, batch):
            x = torch.cat([view[..., part] for view in views])
            moments = Moments.of(x)
            z = moments.normalize(x)
            rows = gather_rows(z, dtype)
            grams.baddbmm_(z, rows.to(z.dtype).transpose(1, 2))
            diagonals = sum_over_processes(products_of(z)) / batch
            tiles.append(
                (*moments, diagonals, *([rows] if several_processes() else []))
            )
        if pairs.within_view:
            others = grams.sum(0) - grams  # O_p
        else:
            of_view = grams.unflatten(0, (-1, steps)).sum(1)
            others = (of_view.sum(0) - of_view).repeat_interleave(steps, 0)
        products = [
            torch.dot(k.flatten().double(), other.flatten().double())
            for k, other in zip(grams, others, strict=True)
        ]
        total = sum_over_processes(torch.stack(products).sum())
        on_diagonal, squares = views[0].new_zeros(2, dtype=torch.float64)
        for _, _, diagonals, *_ in tiles:
            on_diagonal += ((diagonals - 1).square() * mask).sum().double()
            squares += (diagonals.square() * mask).sum().double()
        ctx.save_for_backward(others, *views, *chain.from_iterable(tiles))
        ctx.pairs, ctx.views = pairs, len(views)
        off_diagonal = total / batch**2 - squares
        return on_diagonal.to(others.dtype), off_diagonal.to(others.dtype)

    @staticmethod
    def backward(ctx: Any, grad_on: Tensor, grad_off: Tensor) -> tuple[Any, ...]:
        """Gradients of all views in closed form, see :class:`GramGradients`."""
        saved = ctx.saved_tensors
        grads = GramGradients.apply(ctx.pairs, ctx.views, grad_on, grad_off, *saved)
        return None, None, *grads


class GramGradients(torch.autograd.Function):
    """Backward pass of :class:`GramSums`, which cannot be differentiated again.

    With g_on and g_off the gradients of the two sums, that of a normalised slice is::

        G(z_p)       = 4 / B^2 g_off O_p z_p + (column i: sum_q E_i[p, q] z_q[:, i])
        E_i[p, q]    = 4 / B m_pq ((C_ii(p, q) - 1) g_on - C_ii(p, q) g_off)

    from d||C(p, q)||^2 / dz_p = 2 K_q z_p / B^2 and dC_ii(p, q) / dz_p[:, i] =
    z_q[:, i] / B. The last term of E takes the diagonal out of ``off``. 4 is 2 from the
    square times 2 because a pair counts in both orders. Shapes: z_p [B, D], O_p [B, B],
    E_i [S, S]; of G(z_p) and O_p each process has its own rows.
    :func:`normalization_gradient` leads from there to the embeddings. With W processes
    the result is W times that gradient, because DistributedDataParallel averages.

    A Function of its own, because ``once_differentiable`` would silently lose the
    second derivative where torch asks for it with respect to the views alone.
    """

    @staticmethod
    def forward(
        ctx: Any,
        pairs: Pairs,
        number: int,
        grad_on: Tensor,
        grad_off: Tensor,
        others: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        """Gradients of the views.

        Args:
            ctx: Not used.
            pairs: The pairs that count.
            number: V, number of views.
            grad_on: g_on, a scalar.
            grad_off: g_off, a scalar.
            others: O_p, ``[S, B / W, B]``.
            *tensors: The views, each ``[t, B / W, D]``, not normalised, and for each
                tile of dimensions mean, rstd, diagonals and, of several processes, all
                rows.
        """
        views, of_tiles = tensors[:number], iter(tensors[number:])
        batch, world = others.shape[2], process_count()
        mask = pairs.mask(others) * (4 * world / batch)
        weights = others * (4 * world / batch**2 * grad_off)
        grads = tuple(map(torch.empty_like, views))
        with torch.autocast(others.device.type, enabled=False):
            for part in dimension_tiles(views, batch):
                moments = Moments(next(of_tiles), next(of_tiles))
                diagonals = next(of_tiles)
                z = moments.normalize(torch.cat([view[..., part] for view in views]))
                rows = next(of_tiles).to(z.dtype) if world > 1 else z
                errors = ((diagonals - 1) * grad_on - diagonals * grad_off) * mask
                # E_i z_i for all i at once: [d, S, S] @ [d, S, B / W].
                grad = (errors @ by_dimension(z)).permute(1, 2, 0)
                grad = torch.baddbmm(grad, weights, rows)
                grad = normalization_gradient(grad, z, moments.rstd)
                for view, tile in zip(grads, grad.chunk(number), strict=True):
                    view[..., part] = tile
        return grads

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        """Refuse a second derivative."""
        raise NotImplementedError("the pair loss has no second derivative")


def by_dimension(z: Tensor) -> Tensor:
    """Return ``z`` [S, B, d] as [d, S, B], contiguous: bmm loops over strided ones."""
    return z.permute(2, 0, 1).contiguous()


def products_of(z: Tensor) -> Tensor:
    """B C_ii(p, q) of all slice pairs of ``z`` [S, B, d], as [d, S, S]."""
    slices = by_dimension(z)
    return slices @ slices.transpose(1, 2)


def correlation_sums(pairs: Pairs, *views: Tensor) -> tuple[Tensor, Tensor]:
    """Both sums from the correlation matrices [D, D] themselves, in every process."""
    views = tuple(map(gather_batch, views))
    batch, dims = views[0].shape[1:]
    slices = [
        F.batch_norm(z, None, None, training=True, eps=EPS)
        for view in views
        for z in view
    ]
    on_diagonal, off_diagonal = [], []
    for p in range(len(slices)):
        # The pairs of slice p with later ones: from the next slice, or view, on.
        step = 1 if pairs.within_view else pairs.steps
        first = (p // step + 1) * step
        if first == len(slices):
            break
        c = slices[p].T @ torch.cat(slices[first:], 1) / batch  # [D, partners D]
        diagonals = c.unflatten(1, (-1, dims)).diagonal(dim1=0, dim2=2)
        # Once for both orders of a pair; a dot product has no [D, D] intermediate.
        on_diagonal.append(2 * (diagonals - 1).square().sum())
        squares = torch.dot(c.flatten(), c.flatten())
        off_diagonal.append(2 * (squares - diagonals.square().sum()))
    return torch.stack(on_diagonal).sum(), torch.stack(off_diagonal).sum()


def gram_sums(
    pairs: Pairs, *views: Tensor, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """Both sums by :class:`GramSums`."""
    on_diagonal, off_diagonal = GramSums.apply(pairs, dtype, *views)
    return on_diagonal, off_diagonal


def sum_over_pairs(
    pairs: Pairs, *views: Tensor, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """Both sums by the form that is cheaper for a process.

    Args:
        pairs: The pairs that count.
        *views: Own samples, each ``[t, B / W, D]``, as they came.
        dtype: Type in which Gram matrices' rows travel; None for the views'.
    """
    own, dims = views[0].shape[1:]
    if len(views) * pairs.steps * own < pairs.number / 2 * dims:
        return gram_sums(pairs, *views, dtype=dtype)
    return correlation_sums(pairs, *views)
