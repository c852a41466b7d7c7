"""Check on resume that model and preprocessing are those of the checkpoint.

mmengine itself loads whatever fits the present config, without an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.runner import Runner

from snnssl_mm.checkpoints.given_weights import LOAD_FROM, Given, offered_tensors
from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.checkpoints.preprocessing import preprocessing_differences
from snnssl_mm.checkpoints.resuming import CheckpointError
from snnssl_mm.checkpoints.stored_config import stored_config, structural_differences
from snnssl_mm.checkpoints.tensor_match import first, match_tensors


def require_same_model(runner: Any, checkpoint: Mapping[str, Any]) -> None:
    """Require that a checkpoint's tensors, backbone and preprocessing are the run's.

    Call it while a run resumes, before anything is loaded. Runners that shard the
    model are not checked.

    Raises:
        CheckpointError: If they differ; names the differences.
    """
    if not isinstance(runner, Runner) or "state_dict" not in checkpoint:
        return
    source = getattr(runner, "_load_from", None) or "the checkpoint"
    model = unwrapped(runner.model)
    given = Given(LOAD_FROM, "resume", "", str(source))
    tensors = match_tensors(model, offered_tensors(given, checkpoint))
    found = [] if tensors.fits else [str(tensors)]
    if (backbone := getattr(model, "backbone", None)) is not None:
        found += structural_differences(backbone, checkpoint)
    found += preprocessing_differences(runner.cfg, stored_config(checkpoint))
    if found:
        raise CheckpointError(
            f"{source} was trained with another model or preprocessing "
            f"({first(found)}); resume with the config of that run, or start a new run "
            "from its weights by load_from instead of --resume"
        )
