"""Checks before the first job: configs, checkpoints, data.

They are those of ``snnssl check`` and ``snnssl train``, for all tasks and entries, so
that a mistake costs no training.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mmengine.config import Config

from snnssl_mm.checkpoints.loading import read_checkpoint
from snnssl_mm.checks.config import check_first_batch, check_text
from snnssl_mm.checks.config.build import build_unfilled
from snnssl_mm.checks.config.problem import ConfigError, Problem
from snnssl_mm.checks.config.weights import check_weights
from snnssl_mm.checks.data import check_data, silent
from snnssl_mm.datasets.data_error import AVOIDABLE
from snnssl_mm.engine.launch import refuse_errors, start_from
from snnssl_mm.probing.labelled_images import EVAL_LOADERS, has_labelled_images
from snnssl_mm.probing.probe_configs import require_labelled_pipeline
from snnssl_mm.probing.probe_models import require_backbone
from snnssl_mm.probing.protocols import protocol_of
from snnssl_mm.transfer.entries import Entry
from snnssl_mm.transfer.jobs import config_name
from snnssl_mm.transfer.suites import SuiteError, SuiteTask

EVALUATION = ("val_dataloader", "val_evaluator", "val_cfg")


def require_ready(
    tasks: Iterable[SuiteTask],
    configs: Mapping[str, Config],
    entries: Sequence[Entry],
    batches: bool = True,
) -> None:
    """Require that every task fits every entry and that its data exist.

    Args:
        tasks: The tasks.
        configs: Their configs by name.
        entries: The entries.
        batches: Whether to run a small batch through each task's network; not on a
            machine that only submits jobs.

    Raises:
        SuiteError: If a checkpoint cannot be read; else one line for each fault, with
            the task.
    """
    for checkpoint in {one.checkpoint for entry in entries for one in entry.weights}:
        try:
            read_checkpoint(checkpoint)
        except (ValueError, OSError) as error:
            raise SuiteError(str(error)) from None
    faults: list[str] = []
    checked: dict[str, list[str]] = {}
    for task in tasks:
        cfg = configs[task.name]
        # Probes share the pretraining's config, which is checked once.
        same = f"{bool(task.probe)} {cfg.to_dict()}"
        if same not in checked:
            found = list(faults_of(task, cfg, entries))
            if batches and not task.probe and not found:
                found = list(batch_faults(task, cfg))
            checked[same] = found
            faults += [f"{title(task)}: {text}" for text in found]
        elif task.probe and not checked[same]:
            faults += [f"{title(task)}: {text}" for text in probe_faults(task, cfg)]
    if faults:
        raise SuiteError("\n".join(faults))


def title(task: SuiteTask) -> str:
    """Name a task and its config."""
    return f"task {task.name} ({config_name(task.config)})"


def faults_of(task: SuiteTask, cfg: Config, entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the faults of a task, at most one of each kind."""
    try:
        with silent():
            require_backbone(cfg)
            refuse_errors(check_text(cfg))
            refuse_errors(build_unfilled(cfg)[1])
    except (ValueError, OSError) as error:
        yield str(error)
        return
    for entry in entries:
        for checkpoint in dict.fromkeys(one.checkpoint for one in entry.weights):
            started = copy.deepcopy(cfg)
            start_from(started, checkpoint)
            model, _ = build_unfilled(started)
            if found := errors_of(check_weights(started, model, files=True)):
                yield f"checkpoint {entry.name}: {found[0]}"
    yield from probe_faults(task, cfg) if task.probe else evaluation_faults(task, cfg)
    loaders = EVAL_LOADERS if task.probe else ("train_dataloader", "val_dataloader")
    try:
        with silent():
            check_data(cfg, loaders)
    except (ValueError, OSError) as error:
        hint = "; --data FOLDER replaces data_root" if "data_root" in cfg else ""
        yield f"{error}{hint}"


def batch_faults(task: SuiteTask, cfg: Config) -> Iterator[str]:
    """Yield why a batch of two images does not pass through network and evaluators."""
    small = copy.deepcopy(cfg)
    for name in ("train_dataloader", "val_dataloader"):
        small[name].batch_size = min(2, small[name].batch_size)
    # The Runner prints long descriptions.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problems = check_first_batch(small)
    for text in errors_of(problems):
        yield text.removesuffix(AVOIDABLE)


def errors_of(problems: Iterable[Problem]) -> list[str]:
    """Return the texts of the errors among problems."""
    return [problem.text for problem in problems if problem.level == "error"]


def probe_faults(task: SuiteTask, cfg: Config) -> Iterator[str]:
    """Yield what a probe lacks in the pretraining's config."""
    try:
        if not has_labelled_images(cfg):
            raise ConfigError(
                f"the config has no labelled images; set {' and '.join(EVAL_LOADERS)}"
            )
        if not task.frozen:
            require_labelled_pipeline(cfg)
            protocol_of(cfg, str(task.probe))
    except ValueError as error:
        yield str(error)


def evaluation_faults(task: SuiteTask, cfg: Config) -> Iterator[str]:
    """Yield what a task's config lacks for training and evaluation."""
    needed = ("train_dataloader", "train_cfg", "optim_wrapper", *EVALUATION)
    # An empty val_cfg is one.
    if absent := [key for key in needed if cfg.get(key) is None]:
        yield (
            f"the config has no {', '.join(absent)}; a task trains and is evaluated "
            "on validation images"
        )
        return
    loop = cfg.train_cfg
    length = loop.get("max_epochs") or loop.get("max_iters")
    begin = loop.get("val_begin", 1)
    if length and begin > length:  # the last epoch is always evaluated otherwise
        yield (
            f"train_cfg.val_begin is {begin}, but the training ends at {length}, so "
            f"that it is never evaluated; lower it to {length} or less"
        )
