"""Stop a training at the first NaN or infinity, and say where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, isfinite
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from torch.nn.utils import get_total_norm

from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.engine.guards.batch_faults import non_finite_target, samples_of
from snnssl_mm.engine.guards.good_checkpoint import not_finite, resume_advice
from snnssl_mm.engine.guards.non_finite_search import Finding, search, search_state
from snnssl_mm.engine.guards.training_stopped import TrainingStopped, any_process
from snnssl_mm.registry import HOOKS

SMALLEST_SCALE = 2.0**-24
"""Of a loss in fp16: a gradient of 1 times less is 0 there."""


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Stop all processes when a gradient, the loss or a weight is not finite.

    Gradients are looked at before a step of the optimizer, by their largest absolute
    value: the weights are then still those that the forward pass had, and that pass is
    repeated once, watched, to find the first layer. The loss is looked at after every
    step, where mmengine has brought it to the CPU already. Weights are looked at when a
    checkpoint is due, so that none is written which holds NaN.

    With mixed precision on a GPU the loss scaler itself leaves steps out whose
    gradients are infinite, which is normal, and nothing is looked at twice; such a
    training stops when its scale has fallen below 2^-24.

    Args:
        interval: Steps between two looks at the gradients. By default every step on a
            CPU. On a GPU a look waits for the gradients and keeps the step from being
            prepared meanwhile, so it is every 10th there; in between NaN may reach the
            weights before it is found, and with 1 it cannot.

    Raises:
        TrainingStopped: It names the iteration, what was non-finite first (the image
            file if images or annotations were), what to do about it, the last good
            checkpoint and the command that continues from it.
    """

    priority = "HIGH"  # after mmengine noted the loss, before anything is saved

    def __init__(self, interval: int | None = None) -> None:
        self.interval = interval
        self.steps = 0
        self.runner: Any = None
        self.batch: Any = None
        self.handles: list[Any] = []

    def before_train(self, runner: Any) -> None:
        """Look at the gradients from now on."""
        self.runner = runner
        self.handles = [
            optimizer.register_step_pre_hook(self.before_step)
            for optimizer in optimizers(runner.optim_wrapper)
        ]

    def after_train(self, runner: Any) -> None:
        """Look no more."""
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any) -> None:
        """Keep the batch; refuse NaN in its annotations, on which operators crash."""
        self.batch = data_batch
        if fault := non_finite_target(samples_of(data_batch)):
            self.runner = runner
            finding = Finding(fault.kind, fault.sample, fault.detail)
            self.raise_error("annotations are not finite", finding)

    @torch.no_grad()
    def before_step(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        """Look at the gradients."""
        groups = optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            return
        self.steps += 1
        on_cpu = gradients[0].device.type == "cpu"
        if self.steps % (self.interval or (1 if on_cpu else 10)):
            return
        largest: Any = get_total_norm(gradients, inf)
        if hasattr(largest, "full_tensor"):  # of sharded parameters
            largest = largest.full_tensor()
        if any_process(~torch.isfinite(largest), largest):
            self.stop("gradients are not finite")

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Look at the loss."""
        value = float(torch.as_tensor((outputs or {}).get("loss", 0.0)).detach())
        if any_process(not isfinite(value), next(runner.model.parameters())):
            other = " (of another process: not finite)" if isfinite(value) else ""
            self.stop(f"the loss is {value}{other}")
        if self.every_n_train_iters(runner, 10):
            self.check_scale(runner)
        self.batch = None

    def check_scale(self, runner: Any) -> None:
        """Stop if the loss scaler gave up: all gradients were infinite, for long."""
        scaler = getattr(runner.optim_wrapper, "loss_scaler", None)
        if scaler is not None and 0 < (scale := scaler.get_scale()) < SMALLEST_SCALE:
            self.stop(f"the loss scale fell to {scale:.3g}, with no finite gradient")

    def after_train_epoch(self, runner: Any) -> None:
        """Look at the weights, in all processes, before a checkpoint is written."""
        state = unwrapped(runner.model).state_dict()
        bad = not_finite(state)
        like = next(iter(state.values()))
        if any_process(bool(bad), like):
            self.refuse(bad)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Look at what is about to be written."""
        self.runner = runner
        if bad := not_finite(checkpoint["state_dict"]):
            self.refuse(bad)

    def refuse(self, names: list[str]) -> None:
        """Stop because of weights or statistics that are not finite."""
        if not names:
            return self.raise_error("another process has non-finite weights", None)
        finding = Finding("weights", names[0], f"{len(names)} tensors in all")
        self.raise_error("no checkpoint is written of weights with NaN", finding)

    def stop(self, reason: str) -> None:
        """Search and stop."""
        runner = self.runner
        classes = class_count(runner)
        try:
            finding = search(runner.model, runner.optim_wrapper, self.batch, classes)
        except Exception as error:  # of any model; what is known must still be said
            runner.logger.warning(f"the forward pass could not be repeated: {error!r}")
            finding = search_state(unwrapped(runner.model))
        if get_world_size() > 1:  # the first process writes the log, any may have it
            found = all_gather_object(finding)
            finding = next((one for one in found if one is not None), None)
        self.raise_error(reason, finding)

    def raise_error(self, reason: str, finding: Finding | None) -> None:
        """Log and raise."""
        runner = self.runner
        where = "Images, annotations, weights and layers were finite when looked at"
        if finding:
            where = (
                f"First not finite: {finding.kind}, {finding.layer}: {finding.detail}"
            )
        message = (
            f"training stopped at iteration {runner.iter + 1} (epoch "
            f"{runner.epoch + 1}): {reason}. {where}. {cure(runner, finding)}. "
            f"{resume_advice(runner)}"
        )
        runner.logger.error(message)
        raise TrainingStopped(message)


def class_count(runner: Any) -> int | None:
    """Number of classes of the training data; None if they do not tell."""
    dataset = getattr(getattr(runner, "train_dataloader", None), "dataset", None)
    classes = (getattr(dataset, "metainfo", None) or {}).get("classes")
    return len(classes) if isinstance(classes, (list, tuple)) and classes else None


def cure(runner: Any, finding: Finding | None) -> str:
    """What to do about what was found."""
    kind = finding.kind if finding else "nothing"
    if finding and kind == "inputs":
        if "data_preprocessor" in finding.detail:
            return "Correct mean and std of the data_preprocessor (std must not be 0)"
        return f"Repair or remove {finding.layer}, or correct the transforms"
    if finding and kind == "targets":
        return f"Repair or remove the annotations of {finding.layer}"
    rate = next(iter(runner.optim_wrapper.get_lr().values()), [0.0])[0]
    causes = [f"a learning rate that is too high (it was {rate:.3g})"]
    if hasattr(runner.optim_wrapper, "cast_dtype"):
        causes.append("an overflow in half precision (try without --amp)")
    causes.append("a division by a norm or variance of 0 in a layer or loss")
    earlier = "They became so in an earlier step, or came with a checkpoint. "
    return (
        earlier if kind == "weights" else ""
    ) + f"Possible causes: {'; '.join(causes)}"


def optimizers(optim_wrapper: Any) -> Iterator[Any]:
    """Optimizers of a wrapper, or of a dict of wrappers, without working scaler."""
    wrappers = optim_wrapper.values() if hasattr(optim_wrapper, "values") else ()
    for wrapper in wrappers or [optim_wrapper]:
        optimizer = getattr(wrapper, "optimizer", None)
        scaler = getattr(wrapper, "loss_scaler", None)
        scaled = scaler is not None and scaler.is_enabled()
        if hasattr(optimizer, "register_step_pre_hook") and not scaled:
            yield optimizer
