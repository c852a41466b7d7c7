"""Provenance of a row of a results file: config, checkpoint, seed, command."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config

from snnssl_mm.checkpoints import zoo
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.results_file import Row, file_sha


def provenance(config: str, checkpoint: str, cfg: Config) -> Row:
    """Return the entries that record where a row comes from.

    Args:
        config: Name of the config file.
        checkpoint: File, or name in the zoo.
        cfg: The config; its seed is recorded.

    Raises:
        ValueError: If the checkpoint is not on this machine.
    """
    require_local(checkpoint)
    seed: Any = (cfg.get("randomness") or {}).get("seed")
    return {
        "config": config,
        "checkpoint": checkpoint,
        "sha256": file_sha(zoo.resolve(checkpoint)),
        "seed": seed or 0,
        "command": command_line(),
    }


def require_local(checkpoint: str) -> None:
    """Refuse a checkpoint that is not on this machine.

    Raises:
        ValueError: If the checkpoint is a URL.
    """
    if zoo.is_remote(checkpoint):
        raise ValueError(
            f"{checkpoint} is a URL; download it first (the result row records the "
            "file's SHA-256)"
        )
