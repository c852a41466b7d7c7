"""Where NaN or infinity came from: a forward pass that is watched layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.engine.guards.batch_faults import Fault, batch_faults, samples_of
from snnssl_mm.engine.guards.good_checkpoint import not_finite


class Finding(NamedTuple):
    """What was non-finite first.

    Attributes:
        kind: ``'inputs'``, ``'targets'``, ``'weights'``, ``'activations'``,
            ``'loss'`` or ``'gradients'``.
        layer: Name of the module, loss or parameter; of inputs and targets the image.
        detail: A phrase that says what was found there.
    """

    kind: str
    layer: str
    detail: str


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Floating-point tensors of a nested structure."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors_in(part)


def bad_values(value: Any) -> str:
    """Phrase such as ``'3 of 64 values'`` for what is not finite; empty if all is."""
    bad = total = 0
    for tensor in tensors_in(value):
        bad += int((~torch.isfinite(tensor)).sum())
        total += tensor.numel()
    return f"{bad:,} of {total:,} values" if bad else ""


class ForwardWatch:
    """Note the first layer whose input, weights or output is not finite.

    It looks at what every module without children takes and gives. A batch norm that
    is watched is computed apart from its neuron, and that is needed here: MixedLIF
    answers NaN with silence.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.found: Finding | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch every layer of the model."""
        handles = []
        for name, module in self.model.named_modules():
            if not any(True for _ in module.children()):
                before, after = self.looks(name)
                handles.append(module.register_forward_pre_hook(before))
                handles.append(module.register_forward_hook(after))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def looks(self, name: str) -> tuple[Any, Any]:
        """Hooks before and after the layer ``name``."""

        def before(module: nn.Module, inputs: Any) -> None:
            if self.found is None and (bad := bad_values(inputs)):
                what = f"its input ({bad}), which no layer before it put out"
                self.found = Finding("activations", name, what)

        def after(module: nn.Module, inputs: Any, output: Any) -> None:
            if self.found is not None:
                return
            weights = not_finite(dict(module.named_parameters(recurse=False)))
            if weights:
                what = f"its {' and '.join(weights)}"
                self.found = Finding("weights", name, what)
            elif bad := bad_values(output):
                statistics = not_finite(dict(module.named_buffers(recurse=False)))
                # While it trains, a batch norm's statistics follow its input.
                frozen = statistics and not module.training
                cause = f" with its {' and '.join(statistics)}" if frozen else ""
                what = f"its output ({bad}){cause}; its input and weights are finite"
                self.found = Finding("activations", name, what)

        return before, after


@torch.no_grad()
def search(
    model: nn.Module, optim_wrapper: Any, batch: Any, classes: int | None = None
) -> Finding | None:
    """Look at the batch, repeat its forward pass, look at weights and gradients.

    Every process has to take part, since models may talk in their forward pass. Of a
    model that draws random numbers it is another forward pass.

    Args:
        model: In training mode, wrapped or not.
        optim_wrapper: Its autocast is used.
        batch: As the data loader gave it.
        classes: Number of classes of the data, if it is known.

    Returns:
        What was non-finite first; None if nothing was.
    """
    inner: Any = unwrapped(model)
    data = inner.data_preprocessor(batch, True)
    inputs = data.get("inputs") if isinstance(data, Mapping) else data
    faults = batch_faults(inputs, samples_of(data), classes)
    if faults and faults[0].certain:
        return blamed(faults, batch)
    if bad := bad_values(inputs):
        return Finding("inputs", "the batch", bad)
    found = search_forward(model, optim_wrapper, data) or search_state(inner)
    if faults and (found is None or explains(faults[0], found)):
        return blamed(faults, batch)
    return found


def search_forward(model: Any, optim_wrapper: Any, data: Any) -> Finding | None:
    """Repeat the forward pass of preprocessed ``data``, watched layer by layer."""
    watch = ForwardWatch(unwrapped(model))
    with watch.watching(), context_of(optim_wrapper, model):
        losses = model._run_forward(data, mode="loss")
    if watch.found:
        return watch.found
    for name, value in losses.items():
        if bad := bad_values(value):
            return Finding("loss", name, f"{bad}, of finite outputs of all layers")
    return None


def explains(fault: Fault, found: Finding) -> bool:
    """Whether a doubtful fault of the batch may be behind what was found.

    Targets meet the network in its heads, so they explain nothing in a backbone.
    """
    if found.kind == "weights":
        return False
    early = found.layer.startswith(("backbone.", "neck."))
    return fault.kind == "inputs" or found.kind != "activations" or not early


def blamed(faults: Sequence[Fault], batch: Any) -> Finding:
    """The first fault as what was found, with the number of further samples."""
    first, detail = faults[0], faults[0].detail
    others = {fault.sample for fault in faults} - {first.sample}
    raw = batch.get("inputs") if isinstance(batch, Mapping) else batch
    if first.kind == "inputs" and first.certain and not bad_values(raw):
        detail += "; they were finite before the data_preprocessor normalised them"
    if others:
        detail += f"; {len(others)} more images of the batch have faults"
    return Finding(first.kind, first.sample, detail)


@contextmanager
def context_of(optim_wrapper: Any, model: nn.Module) -> Iterator[None]:
    """The autocast that an optimizer wrapper trains with, if it is one."""
    if isinstance(optim_wrapper, OptimWrapper):
        with optim_wrapper.optim_context(model):
            yield
    else:
        yield


def search_state(model: nn.Module) -> Finding | None:
    """Look at weights, then gradients, without a forward pass.

    The backward pass goes from the last layer to the first, so the last parameter
    with a non-finite gradient is where that began.
    """
    parameters = dict(model.named_parameters())
    if weights := not_finite(parameters):
        return Finding("weights", weights[0], f"{len(weights)} of {len(parameters)}")
    gradients = {n: p.grad for n, p in parameters.items() if p.grad is not None}
    if bad := not_finite(gradients):
        what = (
            f"{len(bad)} of {len(gradients)} parameters have such gradients, and the "
            f"backward pass meets {bad[-1]} first; the forward pass was finite"
        )
        return Finding("gradients", bad[-1], what)
    return None
