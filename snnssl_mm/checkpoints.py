"""Loading weights that cannot fail silently."""

from __future__ import annotations

from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn


def load_whole_model(model: nn.Module, path: str) -> None:
    """Load every tensor of a whole model; all must fit.

    Args:
        model: The module to fill.
        path: File or URL.

    Raises:
        ValueError: If the file is no checkpoint, or a tensor is missing, left over or
            of another shape.
    """
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, "cpu")
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a checkpoint") from error
    try:
        model.load_state_dict(checkpoint.get("state_dict", checkpoint), strict=True)
    except RuntimeError as error:
        lines = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise ValueError(
            f"{path} does not fit {type(model).__name__}: {lines[:300]} ... Use the "
            "config that the checkpoint was trained with"
        ) from error
