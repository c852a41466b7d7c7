"""Atomic checkpoints: mmengine's CheckpointHook that never leaves a run without one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmengine import registry as root
from mmengine.config import Config
from mmengine.dist import all_gather_object, get_rank, is_main_process
from mmengine.fileio import put_text
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop

from snnssl_mm.checkpoints.atomic_files import remove_partial_files
from snnssl_mm.checkpoints.random_states import random_states, set_random_states
from snnssl_mm.checkpoints.resume_model import require_same_model
from snnssl_mm.checkpoints.resume_schedule import fit_schedule
from snnssl_mm.checkpoints.resuming import LAST_CHECKPOINT, CheckpointError
from snnssl_mm.registry import HOOKS

OUTDATED = "outdated_ckpt_ids"
WITHIN_EPOCH = "ckpt_within_epoch"
VALIDATED = "validated_iter"
RANDOM_STATES = "random_states"


class RemovingLater:
    """A file backend that holds removals back until they are asked for."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.held: list[Callable[[], None]] = []

    def __getattr__(self, name: str) -> Any:
        if name in ("remove", "rmtree"):
            function = getattr(self.backend, name)
            return lambda path: self.held.append(lambda: function(path))
        return getattr(self.backend, name)


def draws_as_before(runner: Any) -> bool:
    """Tell whether a resumed run draws the random numbers of an uninterrupted one.

    The states in a checkpoint are enough if the data loader starts anew every epoch;
    workers that live longer have states of their own.
    """
    if any(type(hook).__name__ == "IterationSeedHook" for hook in runner.hooks):
        return True
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    return by_epoch and not runner.train_dataloader.persistent_workers


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """Save first, then name the file in ``last_checkpoint``, then remove older ones.

    mmengine's own hook removes first, so that a full disk or a kill can leave nothing.
    What a kill between two of the steps leaves behind is removed by the next run. The
    states of the random generators of all processes are saved and restored, too. The
    options are those of mmengine's hook. Each file is written atomically by
    :func:`snnssl_mm.compat.checkpoints.atomic_writes`.
    """

    file_backend: Any
    states: list[Any] | None = None

    def before_train(self, runner: Any) -> None:
        """Clean up after a killed run; refuse to go on from within an epoch.

        Raises:
            CheckpointError: If an epoch-based run resumes from a checkpoint that was
                written within an epoch: its images could not be told apart.
        """
        super().before_train(runner)
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        hub = runner.message_hub
        if by_epoch and runner.iter and hub.runtime_info.get(WITHIN_EPOCH):
            raise CheckpointError(
                f"cannot resume from iteration {runner.iter}: mmengine resumes "
                "training by epochs at the beginning of one only. Resume from an "
                "epoch_<n>.pth; to have them, set default_hooks.checkpoint.by_epoch="
                "True, or train by iterations (train_cfg.type='IterBasedTrainLoop')"
            )
        if by_epoch and not self.by_epoch:
            runner.logger.warning(
                "the checkpoints of this run (default_hooks.checkpoint.by_epoch=False) "
                "are written within epochs and cannot be resumed from; set by_epoch="
                "True to be able to"
            )
        if is_main_process():
            for folder in {str(self.out_dir), runner.work_dir}:
                if "://" not in folder:
                    remove_partial_files(Path(folder))
            for step in hub.runtime_info.get(OUTDATED, ()):
                self._remove_step(step)
        if runner.iter and not draws_as_before(runner):
            runner.logger.warning(
                "the images from here on will not be those of an uninterrupted run: "
                "with training by iterations or persistent workers that needs "
                "default_hooks.seeds=dict(type='snnssl_mm.IterationSeedHook')"
            )
        length = runner.max_epochs if by_epoch else runner.max_iters
        if runner.iter and (runner.epoch if by_epoch else runner.iter) >= length:
            runner.logger.warning(
                f"this training is complete ({length} of {length}): nothing is left to "
                "train; to train longer, set a larger train_cfg and --resume-schedule "
                "rebuild"
            )
        if self.states is not None and get_rank() < len(self.states):
            set_random_states(self.states[get_rank()])
        if runner.iter and runner.val_loop is not None and self._validation_due(runner):
            self.last_ckpt = hub.runtime_info.get("last_ckpt")
            runner.logger.info(
                f"validating at iteration {runner.iter} again: the checkpoint is from "
                "before its validation, which decides on the best one"
            )
            runner.val_loop.run()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Add the states of the random generators; each process has its own."""
        checkpoint[RANDOM_STATES] = self.states

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Require the same model and schedule; keep the random states.

        What is built before the training begins draws numbers.

        Raises:
            CheckpointError: If one of them is another, see
                :func:`snnssl_mm.checkpoints.resume_model.require_same_model` and
                :func:`snnssl_mm.checkpoints.resume_schedule.fit_schedule`.
        """
        if runner._resume:
            require_same_model(runner, checkpoint)
            fit_schedule(runner, checkpoint)
            self.states = checkpoint.get(RANDOM_STATES)

    def _validation_due(self, runner: Any) -> bool:
        """Tell whether an uninterrupted run has validated and the checkpoint has not.

        It is written first; what depends on the validation (the best checkpoint,
        early stopping, schedules that wait for a plateau) is not in it.
        """
        loop = runner.train_loop
        if isinstance(loop, EpochBasedTrainLoop):
            step, last = loop.epoch, loop.max_epochs
        else:
            step, last = loop.iter, loop.max_iters
        due = step >= loop.val_begin and (step % loop.val_interval == 0 or step == last)
        return due and runner.message_hub.runtime_info.get(VALIDATED) != runner.iter

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Note that it was done, and save the best."""
        runner.message_hub.update_info(VALIDATED, runner.iter)
        super().after_val_epoch(runner, metrics)

    def _remove_step(self, step: int) -> None:
        """Remove a checkpoint, which is a folder if DeepSpeed wrote it."""
        name = self.filename_tmpl.format(step)
        path = self.file_backend.join_path(self.out_dir, name)
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            self.file_backend.rmtree(path)

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: Any) -> None:
        """Save, name, remove."""
        hub = runner.message_hub
        outdated: list[int] = []
        if self.max_keep_ckpts > 0 and step not in list(self.keep_ckpt_ids)[-1:]:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated.append(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
            hub.update_info(OUTDATED, outdated)
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        hub.update_info(WITHIN_EPOCH, by_epoch and not self.by_epoch)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        hub.update_info("last_ckpt", self.last_ckpt)
        self.states = all_gather_object(random_states())
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            put_text(str(self.last_ckpt), str(Path(runner.work_dir, LAST_CHECKPOINT)))
            for old in outdated:
                self._remove_step(old)

    def _save_best_checkpoint(self, runner: Any, metrics: Any) -> None:
        """Remove the best checkpoint so far once the better one is whole."""
        with self._removing_later():
            super()._save_best_checkpoint(runner, metrics)

    @contextlib.contextmanager
    def _removing_later(self) -> Iterator[None]:
        backend = self.file_backend
        later = self.file_backend = RemovingLater(backend)
        try:
            yield
        finally:
            self.file_backend = backend
        for remove in later.held:
            remove()


def use_atomic_checkpoints(cfg: Config) -> None:
    """Let a config's stock CheckpointHook be :class:`AtomicCheckpointHook`.

    Configs of mmdet, mmseg and mmpretrain name mmengine's hook. The settings stay.

    Args:
        cfg: Of a training, before its runner is built.
    """
    defaults = cfg.get("default_hooks") or {}
    for hook in (*defaults.values(), *(cfg.get("custom_hooks") or ())):
        if isinstance(hook, dict) and is_stock(hook.get("type")):
            hook["type"] = "snnssl_mm.AtomicCheckpointHook"
    if "checkpoint" not in defaults:  # the Runner's own
        own = dict(type="snnssl_mm.AtomicCheckpointHook", interval=1)
        cfg.default_hooks = {**defaults, "checkpoint": own}


def is_stock(kind: Any) -> bool:
    """Whether a hook's type is mmengine's CheckpointHook, by class or by any name."""
    if isinstance(kind, str) and kind.endswith("CheckpointHook"):
        kind = root.HOOKS.get(kind)
    return kind is CheckpointHook
