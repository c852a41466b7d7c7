"""The last checkpoint of a run that is intact and finite."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snnssl_mm.checkpoints.loading import find_state_dict, read_checkpoint
from snnssl_mm.checkpoints.resuming import newest_first
from snnssl_mm.recording.command import command_with_option, subcommand


def not_finite(tensors: Mapping[str, Any]) -> list[str]:
    """List the names of the tensors that contain NaN or infinity."""
    return [
        name
        for name, tensor in tensors.items()
        if isinstance(tensor, Tensor)
        and tensor.is_floating_point()
        and not torch.isfinite(tensor).all()
    ]


def last_good_checkpoint(work_dir: str) -> Path | None:
    """Find the newest checkpoint of a work directory that is intact and finite."""
    for file in newest_first(Path(work_dir)):
        try:
            weights = find_state_dict(read_checkpoint(str(file)))
        except (ValueError, OSError):  # damaged, refused, or just removed
            continue
        if not not_finite(weights):
            return file
    return None


def resume_advice(runner: Any) -> str:
    """Name the last good checkpoint, and the command that continues from it."""
    good = last_good_checkpoint(runner.work_dir)
    if good is None:
        return f"There is no good checkpoint in {runner.work_dir} yet; start again"
    if subcommand() == "train":
        command = command_with_option("--resume", str(good))
    else:
        config = getattr(runner.cfg, "filename", None) or "CONFIG"
        run = [str(config), "--work-dir", runner.work_dir, "--resume", str(good)]
        command = shlex.join(["snnssl", "train", *run])
    return f"The last good checkpoint is {good}; continue from it by: {command}"
