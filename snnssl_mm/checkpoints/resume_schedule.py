"""Check on resume that the schedule is the checkpoint's; rebuild it if asked for.

mmengine replaces the config's schedulers and optimizer settings by those of the
checkpoint. After a change of batch size, length or learning rate a run would silently
follow the schedule of the earlier settings.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from mmengine.dist import get_world_size
from mmengine.optim import _ParamScheduler
from mmengine.runner import EpochBasedTrainLoop

from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.checkpoints.optimizer_groups import regroup
from snnssl_mm.checkpoints.resuming import CheckpointError
from snnssl_mm.checkpoints.stored_config import stored_config, type_name

REBUILD = "rebuild"
"""Value of the config's ``resume_schedule`` that asks for a rebuilt schedule."""
PROGRESS = {"last_step", "base_values", "verbose"}
PROGRESS |= {"best", "num_bad_epochs", "cooldown_counter"}  # of ReduceOnPlateau
"""Entries of a scheduler's state that are not settings."""
IMPLEMENTATION = {"capturable", "differentiable", "foreach", "fused"}
"""Settings of optimizers that select an implementation and do not change the result."""


class ScheduleError(CheckpointError):
    """A checkpoint whose schedule differs from that of the resuming run."""


def fit_schedule(runner: Any, checkpoint: Any) -> None:
    """Require the run's schedule to be the checkpoint's; rebuild it if asked for.

    Call it while a run resumes, before mmengine restores its state. With
    ``resume_schedule='rebuild'`` in the config, ``checkpoint`` is edited: schedules,
    hyperparameters and iteration become those of a run that used the present config
    from the start and is at the same epoch (without epochs: iteration).

    Args:
        runner: Runner with built loop, optimizer and schedulers.
        checkpoint: The checkpoint as it was read.

    Raises:
        ScheduleError: If the schedules differ and the config does not ask for
            rebuilding, or if the new schedule ends before the checkpoint.
    """
    present = dict(named(runner.param_schedulers))
    built = all(isinstance(one, _ParamScheduler) for one in present.values())
    if "message_hub" not in checkpoint or not built:
        return  # a DeepSpeed folder, or a runner that is not built for training
    for wrapper, state in optimizer_states(runner, checkpoint):
        regroup(state, wrapper.optimizer, unwrapped(runner.model))
    stored = dict(named(checkpoint.get("param_schedulers")))
    differences = [
        *length_differences(runner, checkpoint),
        *scheduler_differences(present, stored),
        *dict.fromkeys(hyperparameter_differences(runner, checkpoint)),
    ]
    if not differences:
        return
    if runner.cfg.get("resume_schedule") != REBUILD:
        source = getattr(runner, "_load_from", None) or "the checkpoint"
        raise ScheduleError(
            f"{source} was written with another schedule ({'; '.join(differences)}), "
            "which resuming would restore; resume with the settings of that run, or "
            "use --resume-schedule rebuild to continue at the same point of the new "
            "schedule"
        )
    rebuild_schedule(runner, checkpoint, list(present.values()))
    meta = checkpoint["meta"]
    runner.logger.info(
        f"schedule rebuilt ({'; '.join(differences)}): continuing after epoch "
        f"{meta['epoch']}, iteration {meta['iter']}"
    )


def named(found: Any) -> Iterator[tuple[str, Any]]:
    """Yield schedulers, or their states, with their names in the config."""
    if isinstance(found, Mapping):  # of several optimizers
        for name, listed in found.items():
            for index, one in enumerate(listed):
                yield f"param_scheduler.{name}[{index}]", one
    for index, one in enumerate(found if isinstance(found, (list, tuple)) else ()):
        yield f"param_scheduler[{index}]", one


def phrase(what: str, before: Any, now: Any) -> str:
    """Describe a setting by both values."""
    return f"{what} was {before}, is now {now}"


