"""Matrix products of spikes: counts, which bfloat16 operands must not round.

A count is a sum of products of spikes. bfloat16 holds every integer up to 256 and
rounds larger ones, whatever the precision in which a product was accumulated. So a
product may have a bfloat16 result only if it sums no more than 256 terms.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

LARGEST_EXACT = 256
"""bfloat16, of 8 significant bits, holds the integers up to this one."""


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Multiply in the operands' own type: no autocast, no TF32.

    TF32 and fp16 are exact for integers up to 2048, bf16 up to 256.
    """
    with torch.autocast(device.type, enabled=False):
        if device.type != "cuda" or torch.get_float32_matmul_precision() == "highest":
            yield
            return
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(precision)


def multiplies_bf16(device: torch.device) -> bool:
    """Whether ``device`` multiplies bfloat16 matrices faster than float32 ones.

    CPUs without instructions for it take many times as long.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def counts_of_pairs(a: Tensor, b: Tensor) -> Tensor:
    """Product of spikes ``a`` [..., n, K] and ``b`` [..., K, m], exact.

    Of bfloat16 operands, sums of more than 256 terms are computed in parts, which
    bfloat16 holds, and those are added in float32.

    Returns:
        ``[..., n, m]`` in the operands' type, or in float32 if that would round.
    """
    terms = a.shape[-1]
    if a.dtype != torch.bfloat16 or terms <= LARGEST_EXACT:
        return a @ b
    split = terms - terms % LARGEST_EXACT
    left = a[..., :split].unflatten(-1, (-1, LARGEST_EXACT)).transpose(-3, -2)
    right = b[..., :split, :].unflatten(-2, (-1, LARGEST_EXACT))
    counts = (left @ right).sum(-3, dtype=torch.float32)
    return counts + a[..., split:] @ b[..., split:, :] if split < terms else counts


def counts_of_counts(a: Tensor, b: Tensor) -> Tensor:
    """Product of spikes and counts, ``a`` [..., n, K] and ``b`` [..., K, m], exact.

    Returns:
        ``[..., n, m]``, in float32 if an operand is bfloat16: these sums are large.
    """
    if a.dtype == b.dtype == torch.bfloat16:
        batches = (x.reshape(-1, *x.shape[-2:]) for x in (a, b))
        product: Tensor = WideProduct.apply(*batches)
        return product.reshape(*a.shape[:-1], b.shape[-1])
    wide = torch.promote_types(a.dtype, b.dtype)
    return a.to(wide) @ b.to(wide)


class WideProduct(torch.autograd.Function):
    """Product of bfloat16 matrices [B, n, K] and [B, K, m], in float32.

    The gradients are products of bfloat16 matrices, as under autocast. Only the
    bfloat16 operands are kept for them.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        """Multiply."""
        ctx.save_for_backward(a, b)
        # torch has the first for CUDA only, from 2.8 on.
        if a.is_cuda and "dtype" in torch.ops.aten.bmm.overloads():
            return torch.bmm(a, b, out_dtype=torch.float32)
        return a.float() @ b.float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        """Multiply the gradient with the operands."""
        a, b = ctx.saved_tensors
        grad = grads[0].to(a.dtype)
        return grad @ b.mT, a.mT @ grad
