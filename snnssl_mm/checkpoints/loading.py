"""Strict loading of backbone and model weights; mismatches raise.

Needs torch and mmengine only. Configs use it by
``init_cfg=dict(type='snnssl_mm.BackboneInit', ...)``, see :mod:`snnssl_mm.models.init`.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from snnssl_mm.checkpoints import reading, zoo
from snnssl_mm.checkpoints.reading import UnsafeCheckpointError, checkpoint_code_may_run
from snnssl_mm.checkpoints.stored_config import structural_differences
from snnssl_mm.checkpoints.tensor_match import TensorMatch, first, match_tensors

__all__ = [
    "UnsafeCheckpointError",
    "checkpoint_code_may_run",
    "find_state_dict",
    "load_backbone",
    "load_full_model",
    "match_backbone",
    "read_checkpoint",
]

# Keys of the weights, EMA weights first. mmengine's EMAHook needs no entry: it saves
# the EMA weights as state_dict and the others as ema_state_dict.
STATE_DICT_KEYS = (
    "state_dict_ema",  # timm
    "model_ema",  # DeiT, ConvNeXt
    "state_dict",
    "model",
    "module",  # DeepSpeed's mp_rank_00_model_states.pt
    "ema_state_dict",
)
# Modules of mmdet's and mmseg's models that are trained on labelled pixels or boxes.
LABELLED_HEADS = frozenset(
    (
        "auxiliary_head",
        "bbox_head",
        "decode_head",
        "mask_head",
        "panoptic_fusion_head",
        "panoptic_head",
        "query_head",
        "roi_head",
        "rpn_head",
        "semantic_head",
    )
)


def read_checkpoint(path: str | Path) -> Mapping[str, Any]:
    """Read a file of ``torch.save`` or of safetensors.

    Args:
        path: File, URL, name of a model of the zoo, or ``hf://owner/name[/file]``.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeCheckpointError: If it would execute code and is not trusted, see
            :func:`checkpoint_code_may_run`.
        ValueError: If it is empty, corrupt, not a checkpoint, or contains no mapping.
    """
    path = zoo.resolve(path)
    if "://" not in path:
        if not Path(path).is_file():
            raise FileNotFoundError(f"checkpoint {zoo.does_not_exist(path)}")
        if Path(path).stat().st_size == 0:
            raise ValueError(
                f"checkpoint {path} is empty (0 bytes), expected a file of torch.save "
                "or safetensors; was writing or copying it interrupted?"
            )
        checkpoint = reading.load(path, "cpu")
    else:
        checkpoint = CheckpointLoader.load_checkpoint(path, "cpu", logger="silent")
    if not isinstance(checkpoint, Mapping):
        raise ValueError(
            f"{path} holds a {type(checkpoint).__name__}, expected a checkpoint: a "
            "dict of tensors, or a dict with such a dict under 'state_dict'; save "
            "model.state_dict() instead of the model"
        )
    state_dict = checkpoint.get("state_dict", checkpoint)
    if not isinstance(state_dict, Mapping) or not all(
        isinstance(name, str) for name in (*checkpoint, *state_dict)
    ):
        raise ValueError(
            f"{path} has keys that are not text, so no named tensors; expected a "
            "checkpoint: a dict of tensors, or a dict with such a dict under "
            "'state_dict'; save model.state_dict()"
        )
    return checkpoint


def find_state_dict(checkpoint: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """Find the tensors in a checkpoint: bare, or under the usual keys.

    Prefers EMA weights if the checkpoint has both, since those are evaluated.
    """
    for key in STATE_DICT_KEYS:
        if isinstance(checkpoint.get(key), Mapping):
            return checkpoint[key]
    return checkpoint


def find_prefix(state_dict: Iterable[str], names: set[str]) -> str:
    """Find the prefix under which ``state_dict`` has most of ``names``.

    Of equally good prefixes the shortest is returned: ``backbone.`` rather than
    ``momentum_encoder.backbone.``.
    """
    found: Counter[str] = Counter()
    for key in state_dict:
        parts = key.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in names:
                found["".join(f"{part}." for part in parts[:cut])] += 1
    return min(
        found, key=lambda prefix: (-found[prefix], len(prefix), prefix), default=""
    )


class Match(NamedTuple):
    """Match of a checkpoint with a backbone.

    Attributes:
        path: The checkpoint.
        prefix: Prefix of the backbone's names in the checkpoint.
        tensors: What fits and what does not, by the backbone's names.
        labelled: Detection and segmentation heads that the checkpoint has.
        differing: One phrase per setting that differs from the checkpoint's training
            and is not visible in the tensors.
    """

    path: str
    prefix: str
    tensors: TensorMatch
    labelled: list[str]
    differing: list[str]

    def __str__(self) -> str:
        """Describe what was, or will be, loaded."""
        return (
            f"loaded {self.tensors.loaded}/{len(self.tensors.names)} backbone tensors "
            f"from {self.path} (prefix {self.prefix!r})"
        )


def match_backbone(backbone: nn.Module, path: str | Path, strict: bool = True) -> Match:
    """Find a backbone's tensors in a checkpoint without loading them.

    Args:
        backbone: The module to load into.
        path: File, URL, or name of a model of the zoo.
        strict: Whether every tensor must fit, and the checkpoint must be from
            pretraining (or from a classifier).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no checkpoint, if nothing fits, or if ``strict``
            is set and something does not fit.
    """
    path = str(path)
    checkpoint = read_checkpoint(path)
    state_dict = find_state_dict(checkpoint)
    labelled = labelled_heads(state_dict)
    if labelled and strict:
        raise ValueError(
            f"{path} is the checkpoint of a detector or segmentor (it has "
            f"{', '.join(labelled)}), whose backbone was trained with labels; expected "
            "a checkpoint of pretraining. To use it anyway, set "
            "model.backbone.init_cfg.strict=False"
        )
    prefix = find_prefix(state_dict, set(backbone.state_dict()))
    tensors = match_tensors(backbone, without_prefix(state_dict, prefix)).part("")
    if tensors.empty or (strict and not tensors.fits):
        remedy = "Use the config that the checkpoint was trained with"
        if not tensors.empty:
            remedy += ", or model.backbone.init_cfg.strict=False to load what fits"
        raise ValueError(f"{mismatch_message(path, backbone, tensors)}. {remedy}.")
    differing = structural_differences(backbone, checkpoint)
    if differing and strict:
        raise ValueError(
            f"{other_settings_message(path, backbone, differing)}. Use the settings it "
            "was trained with, or set model.backbone.init_cfg.strict=False"
        )
    return Match(path, prefix, tensors, labelled, differing)


def without_prefix(state_dict: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the entries whose names begin with ``prefix``, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in state_dict.items()
        if name.startswith(prefix)
    }


def mismatch_message(path: str, module: nn.Module, tensors: TensorMatch) -> str:
    """Describe how the tensors of a checkpoint and a module differ."""
    nothing = "holds no backbone: it " if tensors.empty else ""
    return f"{path} {nothing}does not fit {type(module).__name__}: {tensors}"


def other_settings_message(path: str, module: nn.Module, differing: list[str]) -> str:
    """Describe which settings differ although all tensors fit."""
    name = type(module).__name__
    return (
        f"{path} was trained with another {name} with the same tensors: "
        f"{first(differing)}"
    )


def labelled_heads(state_dict: Iterable[str]) -> list[str]:
    """List the detection and segmentation heads among the keys of a checkpoint."""
    return sorted(
        {part for key in state_dict for part in key.split(".")} & LABELLED_HEADS
    )


def load_backbone(backbone: nn.Module, path: str | Path, strict: bool = True) -> str:
    """Load a backbone's tensors from any checkpoint that contains them.

    A full self-supervised checkpoint, a backbone-only file, a wrapped model
    (``module.``) and EMA weights all work: the prefix is found from the names.

    Args:
        backbone: The module to load into.
        path: File, URL, or name of a model of the zoo.
        strict: Whether a missing tensor, a tensor of another shape, and a detector's
            or segmentor's checkpoint are errors. Otherwise what fits is loaded, and a
            warning lists what does not.

    Returns:
        What was loaded, such as ``loaded 142/142 backbone tensors from FILE
        (prefix 'backbone.')``; it is logged too.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no checkpoint, if nothing fits, or if ``strict``
            is set and something does not fit; nothing is loaded then.
    """
    match = match_backbone(backbone, path, strict)
    backbone.load_state_dict(match.tensors.loadable, strict=False)
    message = str(match)
    print_log(message, logger="current")
    if match.tensors.problems:
        problems = list(match.tensors.problems.values())
        text = f"{len(problems)} backbone tensors keep their initial values"
        log_warning(f"{text}, first: {first(problems)}")
    if left_over := match.tensors.left_over:
        text = f"{len(left_over)} tensors of {path} are left over"
        log_warning(f"{text}, first: {first(left_over)}")
    if match.differing:
        log_warning(f"{path} was trained with {first(match.differing)}")
    if match.labelled:
        heads = ", ".join(match.labelled)
        log_warning(f"the backbone in {path} was trained with labels: it has {heads}")
    return message


def log_warning(message: str) -> None:
    """Log a warning."""
    print_log(message, logger="current", level=logging.WARNING)


def unwrapped(model: Any) -> Any:
    """Return the model inside a distributed wrapper."""
    return model.module if is_model_wrapper(model) else model


def load_full_model(model: nn.Module, path: str | Path) -> None:
    """Load every tensor of a model for evaluation, strictly.

    Prefers EMA weights if the checkpoint has both.

    Args:
        model: The model, or a distributed wrapper of it.
        path: File, URL, or name of a model of the zoo.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no checkpoint, if a tensor is missing, left over or
            of another shape, or if the backbone was trained with other settings.
    """
    inner = unwrapped(model)
    checkpoint = read_checkpoint(path)
    state_dict = find_state_dict(checkpoint)
    stripped = OrderedDict(
        (k.removeprefix("module."), v) for k, v in state_dict.items()
    )
    # Versions of layers, from which they convert tensors of earlier versions.
    stripped._metadata = getattr(state_dict, "_metadata", {})  # type: ignore[attr-defined]
    tensors = match_tensors(inner, stripped)
    if not tensors.fits:
        raise ValueError(
            f"{path} does not fit the config's model {type(inner).__name__}: {tensors}."
            " Use the config it was trained with"
        )
    backbone = getattr(inner, "backbone", None)
    if backbone is not None and (
        differing := structural_differences(backbone, checkpoint)
    ):
        raise ValueError(
            f"{other_settings_message(str(path), backbone, differing)}. Use the config "
            "it was trained with"
        )
    inner.load_state_dict(tensors.loadable, strict=False)
