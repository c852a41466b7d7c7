"""Temporal losses made of mmpretrain's Barlow Twins loss."""

from __future__ import annotations

from itertools import combinations

import torch
from mmpretrain.models.heads import LatentCrossCorrelationHead
from torch import Tensor, nn


class PairwiseLoss(nn.Module):
    """A temporal loss as the mean of mmpretrain's Barlow Twins loss over slice pairs.

    The pair loss is symmetric, so unordered pairs are enough.

    Args:
        dims: Embedding dimension D.
        lambd: Weight of the off-diagonal part.
    """

    def __init__(self, dims: int, lambd: float = 5e-3) -> None:
        super().__init__()
        loss = dict(type="CrossCorrelationLoss", lambd=lambd)
        self.head = LatentCrossCorrelationHead(dims, loss)

    def forward(self, slices: Tensor) -> Tensor:
        """Loss of ``slices`` [S, B, D]; without gradient one pair is kept at a time."""
        pairs = list(combinations(slices, 2))
        return sum(self.head.loss(p, q) for p, q in pairs) / len(pairs)

    def with_gradient(self, slices: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and its gradient, pair by pair, so that no graph outlives its pair."""
        leaves = slices.detach().unbind()
        total = torch.zeros((), device=slices.device)
        gradient = torch.zeros_like(slices)
        pairs = list(combinations(range(len(leaves)), 2))
        for p, q in pairs:
            z_p, z_q = (leaves[index].requires_grad_() for index in (p, q))
            loss = self.head.loss(z_p, z_q) / len(pairs)
            for index, grad in zip(
                (p, q), torch.autograd.grad(loss, (z_p, z_q)), strict=True
            ):
                gradient[index] += grad
            total = total + loss.detach()
        return total, gradient
