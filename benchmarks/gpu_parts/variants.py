"""Training steps with single optimisations switched off, and as a CUDA graph."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest import mock

import torch
from anatomy import anatomy
from learners import Size
from rows.training_step import step

from gpu_parts.context import Context, Jobs, device_ms, step_ms
from gpu_parts.graphs import captured
from snnssl_mm.models import attention, backbone, layers
from snnssl_mm.neurons import MixedNeuron


@contextlib.contextmanager
def cudnn_benchmark(enabled: bool) -> Iterator[None]:
    """Switch cuDNN's search for the fastest convolution."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = enabled
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def contiguous(x: torch.Tensor) -> torch.Tensor:
    """Leave the images in the order in which they came."""
    return x


class Variant(NamedTuple):
    """A step that differs from the one that users have.

    Attributes:
        change: Context in which it is built and runs.
        options: Of :func:`rows.training_step.step`.
        graph: Whether it is captured.
    """

    change: Callable[[], Any] = contextlib.nullcontext
    options: Mapping[str, Any] = MappingProxyType({})
    graph: bool = False


def without(owner: Any, name: str, replacement: Any) -> Callable[[], Any]:
    """Replace a function of the package for a while; fails if it is not there."""
    return partial(mock.patch.object, owner, name, replacement)


CAPTURABLE = dict(fused=True, capturable=True, cache_enabled=False)
VARIANTS = {
    "as it is": Variant(),
    "graph": Variant(options=CAPTURABLE, graph=True),
    "without channels last": Variant(without(backbone, "channels_last", contiguous)),
    "with the biases in front of norms": Variant(
        without(layers, "is_idle_bias", lambda conv, norm: False)
    ),
    "norm and neuron apart": Variant(
        without(MixedNeuron, "fuses_norm", lambda neuron, x: False)
    ),
    "attention in float32": Variant(
        without(attention, "multiplies_bf16", lambda device: False)
    ),
    "without cudnn.benchmark": Variant(partial(cudnn_benchmark, False)),
    "AdamW not fused": Variant(options=dict(fused=False)),
    "AdamW with a group for each parameter": Variant(options=dict(grouped=False)),
}


def details(context: Context, variant: Variant, size: Size) -> dict[str, float]:
    """Milliseconds of a variant's step: of the GPU, and among others with the host."""
    options = {"fused": True, **variant.options}
    if context.device == "cpu":
        options.pop("capturable", None)
    with variant.change():
        run = step("dual", size, **options)
        if variant.graph:
            run = captured(run, context.device)
        found = {"device_ms": device_ms(run, context.device)}
        found["step_ms"] = step_ms(run, context.device)
        if variant.graph and context.device == "cuda":
            found |= anatomy(run, context.device)
    return found


def jobs(context: Context) -> Jobs:
    """All variants of every step; those in bf16 first."""
    sizes = sorted(context.steps().items(), key=lambda item: item[1].autocast is None)
    for name, size in sizes:
        for label, variant in VARIANTS.items():
            yield f"{name}: {label}", partial(details, context, variant, size)