def length_differences(runner: Any, checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Compare global batch size, gradient accumulation and length of the training."""
    cfg = stored_config(checkpoint)
    info = checkpoint["message_hub"].get("runtime_info", {})
    epochs, iterations = info.get("max_epochs"), info.get("max_iters")
    processes = len(checkpoint.get("random_states") or ()) or get_world_size()
    loop = runner.train_loop
    batch = (cfg.get("train_dataloader") or {}).get("batch_size")
    batch_now = declared_batch_size(loop.dataloader)
    wrapper = cfg.get("optim_wrapper") or {}
    rows = [
        (
            "global batch size",
            batch and batch * processes,
            batch_now and batch_now * get_world_size(),
        ),
        (
            "accumulation",
            wrapper and wrapper.get("accumulative_counts", 1),
            getattr(runner.optim_wrapper, "_accumulative_counts", None),
        ),
    ]
    if isinstance(loop, EpochBasedTrainLoop):
        per_epoch = epochs and iterations and iterations // epochs
        rows.append(("iterations per epoch", per_epoch, len(loop.dataloader)))
        rows.append(("epochs", epochs, loop.max_epochs))
    else:
        rows.append(("iterations", iterations, loop.max_iters))
    for what, before, now in rows:
        if before and now and before != now:
            yield phrase(what, before, now)


def declared_batch_size(loader: Any) -> int | None:
    """Return the batch size of a data loader or of its batch sampler; None if unset."""
    own: int | None = getattr(loader, "batch_size", None)
    return own or getattr(getattr(loader, "batch_sampler", None), "batch_size", None)


def scheduler_differences(
    present: Mapping[str, _ParamScheduler], stored: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Compare schedulers by their settings, not by their progress."""
    for name in {**stored, **present}:
        if name not in stored or name not in present:
            yield f"{name} {'was removed' if name in stored else 'was added'}"
            continue
        before, now = stored[name], present[name].state_dict()
        for key in sorted(before.keys() & now.keys() - PROGRESS):
            if not key.startswith("_") and before[key] != now[key]:
                yield phrase(f"{name}.{key}", before[key], now[key])


def optimizer_states(
    runner: Any, checkpoint: Mapping[str, Any]
) -> Iterator[tuple[Any, Any]]:
    """Yield each optimizer wrapper with its state in the checkpoint."""
    wrapper, stored = runner.optim_wrapper, checkpoint.get("optimizer") or {}
    several = getattr(wrapper, "optim_wrappers", None)
    for name, one in (several or {"": wrapper}).items():
        state = stored.get(name, {}) if several else stored
        if "param_groups" in state:
            yield one, state


def other_optimizer(runner: Any, checkpoint: Mapping[str, Any]) -> str | None:
    """Describe a change of the optimizer's type; None if it is the same."""
    settings = stored_config(checkpoint).get("optim_wrapper") or {}
    before = type_name((settings.get("optimizer") or {}).get("type", ""))
    optimizer = getattr(runner.optim_wrapper, "optimizer", None)
    now = type(optimizer).__name__
    if not before or optimizer is None or before == now:
        return None
    return phrase("optimizer", before, now)


def hyperparameter_differences(
    runner: Any, checkpoint: Mapping[str, Any]
) -> Iterator[str]:
    """Compare the optimizer and its settings, scheduled ones by initial value."""
    if other := other_optimizer(runner, checkpoint):
        yield other
    for wrapper, state in optimizer_states(runner, checkpoint):
        pairs = zip(state["param_groups"], wrapper.optimizer.param_groups, strict=False)
        for before, now in pairs:
            scheduled = {k[8:] for k in {*before, *now} if k.startswith("initial_")}
            if "momentum" in scheduled:
                scheduled.add("betas")  # mmengine's momentum of Adam is its first beta
            for key in sorted(before.keys() & now.keys() - scheduled - IMPLEMENTATION):
                if is_numeric(now[key]) and before[key] != now[key]:
                    yield phrase(key.removeprefix("initial_"), before[key], now[key])


def is_numeric(value: Any) -> bool:
    """Whether a setting is a number, a boolean, or a list or tuple of them."""
    if isinstance(value, (list, tuple)):
        return all(is_numeric(one) for one in value)
    return isinstance(value, (int, float))


def rebuild_schedule(
    runner: Any, checkpoint: Any, schedulers: list[_ParamScheduler]
) -> None:
    """Edit a checkpoint as if its run had used the present config from the start."""
    meta, loop = checkpoint["meta"], runner.train_loop
    info = checkpoint["message_hub"].get("runtime_info", {})
    done, length = meta["iter"], loop.max_iters
    per_epoch = 0
    if isinstance(loop, EpochBasedTrainLoop):
        per_epoch = len(loop.dataloader)
        if not meta["epoch"] and meta["iter"]:
            raise ScheduleError(
                f"the checkpoint is at iteration {meta['iter']} of a training without "
                "epochs; continue it by iterations (IterBasedTrainLoop), or start a "
                "new run from its weights by load_from"
            )
        done, length = meta["epoch"] * per_epoch, loop.max_epochs * per_epoch
    if done > length:
        raise ScheduleError(
            f"the new schedule ends after {length} iterations, but the checkpoint is "
            f"at iteration {done}; set a longer train_cfg, or use an earlier checkpoint"
        )
    advance(schedulers, done, per_epoch)
    if schedulers:
        found = runner.param_schedulers
        checkpoint["param_schedulers"] = (
            {name: [one.state_dict() for one in each] for name, each in found.items()}
            if isinstance(found, Mapping)
            else [one.state_dict() for one in found]
        )
    else:
        checkpoint.pop("param_schedulers", None)
    for wrapper, state in optimizer_states(runner, checkpoint):
        other = bool(other_optimizer(runner, checkpoint))
        for before, now in zip(
            state["param_groups"], wrapper.optimizer.param_groups, strict=True
        ):
            other = other or switched(before, now)
            replace_settings(before, now)
        if other:  # the checkpoint lacks the moments that it needs
            state["state"] = {}
        if "base_param_settings" in state:
            replace_settings(state["base_param_settings"], wrapper.base_param_settings)
    if info.get("validated_iter") == meta["iter"]:
        info["validated_iter"] = done
    meta["iter"] = done


def switched(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a boolean setting such as ``amsgrad`` differs."""
    shared = now.keys() & before.keys() - IMPLEMENTATION
    return any(isinstance(now[k], bool) and before[k] != now[k] for k in shared)


def replace_settings(group: MutableMapping[str, Any], other: Mapping[str, Any]) -> None:
    """Replace all settings of a parameter group by those of another."""
    for key in [key for key in group if key != "params"]:
        del group[key]
    group.update({key: value for key, value in other.items() if key != "params"})


def advance(schedulers: list[_ParamScheduler], done: int, per_epoch: int) -> None:
    """Step schedulers as a training of ``done`` iterations does.

    Schedules multiply the current value, so they are stepped one by one, in the order
    of the training.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer has made no step yet
        for iteration in range(1, done + 1):
            epoch_ends = per_epoch and iteration % per_epoch == 0
            for ends in (False, True) if epoch_ends else (False,):
                for scheduler in schedulers:
                    if scheduler.by_epoch == ends:
                        scheduler.step()
