"""Whether backbone, neck and heads fit together, without a weight in memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor

from snnssl_mm.checks.config.problem import Problem, error

Channels = Sequence[int] | None  # of a tuple of maps; None if unknown
SIDE = 128


def build_unfilled(cfg: Config) -> tuple[Any, list[Problem]]:
    """Build the model, on torch's meta device where that works.

    Tensors have no memory there, nor values, which a few constructors ask for.

    Returns:
        The model, None if it cannot be built, and then the reason.
    """
    settings = copy.deepcopy(cfg.model)
    if str((settings.get("backbone") or {}).get("type")).startswith("snnssl_mm."):
        settings.pop("pretrained", None)  # not taken; check_weights says so
    if cfg.get("data_preprocessor") and "data_preprocessor" not in settings:
        settings["data_preprocessor"] = copy.deepcopy(cfg.data_preprocessor)
    for device in ("meta", "cpu"):
        try:
            with torch.device(device):
                return MODELS.build(copy.deepcopy(settings)).eval(), []
        except Exception as cause:  # constructors raise anything
            reason = cause
    return None, [error("model", f"cannot be built: {reason}")]


def check_channels(cfg: Mapping[str, Any], model: Any) -> list[Problem]:
    """Follow the channels of the maps from the backbone to the heads.

    Args:
        cfg: The config.
        model: What it builds.
    """
    settings = cfg["model"]
    backbone = getattr(model, "backbone", None)
    if backbone is None:
        return []
    name = type(backbone).__name__
    maps = backbone_channels(backbone)
    neck = settings.get("neck")
    problems = []
    if isinstance(neck, Mapping) and "in_channels" in neck:
        wanted = neck["in_channels"]
        single = not isinstance(wanted, (list, tuple))
        alone = single and str(neck["type"]).endswith("SimpleFeaturePyramid")
        if alone and maps and len(maps) != 1:
            text = f"{len(maps)} maps, but the neck takes one; set out_indices=(2,)"
            problems.append(error("model.backbone.out_indices", text))
        problems += compare("model.neck.in_channels", wanted, maps, name)
    if neck and not problems:
        maps, name = neck_channels(model.neck, maps), type(model.neck).__name__
    return problems or list(heads(settings, maps, name))


def backbone_channels(backbone: Any) -> Channels:
    """Channels of the maps that a backbone returns."""
    if hasattr(backbone, "channels") and hasattr(backbone, "out_indices"):
        return [backbone.channels[index] for index in backbone.out_indices]
    return channels_of(backbone, torch.empty(1, 3, SIDE, SIDE))


def neck_channels(neck: Any, maps: Channels) -> Channels:
    """Channels of the maps that a neck makes of maps with these channels."""
    if maps is None:
        return None
    sides = [SIDE // 2 ** (index + 2) for index in range(len(maps))]
    inputs = tuple(
        torch.empty(2, channels, side, side)
        for channels, side in zip(maps, sides, strict=True)
    )
    return channels_of(neck, inputs)


@torch.no_grad()
def channels_of(module: Any, inputs: Any) -> Channels:
    """Channels of what ``module`` puts out; None if it does not run so."""
    try:
        device = next((p.device for p in module.parameters()), "meta")
        many = isinstance(inputs, tuple)
        moved = tuple(x.to(device) for x in inputs) if many else inputs.to(device)
        outputs = module(moved)
    except Exception:
        return None
    outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
    if not all(isinstance(output, Tensor) for output in outputs):
        return None
    return [output.shape[1] for output in outputs]


def compare(key: str, wanted: Any, maps: Channels, source: str) -> list[Problem]:
    """Compare what a part takes with the maps that it gets: all, or the last."""
    if maps is None:
        return []
    listed = isinstance(wanted, (list, tuple))
    given = list(maps) if listed else maps[-1]
    if (list(wanted) if listed else wanted) == given:
        return []
    what = "maps" if listed else "last map"
    text = f"{wanted}, but the {what} of {source} have {given} channels; set {given}"
    return [error(key, text)]


def heads(
    settings: Mapping[str, Any], maps: Channels, source: str
) -> Iterator[Problem]:
    """Problems of the heads of a segmentor, detector or classifier."""
    if maps is None:
        return
    for name in ("decode_head", "auxiliary_head"):
        found = settings.get(name) or []
        many = isinstance(found, (list, tuple))
        for index, head in enumerate(found if many else [found]):
            key = f"model.{name}[{index}]" if many else f"model.{name}"
            yield from segmentation_head(head, key, maps, source)
    for name in ("rpn_head", "bbox_head"):
        head = settings.get(name)
        if isinstance(head, Mapping):
            yield from dense_head(head, f"model.{name}", maps, source)
    yield from region_head(settings.get("roi_head"), maps, source)
    head = settings.get("head")
    if isinstance(head, Mapping) and "in_channels" in head:
        key = "model.head.in_channels"
        wanted = head["in_channels"]
        yield from compare(key, wanted, maps, source)


def segmentation_head(
    head: Any, key: str, maps: Sequence[int], source: str
) -> Iterator[Problem]:
    """Problems of a head of mmseg, which chooses maps by ``in_index``."""
    if not isinstance(head, Mapping) or "in_channels" not in head:
        return
    chosen = head.get("in_index", -1)
    indices = list(chosen) if isinstance(chosen, (list, tuple)) else [chosen]
    if any(not -len(maps) <= index < len(maps) for index in indices):
        text = f"{chosen}, but {source} puts out {len(maps)} maps, 0 to {len(maps) - 1}"
        yield error(f"{key}.in_index", f"{text}; choose among these")
        return
    got = [maps[index] for index in indices]
    yield from compare(f"{key}.in_channels", head["in_channels"], got, source)


def dense_head(
    head: Mapping[str, Any], key: str, maps: Sequence[int], source: str
) -> Iterator[Problem]:
    """Problems of a head of mmdet that looks at every map."""
    if "in_channels" in head and not isinstance(head["in_channels"], (list, tuple)):
        for channels in maps:
            found = compare(
                f"{key}.in_channels", head["in_channels"], [channels], source
            )
            if found:
                yield from found
                break
    strides = (head.get("anchor_generator") or {}).get("strides")
    if strides and len(strides) != len(maps):
        text = (
            f"{len(strides)} strides, but {source} puts out {len(maps)} maps; give one "
            "stride for each (neck.num_outs)"
        )
        yield error(f"{key}.anchor_generator.strides", text)


def region_head(head: Any, maps: Sequence[int], source: str) -> Iterator[Problem]:
    """Problems of the second stage of a detector."""
    if not isinstance(head, Mapping):
        return
    for part in ("bbox", "mask"):
        extractor = head.get(f"{part}_roi_extractor") or {}
        key = f"model.roi_head.{part}_roi_extractor"
        strides = extractor.get("featmap_strides", ())
        if len(strides) > len(maps):
            text = f"{len(strides)} strides, but {source} puts out {len(maps)} maps"
            yield error(f"{key}.featmap_strides", f"{text}; leave out the others")
        channels = extractor.get("out_channels")
        if channels is not None:
            yield from compare(f"{key}.out_channels", channels, maps[:1], source)
        after = head.get(f"{part}_head")
        shared = head.get("shared_head") or channels is None
        if isinstance(after, Mapping) and "in_channels" in after and not shared:
            where = f"model.roi_head.{part}_head.in_channels"
            of = f"{part}_roi_extractor"
            yield from compare(where, after["in_channels"], [channels or 0], of)
