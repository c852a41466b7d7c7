"""What the GPU can do at best: copying, matrix products."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from harness import digits

from gpu_parts.context import Context, Jobs, device_ms

PRECISIONS = {
    "bf16": (torch.bfloat16, False),
    "TF32": (torch.float32, True),
    "FP32": (torch.float32, False),
}
"""Name -> data type, and whether products may use TF32."""


def copying(context: Context) -> dict[str, float]:
    """Terabytes a second, read and written, of copying a large tensor."""
    number = 2**18 if context.tiny else 2**29
    source = torch.empty(number, device=context.device)
    target = torch.empty_like(source)
    ms = device_ms(lambda: target.copy_(source), context.device)
    return {"TB_s": digits(2 * 4 * number / ms / 1e9)}


def product(context: Context, dtype: torch.dtype, tf32: bool) -> dict[str, float]:
    """TFLOP/s of a product of square matrices."""
    side = 128 if context.tiny else 8192
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        a, b = torch.randn(2, side, side, device=context.device).to(dtype)
        ms = device_ms(lambda: a @ b, context.device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return {"TFLOP_s": digits(2 * side**3 / ms / 1e9)}


def versions(context: Context) -> dict[str, Any]:
    """Versions that decide how fast kernels are."""
    found: dict[str, Any] = {"cudnn": torch.backends.cudnn.version()}
    if context.device == "cuda":
        import cupy

        properties = torch.cuda.get_device_properties(0)
        found |= {
            "cuda": torch.version.cuda,
            "cupy": cupy.__version__,
            "multiprocessors": properties.multi_processor_count,
            "memory_gib": round(properties.total_memory / 2**30, 1),
        }
    return found


def jobs(context: Context) -> Jobs:
    """Versions, copying and products."""
    yield "versions", partial(versions, context)
    yield "copy", partial(copying, context)
    for name, (dtype, tf32) in PRECISIONS.items():
        yield f"product, {name}", partial(product, context, dtype, tf32)
