"""Sums of the pair loss's two terms over pairs of slices.

A slice z_p is a [B, D] batch of embeddings, normalised over the batch, and
C(p, q) = z_p^T z_q / B. With m_pq = 1 for the ordered pairs that count, else 0::

    on  = sum_pq m_pq sum_i (C_ii(p, q) - 1)^2
    off = sum_pq m_pq sum_{i != j} C_ij(p, q)^2

:class:`GramSums` is linear in the number of time steps and needs hardly more memory
than its gradient, :func:`correlation_sums` is cheaper for few time steps and large
batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

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


def normalize_slices(z: Tensor) -> tuple[Tensor, Tensor]:
    """Normalise ``z`` [..., B, D] to mean 0 and variance 1 over B.

    Returns:
        The result, and the factor 1 / sqrt(variance + eps) [..., 1, D].
    """
    centred = z - z.mean(-2, keepdim=True)  # var_mean over rows is far slower on a CPU
    rstd = torch.rsqrt(centred.square().mean(-2, keepdim=True) + EPS)
    return centred.mul_(rstd), rstd


def normalization_gradient(grad: Tensor, z: Tensor, rstd: Tensor) -> Tensor:
    """Gradient of the input of :func:`normalize_slices` from that of its result ``z``.

    With z = (x - mean) rstd, where mean and rstd depend on x, and means over B::

        G(x) = rstd (G(z) - mean(G(z)) - z mean(G(z) z))

    Args:
        grad: G(z), ``[..., B, D]``.
        z: Normalised slices ``[..., B, D]``.
        rstd: ``[..., 1, D]``.
    """
    slope = (grad * z).mean(-2, keepdim=True)
    return (grad - grad.mean(-2, keepdim=True)).sub_(z * slope).mul_(rstd)


def dimension_tiles(views: Sequence[Tensor]) -> Iterator[slice]:
    """Tile the dimensions of ``views``, each ``[t, B, D]``."""
    steps, batch, dims = views[0].shape
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

    Dimensions are processed in tiles. The backward pass, :class:`GramGradients`, has a
    closed form; it keeps O [S, B, B] and recomputes the normalised slices of a tile.
    """

    @staticmethod
    def forward(ctx: Any, pairs: Pairs, *views: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of (C_ii - 1)^2 and of C_ij^2 for ``views``, each ``[t, B, D]``."""
        steps, batch, _ = views[0].shape
        mask = pairs.mask(views[0])
        grams = views[0].new_zeros((len(views) * steps, batch, batch))
        on_diagonal, squares = views[0].new_zeros(2, dtype=torch.float64)
        for part in dimension_tiles(views):
            z, _ = normalize_slices(torch.cat([view[..., part] for view in views]))
            grams.baddbmm_(z, z.transpose(1, 2))
            diagonals = diagonals_of(z)
            on_diagonal += ((diagonals - 1).square_() * mask).sum().double()
            squares += (diagonals.square_() * mask).sum().double()
        if pairs.within_view:
            others = grams.sum(0) - grams  # O_p
        else:
            of_view = grams.unflatten(0, (-1, steps)).sum(1)
            others = (of_view.sum(0) - of_view).repeat_interleave(steps, 0)
        total = sum(
            torch.dot(k.flatten().double(), other.flatten().double())
            for k, other in zip(grams, others, strict=True)
        )
        ctx.save_for_backward(others, *views)
        ctx.pairs = pairs
        off_diagonal = total / batch**2 - squares
        return on_diagonal.to(z.dtype), off_diagonal.to(z.dtype)

    @staticmethod
    def backward(ctx: Any, grad_on: Tensor, grad_off: Tensor) -> tuple[Any, ...]:
        """Gradients of all views in closed form, see :class:`GramGradients`."""
        saved = ctx.saved_tensors
        return None, *GramGradients.apply(ctx.pairs, grad_on, grad_off, *saved)


class GramGradients(torch.autograd.Function):
    """Backward pass of :class:`GramSums`, which cannot be differentiated again.

    With g_on and g_off the gradients of the two sums, that of a normalised slice is::

        G(z_p)       = 4 / B^2 g_off O_p z_p + (column i: sum_q E_i[p, q] z_q[:, i])
        E_i[p, q]    = 4 / B m_pq ((C_ii(p, q) - 1) g_on - C_ii(p, q) g_off)

    from d||C(p, q)||^2 / dz_p = 2 K_q z_p / B^2 and dC_ii(p, q) / dz_p[:, i] =
    z_q[:, i] / B. The last term of E takes the diagonal out of ``off``. 4 is 2 from the
    square times 2 because a pair counts in both orders. Shapes: z_p [B, D], O_p [B, B],
    E_i [S, S]. :func:`normalization_gradient` leads from there to the embeddings.

    A Function of its own, because ``once_differentiable`` would silently lose the
    second derivative where torch asks for it with respect to the views alone.
    """

    @staticmethod
    def forward(
        ctx: Any,
        pairs: Pairs,
        grad_on: Tensor,
        grad_off: Tensor,
        others: Tensor,
        *views: Tensor,
    ) -> tuple[Tensor, ...]:
        """Gradients of ``views``.

        Args:
            ctx: Not used.
            pairs: The pairs that count.
            grad_on: g_on, a scalar.
            grad_off: g_off, a scalar.
            others: O_p, ``[S, B, B]``.
            *views: Each ``[t, B, D]``, not normalised.
        """
        batch = others.shape[1]
        mask = pairs.mask(others) * (4 / batch)
        weights = others * (4 / batch**2 * grad_off)
        grads = tuple(map(torch.empty_like, views))
        with torch.autocast(others.device.type, enabled=False):
            for part in dimension_tiles(views):
                z, rstd = normalize_slices(
                    torch.cat([view[..., part] for view in views])
                )
                diagonals = diagonals_of(z)
                errors = ((diagonals - 1) * grad_on - diagonals * grad_off) * mask
                # E_i z_i for all i at once: [d, S, S] @ [d, S, B], then as [S, B, d].
                grad = (errors @ by_dimension(z)).permute(1, 2, 0)
                grad = torch.baddbmm(grad, weights, z)
                grad = normalization_gradient(grad, z, rstd)
                for view, tile in zip(grads, grad.chunk(len(views)), strict=True):
                    view[..., part] = tile
        return grads

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        """Refuse a second derivative."""
        raise NotImplementedError("the pair loss has no second derivative")


def by_dimension(z: Tensor) -> Tensor:
    """Return ``z`` [S, B, d] as [d, S, B], contiguous: bmm loops over strided ones."""
    return z.permute(2, 0, 1).contiguous()


def diagonals_of(z: Tensor) -> Tensor:
    """C_ii(p, q) of all slice pairs of ``z`` [S, B, d], as [d, S, S]."""
    slices = by_dimension(z)
    return slices @ slices.transpose(1, 2) / z.shape[1]


def correlation_sums(pairs: Pairs, *views: Tensor) -> tuple[Tensor, Tensor]:
    """Both sums from the correlation matrices [D, D] themselves."""
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


def sum_over_pairs(pairs: Pairs, *views: Tensor) -> tuple[Tensor, Tensor]:
    """Both sums for ``views``, each ``[t, B, D]`` as it came, by the cheaper form."""
    batch, dims = views[0].shape[1:]
    if len(views) * pairs.steps * batch < pairs.number / 2 * dims:
        on_diagonal, off_diagonal = GramSums.apply(pairs, *views)
        return on_diagonal, off_diagonal
    return correlation_sums(pairs, *views)
