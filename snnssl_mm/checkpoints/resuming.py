"""Resume: find the newest undamaged checkpoint of a run."""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from snnssl_mm.checkpoints import reading

OWN_NAME = re.compile(r"(epoch|iter)_(\d+)\.pth")
"""Checkpoints with all that resuming needs; those of ``save_best`` have less."""
NAMING_FILE = "last_checkpoint"


class CheckpointError(ValueError):
    """A checkpoint from which a run cannot go on."""


def damage(file: Path) -> str | None:
    """Tell what is wrong with a file of ``torch.save``, which ``torch.load`` may not.

    Every byte is read and compared with the checksums in the file; nothing of it is
    executed. A second per gigabyte.

    Returns:
        A phrase, or None if the file is whole.
    """
    try:
        if reading.require_intact(file):
            return None
    except (OSError, EOFError, ValueError, NotImplementedError) as error:
        return str(error)
    except zipfile.BadZipFile:
        pass
    return f"its {file.stat().st_size:,} bytes are no whole file of torch.save"


def newest_first(folder: Path) -> list[Path]:
    """The files ``epoch_<n>.pth`` and ``iter_<n>.pth`` of a folder, by their age."""
    found = [(f, OWN_NAME.fullmatch(f.name)) for f in folder.glob("*.pth")]
    dated = [
        (f.stat().st_mtime_ns, int(m[2]), f) for f, m in found if m and f.is_file()
    ]
    return [file for *_, file in sorted(dated, reverse=True)]


def noted_checkpoint(work_dir: str | Path) -> str:
    """Read which checkpoint a run noted as its last; empty if it noted none."""
    note = Path(work_dir, NAMING_FILE)
    return note.read_text(errors="replace").strip() if note.is_file() else ""


def newest_whole(folder: Path) -> Path | None:
    """Find the newest checkpoint of a folder that is undamaged."""
    return next((f for f in newest_first(folder) if damage(f) is None), None)


def last_whole_checkpoint(work_dir: str) -> str | None:
    """Find the checkpoint that ``--resume`` without a path goes on from.

    It is the newest of the work directory that is whole. The file ``last_checkpoint``
    is believed if nothing is newer; a warning says why it was not.

    Returns:
        A path; None if there is no checkpoint at all.

    Raises:
        CheckpointError: If there are checkpoints and none is whole.
    """
    note = Path(work_dir, NAMING_FILE)
    named = noted_checkpoint(work_dir)
    if "://" in named or (named and Path(named).is_dir()):  # remote, or DeepSpeed's
        return named
    files = newest_first(Path(work_dir))
    reasons = []
    if not note.is_file():
        reasons.append(f"there is no {note}")
    elif not named:
        reasons.append(f"{note} is empty")
    elif not Path(named).is_file():
        reasons.append(f"{note} names {named}, which does not exist")
    elif not any(file.samefile(named) for file in files):
        files.insert(0, Path(named))  # CheckpointHook has another out_dir or name
    elif not files[0].samefile(named):
        reasons.append(f"{note} names {named}, which is older")
    if not files:
        text = f"no checkpoint in {work_dir} yet: training starts from the beginning"
        print_log(text, "current")
        return None
    for file in files:
        fault = damage(file)
        if fault is None:
            break
        reasons.append(f"{file} is damaged ({fault})")
    else:
        raise CheckpointError(
            f"no checkpoint in {work_dir} is whole: {'; '.join(reasons)}; copy a whole "
            "one there, or start anew in another --work-dir"
        )
    if reasons:
        text = f"resuming from {file}, the newest whole checkpoint: "
        print_log(text + "; ".join(reasons), "current", logging.WARNING)
    return str(file)


def check_resumable(checkpoint: Mapping[str, Any], path: str) -> None:
    """Refuse a checkpoint that would silently resume a part of the training's state.

    Raises:
        CheckpointError: If the optimizer's state or the counters are not in it.
    """
    missing = [k for k in ("meta", "optimizer", "message_hub") if k not in checkpoint]
    if missing:
        raise CheckpointError(
            f"{path} cannot be resumed: it has no {' and no '.join(missing)}; expected "
            "an epoch_<n>.pth or iter_<n>.pth of a training (the best_*.pth hold "
            "weights only); to start from its weights, set load_from in the config"
        )


def resume_from_whole(cfg: Config) -> None:
    """Decide where a config with ``resume=True`` goes on; do nothing with others.

    Sets ``load_from``, and the seed of the interrupted run if the config has none: the
    order of the images follows from it.

    Raises:
        CheckpointError: If a checkpoint is damaged or lacks what resuming needs.
        OSError: If it cannot be read.
    """
    if not cfg.get("resume"):
        return
    path = cfg.get("load_from")
    if path and zipfile.is_zipfile(path) and (fault := damage(Path(path))):
        raise CheckpointError(
            f"{path} is damaged ({fault}); --resume without a path takes the last "
            "whole checkpoint of the work directory"
        )
    path = path or last_whole_checkpoint(cfg.work_dir)
    cfg.load_from, cfg.resume = path, path is not None
    if path is None or "://" in path or Path(path).is_dir():
        return
    from snnssl_mm.checkpoints.loading import (
        read_checkpoint,  # it imports mmengine.runner
    )

    checkpoint = read_checkpoint(path)
    check_resumable(checkpoint, path)
    seed = checkpoint["meta"].get("seed")
    randomness = cfg.get("randomness") or {}
    if randomness.get("seed") is None and seed is not None:
        cfg.randomness = dict(randomness, seed=seed)
