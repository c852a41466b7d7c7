"""Small batches, where launches decide: eager steps and a CUDA graph of the step."""

from __future__ import annotations

from functools import partial

import torch
from learners import Size
from rows.training_step import step

from gpu_parts.context import TINY, Context, Jobs, step_ms
from gpu_parts.graphs import captured
from gpu_parts.variants import CAPTURABLE


def details(context: Context, size: Size, graph: bool) -> dict[str, float]:
    """Milliseconds of a step among others."""
    options = dict(CAPTURABLE, capturable=context.device == "cuda")
    run = step("dual", size, **options)
    if graph:
        run = captured(run, context.device)
    for _ in range(3):
        run()
    return {"step_ms": step_ms(run, context.device)}


def jobs(context: Context) -> Jobs:
    """Spikformer-16-512 at 224 pixels with few images, in bf16."""
    for images in (2,) if context.tiny else (4, 8, 32):
        size = Size("16-512", "imagenet", 224, images, context.device)
        if context.tiny:
            size = size._replace(arch=TINY, stem="cifar", pixels=32, projector=32)
        size = size._replace(autocast=torch.bfloat16)
        network = "tiny" if context.tiny else size.arch
        for way in ("eager", "graph"):
            name = f"{network}, {images} x {size.pixels} px, bf16: {way}"
            yield name, partial(details, context, size, way == "graph")
