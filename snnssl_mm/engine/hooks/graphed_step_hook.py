"""Training steps by CUDA graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from torch import nn

from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.engine.graphed_step import GraphBackend, GraphedStep
from snnssl_mm.engine.hooks.non_finite_hook import NonFiniteHook
from snnssl_mm.engine.lars import LARS
from snnssl_mm.registry import HOOKS


@HOOKS.register_module()
class GraphedStepHook(Hook):
    """Capture the training step of DualPathSSL in a CUDA graph, and replay it.

    ``snnssl train --graph`` adds it; or, in a config::

        default_hooks = dict(graph=dict(type='snnssl_mm.GraphedStepHook'))

    Forward pass, loss, backward pass and optimizer step become one launch, so that the
    GPU never waits for Python: most useful with small batches. Normalisation, learning
    rate and hooks act as before. Single steps run eagerly if a hook looks inside the
    network (FiringRateHook), if the batch has another size, or after a change of
    PathScheduleHook, until the new step is captured, see
    :class:`snnssl_mm.engine.graphed_step.GraphedStep`. Where the training cannot be
    captured at all, the hook warns of the reason and is off.

    Args:
        warmup: Steps that run eagerly before a capture.
        backend: Captures the steps; CUDA graphs by default.
    """

    priority = "LOWEST"  # after hooks that change the model at the start

    def __init__(self, warmup: int = 3, backend: GraphBackend | None = None) -> None:
        self.step = GraphedStep(backend, warmup)

    def before_train(self, runner: Any) -> None:
        """Capture from now on, or warn of the reason why not."""
        found = next(obstacles(runner, self.step.backend.device), None)
        if found is not None:
            runner.logger.warning(f"training steps run without a CUDA graph: {found}")
            return
        unwrapped(runner.model).graphed_step = self.step
        runner.logger.info(
            f"training steps are captured after {self.step.warmup} eager ones, and "
            "replayed"
        )

    def after_train(self, runner: Any) -> None:
        """Free the graph."""
        model = unwrapped(runner.model)
        if hasattr(model, "graphed_step"):
            model.graphed_step = None


def obstacles(runner: Any, device: str) -> Iterator[str]:
    """Yield why a training's steps cannot be captured, and what to do."""
    model, wrapper = unwrapped(runner.model), runner.optim_wrapper
    optimizer = getattr(wrapper, "optimizer", None)
    found = next(iter(model.parameters())).device.type
    if found != device:
        yield f"that needs a {device.upper()} device, and the model is on {found!r}"
    if get_world_size() > 1:
        yield "several processes are not supported; train in one process"
    if not hasattr(model, "graphed_step"):
        yield f"that needs a DualPathSSL, and the model is a {type(model).__name__}"
    if optimizer is None or not is_capturable(optimizer):
        yield (
            "that needs one optimizer, AdamW(fused=True) or snnssl_mm.LARS; set "
            "optim_wrapper.optimizer"
        )
    if getattr(wrapper, "_accumulative_counts", 1) > 1:
        yield "gradients are accumulated; set optim_wrapper.accumulative_counts=1"
    if getattr(wrapper, "clip_grad_kwargs", None):
        yield "mmengine reads the norm of clipped gradients; remove clip_grad"
    if any(isinstance(h, NonFiniteHook) and h.every == 1 for h in runner.hooks):
        yield "NonFiniteHook(interval=1) reads gradients before each update; remove it"
    scaler = getattr(wrapper, "loss_scaler", None)
    if scaler is not None and scaler.is_enabled():
        yield "fp16 scales the loss by a number of the host; train with --amp bfloat16"
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._NormBase) and (
            module.track_running_stats and module.momentum is None
        ):
            yield f"{name} has momentum=None, which counts batches on the host"
        if getattr(module, "with_cp", False):
            yield f"{name} recomputes activations; set with_cp=False"


def is_capturable(optimizer: Any) -> bool:
    """Whether an optimizer's step neither reads the device nor changes in Python."""
    if isinstance(optimizer, LARS):
        return True
    return all(
        "capturable" in group and group.get("fused") for group in optimizer.param_groups
    )
