"""Resume: find the newest intact checkpoint of a run."""

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
"""Checkpoints with the complete training state; those of ``save_best`` lack parts."""
LAST_CHECKPOINT = "last_checkpoint"


class CheckpointError(ValueError):
    """A checkpoint from which a run cannot resume."""


def damage(file: Path) -> str | None:
    """Describe the damage of a ``torch.save`` file, also if ``torch.load`` accepts it.

    Every byte is read and compared with the checksums in the file; nothing is
    executed. It takes a second per gigabyte.

    Returns:
        A phrase, or None if the file is intact.
    """
    try:
        if reading.require_intact(file):
            return None
    except (OSError, EOFError, ValueError, NotImplementedError) as error:
        return str(error)
    except zipfile.BadZipFile:
        pass
    return f"its {file.stat().st_size:,} bytes are no complete torch.save file"


def newest_first(folder: Path) -> list[Path]:
    """List a folder's ``epoch_<n>.pth`` and ``iter_<n>.pth`` files, newest first."""
    found = [(f, OWN_NAME.fullmatch(f.name)) for f in folder.glob("*.pth")]
    dated = [
        (f.stat().st_mtime_ns, int(m[2]), f) for f, m in found if m and f.is_file()
    ]
    return [file for *_, file in sorted(dated, reverse=True)]


def is_later(file: Path, other: Path) -> bool:
    """Tell whether a checkpoint was written after another, by its time and number.

    Copies may have any times, and a folder may have files of an earlier run, whose
    numbers are higher. Numbers of epochs and iterations are not compared.
    """
    (kind, number), (other_kind, other_number) = (
        OWN_NAME.fullmatch(f.name).groups()  # type: ignore[union-attr]
        for f in (file, other)
    )
    newer = file.stat().st_mtime_ns > other.stat().st_mtime_ns
    return newer and (kind != other_kind or int(number) > int(other_number))


def recorded_checkpoint(work_dir: str | Path) -> str:
    """Read the checkpoint that ``last_checkpoint`` names; empty if there is none."""
    note = Path(work_dir, LAST_CHECKPOINT)
    return note.read_text(errors="replace").strip() if note.is_file() else ""


def newest_intact(folder: Path) -> Path | None:
    """Find the newest intact checkpoint of a folder."""
    return next((f for f in newest_first(folder) if damage(f) is None), None)


def last_intact_checkpoint(work_dir: str) -> str | None:
    """Find the checkpoint that ``--resume`` without a path continues from.

    It is the one that the file ``last_checkpoint`` names, also if the folder was moved,
    unless a later one was written after it; else the newest intact one of the work
    directory, and a warning says why.

    Returns:
        A path; None if there is no checkpoint at all.

    Raises:
        CheckpointError: If there are checkpoints and none is intact.
    """
    note = Path(work_dir, LAST_CHECKPOINT)
    named = recorded_checkpoint(work_dir)
    if "://" in named or (named and Path(named).is_dir()):  # remote, or DeepSpeed's
        return named
    files = newest_first(Path(work_dir))
    given, reasons = Path(named), []
    if named and not given.is_file():  # the folder was moved
        given = Path(work_dir, given.name)
    if not note.is_file():
        reasons.append(f"{note} does not exist")
    elif not named:
        reasons.append(f"{note} is empty")
    elif not given.is_file():
        reasons.append(f"{note} names {named}, which does not exist")
    elif own := next((file for file in files if file.samefile(given)), None):
        later = [file for file in files if is_later(file, own)]
        if later:
            reasons.append(f"{note} names {named}, which is older")
        others = [file for file in files if file not in (*later, own)]
        files = [*later, own, *others]
    else:
        files.insert(0, given)  # CheckpointHook has another out_dir or name
    if not files:
        text = f"no checkpoint in {work_dir}: training starts from the beginning"
        print_log(text, "current")
        return None
    for file in files:
        fault = damage(file)
        if fault is None:
            break
        reasons.append(f"{file} is damaged ({fault})")
    else:
        raise CheckpointError(
            f"no checkpoint in {work_dir} is intact: {'; '.join(reasons)}; copy an "
            "intact one there, or start a new run in another --work-dir"
        )
    if reasons:
        text = f"resuming from {file}, the newest intact checkpoint: "
        print_log(text + "; ".join(reasons), "current", logging.WARNING)
    return str(file)


def require_resumable(checkpoint: Mapping[str, Any], path: str) -> None:
    """Require that a checkpoint has the complete training state.

    mmengine would silently resume a part of it.

    Raises:
        CheckpointError: If it lacks the optimizer's state or the counters.
    """
    missing = [k for k in ("meta", "optimizer", "message_hub") if k not in checkpoint]
    if missing:
        raise CheckpointError(
            f"{path} cannot be resumed: it has no {' and no '.join(missing)}; expected "
            "an epoch_<n>.pth or iter_<n>.pth of a training (best_*.pth files contain "
            "weights only); to start from its weights, set load_from in the config"
        )


def prepare_resume(cfg: Config) -> None:
    """Set the checkpoint of a config with ``resume=True``; do nothing with others.

    Sets ``load_from``, and the seed of the interrupted run if the config has none,
    since it determines the order of the images.

    Raises:
        CheckpointError: If a checkpoint is damaged or lacks training state.
        OSError: If it cannot be read.
    """
    if not cfg.get("resume"):
        return
    path = cfg.get("load_from")
    if path and zipfile.is_zipfile(path) and (fault := damage(Path(path))):
        raise CheckpointError(
            f"{path} is damaged ({fault}); --resume without a path uses the last "
            "intact checkpoint of the work directory"
        )
    path = path or last_intact_checkpoint(cfg.work_dir)
    cfg.load_from, cfg.resume = path, path is not None
    if path is None or "://" in path or Path(path).is_dir():
        return
    # imported late, because it imports mmengine.runner
    from snnssl_mm.checkpoints.loading import read_checkpoint

    checkpoint = read_checkpoint(path)
    require_resumable(checkpoint, path)
    seed = checkpoint["meta"].get("seed")
    randomness = cfg.get("randomness") or {}
    if randomness.get("seed") is None and seed is not None:
        cfg.randomness = dict(randomness, seed=seed)
