"""Atomic checkpoints: a CheckpointHook that always leaves an intact checkpoint."""

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


class DeferredRemoval:
    """File backend that collects removals, so that they can be executed later."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.pending: list[Callable[[], None]] = []

    def __getattr__(self, name: str) -> Any:
        if name in ("remove", "rmtree"):
            function = getattr(self.backend, name)
            return lambda path: self.pending.append(lambda: function(path))
        return getattr(self.backend, name)


def random_numbers_continue(runner: Any) -> bool:
    """Whether a resumed run draws the random numbers of an uninterrupted one.

    The states in a checkpoint are sufficient if the data loader restarts every epoch;
    persistent workers have their own states, which are not saved.
    """
    if any(type(hook).__name__ == "IterationSeedHook" for hook in runner.hooks):
        return True
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    return by_epoch and not runner.train_dataloader.persistent_workers


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """Save a checkpoint, then write ``last_checkpoint``, then remove older ones.

    mmengine's own hook removes first, so a full disk or a kill may leave no
    checkpoint. Files that a kill between these steps leaves behind are removed by the
    next run. The random states of all processes are saved and restored, too. The
    options are those of mmengine's hook. Each file is written atomically by
    :func:`snnssl_mm.compat.checkpoints.atomic_writes`.
    """

    file_backend: Any
    states: list[Any] | None = None

    def before_train(self, runner: Any) -> None:
        """Clean up after a killed run; refuse to resume within an epoch.

        Raises:
            CheckpointError: If an epoch-based run resumes from a checkpoint that was
                written within an epoch, whose remaining images are unknown.
        """
        super().before_train(runner)
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        hub = runner.message_hub
        if by_epoch and runner.iter and hub.runtime_info.get(WITHIN_EPOCH):
            raise CheckpointError(
                f"cannot resume from iteration {runner.iter}: mmengine resumes "
                "training by epochs only at the beginning of an epoch. Resume from an "
                "epoch_<n>.pth; to write such files, set default_hooks.checkpoint."
                "by_epoch=True, or train by iterations "
                "(train_cfg.type='IterBasedTrainLoop', "
                "default_hooks.seeds.type='snnssl_mm.IterationSeedHook')"
            )
        if by_epoch and not self.by_epoch:
            runner.logger.warning(
                "the checkpoints of this run (default_hooks.checkpoint.by_epoch=False) "
                "are written within epochs and cannot be resumed; set by_epoch=True to "
                "resume from them"
            )
        if is_main_process():
            for folder in {str(self.out_dir), runner.work_dir}:
                if "://" not in folder:
                    remove_partial_files(Path(folder))
            for step in hub.runtime_info.get(OUTDATED, ()):
                self._remove_step(step)
        if runner.iter and not random_numbers_continue(runner):
            runner.logger.warning(
                "from here on the images differ from those of an uninterrupted run: "
                "with training by iterations or persistent workers, identical images "
                "need default_hooks.seeds=dict(type='snnssl_mm.IterationSeedHook')"
            )
        length = runner.max_epochs if by_epoch else runner.max_iters
        if runner.iter and (runner.epoch if by_epoch else runner.iter) >= length:
            runner.logger.warning(
                f"this training is complete ({length} of {length}), so nothing is "
                "trained; to train longer, set a longer train_cfg and "
                "--resume-schedule rebuild"
            )
        if self.states is not None and get_rank() < len(self.states):
            set_random_states(self.states[get_rank()])
        if runner.iter and runner.val_loop is not None and self._validation_due(runner):
            self.last_ckpt = hub.runtime_info.get("last_ckpt")
            runner.logger.info(
                f"repeating the validation at iteration {runner.iter}: the checkpoint "
                "was written before it, and it decides which checkpoint is the best"
            )
            runner.val_loop.run()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Add the random states of all processes."""
        checkpoint[RANDOM_STATES] = self.states

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Require the same model and schedule; keep the random states for later.

        They are restored in :meth:`before_train`, since building the run draws numbers.

        Raises:
            CheckpointError: If model or schedule differ, see
                :func:`snnssl_mm.checkpoints.resume_model.require_same_model` and
                :func:`snnssl_mm.checkpoints.resume_schedule.fit_schedule`.
        """
        if runner._resume:
            require_same_model(runner, checkpoint)
            fit_schedule(runner, checkpoint)
            self.states = checkpoint.get(RANDOM_STATES)

    def _validation_due(self, runner: Any) -> bool:
        """Whether the checkpoint was written before the validation at its iteration.

        What depends on that validation (the best checkpoint, early stopping, schedules
        that wait for a plateau) is then not in the checkpoint.
        """
        loop = runner.train_loop
        if isinstance(loop, EpochBasedTrainLoop):
            step, last = loop.epoch, loop.max_epochs
        else:
            step, last = loop.iter, loop.max_iters
        due = step >= loop.val_begin and (step % loop.val_interval == 0 or step == last)
        return due and runner.message_hub.runtime_info.get(VALIDATED) != runner.iter

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Record the validation, and save the best checkpoint."""
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
        """Save the checkpoint, write ``last_checkpoint``, remove outdated ones."""
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
        """Remove the previous best checkpoint after the new one is complete."""
        with self._deferred_removal():
            super()._save_best_checkpoint(runner, metrics)

    @contextlib.contextmanager
    def _deferred_removal(self) -> Iterator[None]:
        backend = self.file_backend
        deferred = self.file_backend = DeferredRemoval(backend)
        try:
            yield
        finally:
            self.file_backend = backend
        for remove in deferred.pending:
            remove()


def use_atomic_checkpoints(cfg: Config) -> None:
    """Replace a config's stock CheckpointHook by :class:`AtomicCheckpointHook`.

    Configs of mmdet, mmseg and mmpretrain use mmengine's hook. Its settings are kept.

    Args:
        cfg: Config of a training, before its runner is built.
    """
    defaults = cfg.get("default_hooks") or {}
    for hook in (*defaults.values(), *(cfg.get("custom_hooks") or ())):
        if isinstance(hook, dict) and is_stock(hook.get("type")):
            hook["type"] = "snnssl_mm.AtomicCheckpointHook"
    if "checkpoint" not in defaults:  # replace the Runner's default
        own = dict(type="snnssl_mm.AtomicCheckpointHook", interval=1)
        cfg.default_hooks = {**defaults, "checkpoint": own}


def is_stock(kind: Any) -> bool:
    """Whether a hook's type is mmengine's CheckpointHook, as a class or a name."""
    if isinstance(kind, str) and kind.endswith("CheckpointHook"):
        kind = root.HOOKS.get(kind)
    return kind is CheckpointHook
