"""Cost of attention in both orders of its products, over the number of tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from harness import Case, Run, Side
from torch import Tensor

from snnssl_mm.models.attention import spiking_attention

TITLE = "attention of Spikformer-4-384, one image and time step, forward and backward"
TOKENS = (64, 196, 1050, 2100, 4200)
"""A 32x32 and a 224x224 image, a quarter and a half of 1344x800, and all of it."""
HEADS, HEAD_CHANNELS = 12, 32


def quadratic_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Multiply in the order that costs 2 d L^2 operations, whatever d and L."""
    return (q @ k.transpose(-2, -1)) @ v


class Size(NamedTuple):
    """Steps, tokens and where."""

    steps: int
    tokens: int
    device: str


def forward_backward(
    attention: Callable[[Tensor, Tensor, Tensor], Tensor], size: Size
) -> Run:
    """Compute the output and the gradients of q, k and v, for spikes at rate 0.2."""
    generator = torch.Generator().manual_seed(0)
    shape = (3, size.steps, HEADS, size.tokens, HEAD_CHANNELS)
    spikes = (torch.rand(shape, generator=generator) < 0.2).float().to(size.device)
    qkv = [part.requires_grad_() for part in spikes.unbind()]
    weight = torch.randn(shape[1:], generator=generator).to(size.device)

    def run() -> list[Tensor]:
        counts = attention(*qkv)
        return [counts.detach(), *torch.autograd.grad(counts, qkv, weight)]

    return run


ORDERS = {"ours": spiking_attention, "(q k^T) v": quadratic_attention}


def cases(device: str, quick: bool) -> list[Case]:
    """Make one case per number of tokens."""
    tokens = (16, 64) if quick else TOKENS
    return [
        Case(
            f"{number:,} tokens",
            {
                side: Side(partial(forward_backward, order), memory=number > 1000)
                for side, order in ORDERS.items()
            },
            Size(1, number, device),
            Size(1, 8, device),
            tolerance=(1e-3, 1e-4),
            budget_s=4,
            rounds=(2, 30),
            headline=number == max(tokens),
        )
        for number in tokens
    ]
