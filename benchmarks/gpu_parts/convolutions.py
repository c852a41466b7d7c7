"""Convolutions alone: TFLOP/s forward and of both gradients, by layout."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from harness import digits

from gpu_parts.context import Context, Jobs, device_ms
from gpu_parts.variants import cudnn_benchmark

FIRING_RATE = 0.2
"""Of the spikes that are convolved; the time hardly depends on values, power does."""


class Shape(NamedTuple):
    """A convolution of stride 1 that keeps the size."""

    inputs: int
    outputs: int
    kernel: int
    pixels: int
    frames: int

    @property
    def teraflop(self) -> float:
        """Of a forward pass, and of each gradient."""
        per_pixel = 2 * self.inputs * self.outputs * self.kernel**2
        return per_pixel * self.pixels**2 * self.frames / 1e12


SHAPES = (
    *(Shape(48, 96, 3, 32, 2048), Shape(96, 192, 3, 32, 2048)),
    *(Shape(192, 384, 3, 16, 2048), Shape(384, 384, 3, 8, 2048)),
    *(Shape(384, 1152, 1, 8, 2048), Shape(384, 1536, 1, 8, 2048)),
    *(Shape(1536, 384, 1, 8, 2048), Shape(64, 128, 3, 112, 256)),
    *(Shape(128, 256, 3, 56, 256), Shape(256, 512, 3, 28, 256)),
    Shape(512, 2048, 1, 14, 256),
)
"""Of Spikformer-4-384 with 256 images at 32 pixels, 8-512 with 32 at 224; T = 4."""
WAYS = ("forward", "of the input", "of the weight")


def rates(
    context: Context, shape: Shape, runs: tuple[Callable[[], Any], ...]
) -> dict[str, float]:
    """TFLOP/s of the forward pass, of the input's gradient and of the weight's."""
    times = {
        way: device_ms(run, context.device) for way, run in zip(WAYS, runs, strict=True)
    }
    return {way: digits(1e3 * shape.teraflop / ms) for way, ms in times.items()}


def convolution(
    context: Context, shape: Shape, dtype: torch.dtype, last: bool, benchmark: bool
) -> dict[str, float]:
    """Rates of the convolution in a memory order."""
    order = torch.channels_last if last else torch.contiguous_format
    sizes = (
        (shape.frames, shape.inputs, shape.pixels, shape.pixels),
        (shape.outputs, shape.inputs, shape.kernel, shape.kernel),
        (shape.frames, shape.outputs, shape.pixels, shape.pixels),
    )
    x, weight, grad = (
        torch.rand(size, device=context.device).to(dtype, memory_format=order)
        for size in sizes
    )
    x = (x < FIRING_RATE).to(dtype)

    def backward(of_input: bool) -> Any:
        pads = [shape.kernel // 2] * 2
        ones, zeros = [1, 1], [0, 0]
        asked = [of_input, not of_input, False]
        return torch.ops.aten.convolution_backward(
            grad, x, weight, None, ones, pads, ones, False, zeros, 1, asked
        )

    with cudnn_benchmark(benchmark):
        forward = partial(F.conv2d, x, weight, padding=shape.kernel // 2)
        runs = (forward, partial(backward, True), partial(backward, False))
        return rates(context, shape, runs)


def product(context: Context, shape: Shape, dtype: torch.dtype) -> dict[str, float]:
    """Rates of a 1x1 convolution as matrix products; TF32 is allowed, as there."""
    pixels = shape.frames * shape.pixels**2
    options: Any = dict(device=context.device, dtype=dtype)
    x = torch.randn(pixels, shape.inputs, **options)
    weight = torch.randn(shape.outputs, shape.inputs, **options)
    grad = torch.randn(pixels, shape.outputs, **options)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        runs = (lambda: x @ weight.t(), lambda: grad @ weight, lambda: grad.t() @ x)
        return rates(context, shape, runs)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def jobs(context: Context) -> Jobs:
    """All shapes: what decides most comes first."""
    shapes = (Shape(8, 16, 3, 8, 2), Shape(8, 16, 1, 8, 2)) if context.tiny else SHAPES
    settings = [(True, True), (False, True), (True, False), (False, False)]
    for dtype in (torch.bfloat16, torch.float32):
        for last, benchmark in settings:
            for shape in shapes:
                name = (
                    f"{shape.inputs}-{shape.outputs} {shape.kernel}x{shape.kernel}, "
                    f"{shape.frames} x {shape.pixels} px, {str(dtype)[6:]}, "
                    f"{'channels last' if last else 'contiguous'}"
                    f"{', benchmark' if benchmark else ''}"
                )
                yield name, partial(convolution, context, shape, dtype, last, benchmark)
        for shape in shapes:
            if shape.kernel == 1:
                name = f"{shape.inputs}-{shape.outputs} product, {str(dtype)[6:]}"
                yield name, partial(product, context, shape, dtype)
