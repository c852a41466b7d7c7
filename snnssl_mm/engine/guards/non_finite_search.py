"""Search for the origin of NaN or infinity: a forward pass checked layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.checks.preflight import autocast_context
from snnssl_mm.engine.guards.batch_faults import Fault, batch_faults, samples_of
from snnssl_mm.engine.guards.good_checkpoint import not_finite


class NonFinite(NamedTuple):
    """The first non-finite values found.

    Attributes:
        kind: ``'inputs'``, ``'targets'``, ``'weights'``, ``'activations'``,
            ``'loss'`` or ``'gradients'``.
        layer: Name of the module, loss or parameter; the image for inputs and targets.
        detail: A phrase describing what was found.
    """

    kind: str
    layer: str
    detail: str


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the floating-point tensors of a nested structure."""
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
    """Count non-finite values, as ``'3 of 64 values'``; empty if all are finite."""
    bad = total = 0
    for tensor in tensors_in(value):
        bad += int((~torch.isfinite(tensor)).sum())
        total += tensor.numel()
    return f"{bad:,} of {total:,} values" if bad else ""


class ForwardWatch:
    """Record the first layer whose input, weights or output is not finite.

    It checks input and output of every module without children. A batch norm with
    hooks is not fused with its neuron, which is needed here: MixedLIF does not spike
    for NaN, so NaN would not reach its output.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.found: NonFinite | None = None

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Check every layer of the model inside the block."""
        handles = []
        for name, module in self.model.named_modules():
            if not any(True for _ in module.children()):
                before, after = self.hooks(name)
                handles.append(module.register_forward_pre_hook(before))
                handles.append(module.register_forward_hook(after))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def hooks(self, name: str) -> tuple[Any, Any]:
        """Make the forward hooks before and after the layer ``name``."""

        def before(module: nn.Module, inputs: Any) -> None:
            if self.found is None and (bad := bad_values(inputs)):
                what = f"its input ({bad}), which is no output of an earlier layer"
                self.found = NonFinite("activations", name, what)

        def after(module: nn.Module, inputs: Any, output: Any) -> None:
            if self.found is not None:
                return
            weights = not_finite(dict(module.named_parameters(recurse=False)))
            if weights:
                what = f"its {' and '.join(weights)}"
                self.found = NonFinite("weights", name, what)
            elif bad := bad_values(output):
                statistics = not_finite(dict(module.named_buffers(recurse=False)))
                # In training mode, a batch norm's statistics follow its input.
                frozen = statistics and not module.training
                cause = f" with its {' and '.join(statistics)}" if frozen else ""
                what = f"its output ({bad}){cause}; its input and weights are finite"
                self.found = NonFinite("activations", name, what)

        return before, after


@torch.no_grad()
def search(
    model: nn.Module, optim_wrapper: Any, batch: Any, classes: int | None = None
) -> NonFinite | None:
    """Check the batch, repeat its forward pass, check weights and gradients.

    If all are finite and there are no gradients any more, the backward pass is
    repeated, too. Every process must call it, since models may communicate in their
    forward pass. If the model draws random numbers, the repeated pass differs from the
    original one.

    Args:
        model: Model in training mode, wrapped or not.
        optim_wrapper: Optimizer wrapper, whose autocast is used.
        batch: Batch of the data loader.
        classes: Number of classes of the data, if known.

    Returns:
        The first non-finite values; None if all are finite.
    """
    inner: Any = unwrapped(model)
    data = inner.data_preprocessor(batch, True)
    inputs = data.get("inputs") if isinstance(data, Mapping) else data
    faults = batch_faults(inputs, samples_of(data), classes)
    if faults and faults[0].certain:
        return fault_as_finding(faults, batch)
    if bad := bad_values(inputs):
        return NonFinite("inputs", "the batch", bad)
    found = search_forward(model, optim_wrapper, data) or search_state(inner)
    cleared = all(parameter.grad is None for parameter in inner.parameters())
    if found is None and cleared and hasattr(inner, "parse_losses"):
        found = search_backward(model, optim_wrapper, data)
    if faults and (found is None or explains(faults[0], found)):
        return fault_as_finding(faults, batch)
    return found


def search_forward(model: Any, optim_wrapper: Any, data: Any) -> NonFinite | None:
    """Repeat the forward pass of preprocessed ``data``, checked layer by layer."""
    watch = ForwardWatch(unwrapped(model))
    with watch.recording(), autocast_context(optim_wrapper, model):
        losses = model._run_forward(data, mode="loss")
    if watch.found:
        return watch.found
    for name, value in losses.items():
        if bad := bad_values(value):
            return NonFinite("loss", name, f"{bad}; all layers have finite outputs")
    return None


@torch.enable_grad()
def search_backward(model: Any, optim_wrapper: Any, data: Any) -> NonFinite | None:
    """Repeat forward and backward pass of preprocessed ``data``; check gradients."""
    inner = unwrapped(model)
    with autocast_context(optim_wrapper, model):
        losses = model._run_forward(data, mode="loss")
    loss, _ = inner.parse_losses(losses)
    loss.backward()
    return search_state(inner)


def explains(fault: Fault, found: NonFinite) -> bool:
    """Whether an uncertain fault of the batch may be the cause of what was found.

    Targets are used in the heads, so they explain nothing in a backbone.
    """
    if found.kind == "weights":
        return False
    early = found.layer.startswith(("backbone.", "neck."))
    return fault.kind == "inputs" or found.kind != "activations" or not early


def fault_as_finding(faults: Sequence[Fault], batch: Any) -> NonFinite:
    """Report the first fault, with the number of other faulty samples."""
    first, detail = faults[0], faults[0].detail
    others = {fault.sample for fault in faults} - {first.sample}
    raw = batch.get("inputs") if isinstance(batch, Mapping) else batch
    if first.kind == "inputs" and first.certain and not bad_values(raw):
        detail += "; they were finite before the data_preprocessor normalised them"
    if others:
        detail += f"; {len(others)} more images of the batch have faults"
    return NonFinite(first.kind, first.sample, detail)


def search_state(model: nn.Module) -> NonFinite | None:
    """Check weights, then gradients, without a forward pass.

    The backward pass runs from the last layer to the first, so non-finite gradients
    begin at the last parameter that has them.
    """
    parameters = dict(model.named_parameters())
    if weights := not_finite(parameters):
        return NonFinite("weights", weights[0], f"{len(weights)} of {len(parameters)}")
    gradients = {n: p.grad for n, p in parameters.items() if p.grad is not None}
    if bad := not_finite(gradients):
        what = (
            f"{len(bad)} of {len(gradients)} parameters have non-finite gradients, "
            f"{bad[-1]} first in the backward pass; the forward pass was finite"
        )
        return NonFinite("gradients", bad[-1], what)
    return None
