"""Stop training at the first NaN or infinity, and report its origin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from torch.nn.utils import get_total_norm

from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.engine.guards.batch_faults import non_finite_target, samples_of
from snnssl_mm.engine.guards.good_checkpoint import not_finite, resume_advice
from snnssl_mm.engine.guards.non_finite_search import NonFinite, search, search_state
from snnssl_mm.engine.guards.step_watch import BadStep, StepWatch
from snnssl_mm.engine.guards.training_stopped import TrainingStopped, any_process
from snnssl_mm.engine.lazy_history import is_on_device, logging_interval
from snnssl_mm.registry import HOOKS

SMALLEST_SCALE = 2.0**-24
"""Smallest useful loss scale: the smallest positive number in fp16."""


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Stop all processes if a gradient, the loss or a weight is not finite.

    On a CPU every step is checked at once: gradients before the optimizer's step, by
    their largest absolute value, so that the weights are still those of the forward
    pass, which is repeated once to find the first non-finite layer; the loss after it.

    On a GPU such a check would wait for the device. There every step is checked, too,
    but on the device, and the results are read at the logging interval, at the end of
    an epoch, before a validation and before a checkpoint. The message names the first
    bad iteration. Fused optimizers make no update from then on, so that NaN does not
    reach the weights; with others it may. The pass that is repeated is that of the last
    batch: if only an earlier batch leads to NaN, no layer is named. ``interval=1``
    checks as on a CPU, which finds the layer for certain.

    Weights are checked before a checkpoint is written, so that none contains NaN.

    With mixed precision in fp16 the loss scaler itself skips steps with infinite
    gradients, which is normal, so gradients are not checked again; training stops when
    the scale falls below 2^-24.

    Args:
        interval: Steps between two readings of the results. By default 1 on a CPU, else
            the logger's interval.

    Raises:
        TrainingStopped: Names the iteration, the first non-finite values (the image
            file for images or annotations), what to do, the last good checkpoint and
            the command that continues from it.
    """

    priority = "HIGH"  # after mmengine records the loss, before anything is saved

    def __init__(self, interval: int | None = None) -> None:
        self.interval = interval
        self.every = interval or 1
        self.watch = StepWatch()
        self.iteration = 0  # the current one, from 1
        self.runner: Any = None
        self.batch: Any = None
        self.handles: list[Any] = []

    def before_train(self, runner: Any) -> None:
        """Start checking the gradients."""
        self.runner = runner
        if self.interval is None and is_on_device(next(runner.model.parameters())):
            self.every = logging_interval(runner.hooks)
        self.handles = [
            optimizer.register_step_pre_hook(self.before_step)
            for optimizer in optimizers(runner.optim_wrapper)
        ]

    def after_train(self, runner: Any) -> None:
        """Stop checking the gradients."""
        for handle in self.handles:
            handle.remove()
        self.handles = []
        for optimizer in optimizers(runner.optim_wrapper):
            vars(optimizer).pop("found_inf", None)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any) -> None:
        """Keep the batch; refuse NaN in its annotations, which crashes operators."""
        self.batch = data_batch
        self.iteration = runner.iter + 1
        if fault := non_finite_target(samples_of(data_batch)):
            self.runner = runner
            finding = NonFinite(fault.kind, fault.sample, fault.detail)
            self.raise_error("annotations are not finite", finding)

    @torch.no_grad()
    def before_step(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        """Check the gradients, or note on the device what they are."""
        groups = optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            return
        largest = largest_magnitude(gradients)
        if self.every > 1:
            bad = self.watch.add_gradients(largest)
            sharded = hasattr(gradients[0], "to_local")
            if getattr(optimizer, "_step_supports_amp_scaling", False) and not sharded:
                optimizer.found_inf = bad
        elif any_process(~torch.isfinite(largest)):
            self.stop("gradients are not finite")

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Check the loss, at the interval with all since the last one."""
        self.watch.end_step((outputs or {}).get("loss", 0.0))
        self.iteration = runner.iter + 1
        if (
            self.every == 1
            or self.every_n_inner_iters(batch_idx, self.every)
            or self.end_of_epoch(runner.train_dataloader, batch_idx)
        ):
            self.check(runner)
            self.batch = None

    def check(self, runner: Any) -> None:
        """Stop all processes if a step since the last check was not finite."""
        bad = self.watch.fetch()
        if any_process(bad is not None):
            self.stop(self.reason_of(bad))
        if self.every > 1 or self.every_n_train_iters(runner, 10):
            self.stop_at_tiny_scale(runner)

    def reason_of(self, bad: BadStep | None) -> str:
        """Describe a bad step of this process, or of another."""
        if bad is None:
            return "the loss or gradients are not finite in another process"
        since = f" since iteration {self.iteration - bad.steps_ago}"
        return bad.reason + (since if bad.steps_ago else "")

    def before_val(self, runner: Any) -> None:
        """Check the last steps before a validation within an epoch."""
        if self.watch.losses:
            self.check(runner)

    def stop_at_tiny_scale(self, runner: Any) -> None:
        """Stop if all gradients have been infinite for long: the loss scale is tiny."""
        scaler = getattr(runner.optim_wrapper, "loss_scaler", None)
        if scaler is not None and 0 < (scale := scaler.get_scale()) < SMALLEST_SCALE:
            self.stop(f"the loss scale fell to {scale:.3g} without finite gradients")

    def after_train_epoch(self, runner: Any) -> None:
        """Check the weights, in all processes, before a checkpoint is written."""
        self.check(runner)
        state = unwrapped(runner.model).state_dict()
        bad = not_finite(state)
        if any_process(bool(bad)):
            self.refuse(bad)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Check the last steps and the weights, in the process that writes."""
        self.runner = runner
        bad = self.watch.fetch()
        if bad and get_world_size() == 1:
            self.stop(self.reason_of(bad))
        elif bad:  # the other processes are not here
            self.raise_error(self.reason_of(bad), search_state(unwrapped(runner.model)))
        if names := not_finite(checkpoint["state_dict"]):
            self.refuse(names)

    def refuse(self, names: list[str]) -> None:
        """Stop because of non-finite weights or statistics."""
        if not names:
            return self.raise_error("another process has non-finite weights", None)
        finding = NonFinite("weights", names[0], f"{len(names)} tensors in all")
        self.raise_error("no checkpoint is written from weights with NaN", finding)

    def stop(self, reason: str) -> None:
        """Search the origin, and stop."""
        runner = self.runner
        classes = dataset_class_count(runner)
        try:
            finding = search(runner.model, runner.optim_wrapper, self.batch, classes)
        except Exception as error:  # any model error; still report what is known
            runner.logger.warning(f"the forward pass could not be repeated: {error!r}")
            finding = search_state(unwrapped(runner.model))
        if get_world_size() > 1:  # rank 0 writes the log, any rank may have it
            found = all_gather_object(finding)
            finding = next((one for one in found if one is not None), None)
        self.raise_error(reason, finding)

    def raise_error(self, reason: str, finding: NonFinite | None) -> None:
        """Log and raise."""
        runner = self.runner
        where = "Images, annotations, weights and layers were finite when checked"
        if finding:
            where = (
                f"First not finite: {finding.kind}, {finding.layer}: {finding.detail}"
            )
        message = (
            f"training stopped at iteration {self.iteration} (epoch "
            f"{runner.epoch + 1}): {reason}. {where}. {cure(runner, finding)}. "
            f"{resume_advice(runner)}"
        )
        runner.logger.error(message)
        raise TrainingStopped(message)


def largest_magnitude(gradients: Sequence[Any]) -> torch.Tensor:
    """Return the largest absolute value, NaN if there is one.

    Args:
        gradients: Tensors on one device; of DTensors, this process's parts.
    """
    local = [g.to_local() if hasattr(g, "to_local") else g for g in gradients]
    local = [gradient for gradient in local if gradient.numel()]
    if not local:
        return torch.zeros(())
    if local[0].device.type != "cpu":
        return get_total_norm(local, inf)
    # The same by linalg.vector_norm takes seven times as long on a CPU.
    return torch.stack([gradient.abs().max() for gradient in local]).max()


def dataset_class_count(runner: Any) -> int | None:
    """Return the number of classes of the training data; None if unknown."""
    dataset = getattr(getattr(runner, "train_dataloader", None), "dataset", None)
    classes = (getattr(dataset, "metainfo", None) or {}).get("classes")
    return len(classes) if isinstance(classes, (list, tuple)) and classes else None


def cure(runner: Any, finding: NonFinite | None) -> str:
    """Suggest a fix for what was found."""
    kind = finding.kind if finding else "nothing"
    if finding and kind == "inputs":
        if "data_preprocessor" in finding.detail:
            return "Correct mean and std of the data_preprocessor (std must not be 0)"
        return f"Repair or remove {finding.layer}, or correct the transforms"
    if finding and kind == "targets":
        return f"Repair or remove the annotations of {finding.layer}"
    rate = next(iter(runner.optim_wrapper.get_lr().values()), [0.0])[0]
    causes = [f"too high a learning rate (it was {rate:.3g})"]
    if hasattr(runner.optim_wrapper, "cast_dtype"):
        causes.append("an overflow in half precision (try without --amp)")
    causes.append("a division by a norm or variance of 0 in a layer or loss")
    earlier = "They became non-finite in an earlier step, or came with a checkpoint. "
    return (
        earlier if kind == "weights" else ""
    ) + f"Possible causes: {'; '.join(causes)}"


def optimizers(optim_wrapper: Any) -> Iterator[Any]:
    """Yield the optimizers of a wrapper, or of several, that have no loss scaler."""
    wrappers = optim_wrapper.values() if hasattr(optim_wrapper, "values") else ()
    for wrapper in wrappers or [optim_wrapper]:
        optimizer = getattr(wrapper, "optimizer", None)
        scaler = getattr(wrapper, "loss_scaler", None)
        scaled = scaler is not None and scaler.is_enabled()
        if hasattr(optimizer, "register_step_pre_hook") and not scaled:
            yield optimizer
