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

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-5
TILE = {"cpu": 2**18, "cuda": 2**26}
"""Numbers in a tile of embeddings; on a CPU, a tile that stays in its cache."""


class Pairs(NamedTuple):
    """Selection of ordered pairs p != q among 2 t slices: t of view A, then t of B.

    Attributes:
        steps: t, slices of one view.
        within_view: Whether pairs inside one view count too.
    """

    steps: int
    within_view: bool

    @property
    def number(self) -> int:
        """Number of ordered pairs that count."""
        slices = 2 * self.steps
        return slices * (slices - 1) if self.within_view else slices * self.steps

    def mask(self, like: Tensor) -> Tensor:
        """Return m_pq: 1 for pairs that count, else 0, as ``[S, S]``, S = 2 t."""
        index = torch.arange(2 * self.steps, device=like.device)
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


def dimension_tiles(z_a: Tensor) -> Iterator[slice]:
    """Tile the dimensions of ``z_a`` [t, B, D], one of two views."""
    steps, batch, dims = z_a.shape
    width = TILE.get(z_a.device.type, TILE["cpu"]) // (2 * steps * batch)
    width = max(width // 64 * 64, 64)  # whole vectors and cache lines
    for low in range(0, dims, width):
        yield slice(low, min(low + width, dims))


class GramSums(torch.autograd.Function):
    """Both sums from the Gram matrices K_p = z_p z_p^T [B, B] of the slices.

    ``||C(p, q)||^2 = <K_p, K_q> / B^2``, so with O_p = sum_q m_pq K_q::

        sum_pq m_pq ||C(p, q)||^2 = sum_p <K_p, O_p> / B^2

    S Gram matrices replace S^2 correlation matrices [D, D]. O_p is sum_q K_q - K_p for
    all pairs, and the sum of the other view's K for pairs between the views. The
    diagonals C_ii(p, q) need products within dimension i only: [S, S] for each i.

    Dimensions are processed in tiles. The backward pass, :class:`GramGradients`, has a
    closed form; it keeps O [S, B, B] and recomputes the normalised slices of a tile.
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
        for part in dimension_tiles(z_a):
            z, _ = normalize_slices(torch.cat([z_a[..., part], z_b[..., part]]))
            grams.baddbmm_(z, z.transpose(1, 2))
            diagonals = diagonals_of(z)
            on_diagonal += ((diagonals - 1).square_() * mask).sum().double()
            squares += (diagonals.square_() * mask).sum().double()
        others = grams.sum(0) - grams  # O_p
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
        """Gradients of both views in closed form, see :class:`GramGradients`."""
        grads = GramGradients.apply(grad_on, grad_off, *ctx.saved_tensors, ctx.pairs)
        return *grads, None


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
        grad_on: Tensor,
        grad_off: Tensor,
        z_a: Tensor,
        z_b: Tensor,
        others: Tensor,
        pairs: Pairs,
    ) -> tuple[Tensor, Tensor]:
        """Gradients of ``z_a`` and ``z_b`` [t, B, D].

        Args:
            ctx: Not used.
            grad_on: g_on, a scalar.
            grad_off: g_off, a scalar.
            z_a: View A ``[t, B, D]``, not normalised.
            z_b: View B, likewise.
            others: O_p, ``[S, B, B]``.
            pairs: The pairs that count.
        """
        batch = z_a.shape[1]
        mask = pairs.mask(z_a) * (4 / batch)
        weights = others * (4 / batch**2 * grad_off)
        grads = torch.empty_like(z_a), torch.empty_like(z_b)
        with torch.autocast(z_a.device.type, enabled=False):
            for part in dimension_tiles(z_a):
                z, rstd = normalize_slices(torch.cat([z_a[..., part], z_b[..., part]]))
                diagonals = diagonals_of(z)
                errors = ((diagonals - 1) * grad_on - diagonals * grad_off) * mask
                # E_i z_i for all i at once: [d, S, S] @ [d, S, B], then as [S, B, d].
                grad = (errors @ by_dimension(z)).permute(1, 2, 0)
                grad = torch.baddbmm(grad, weights, z)
                grad = normalization_gradient(grad, z, rstd)
                for view, tile in zip(grads, grad.chunk(2), strict=True):
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
    """Both sums for ``z_a``, ``z_b`` [t, B, D], not normalised, by the cheaper form."""
    steps, batch, dims = z_a.shape
    if 2 * steps * batch < pairs.number / 2 * dims:
        on_diagonal, off_diagonal = GramSums.apply(z_a, z_b, pairs)
        return on_diagonal, off_diagonal
    return correlation_sums(z_a, z_b, pairs)
