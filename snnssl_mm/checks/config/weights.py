"""Check that the weights that a config starts from exist and fit its model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.runner import checkpoint as loading

from snnssl_mm.checkpoints import read_once, zoo
from snnssl_mm.checkpoints.given_weights import (
    OURS,
    Given,
    compare_weights,
    given_weights,
)
from snnssl_mm.checks.config.problem import Problem, closest, error, warning

DEPRECATED = loading.get_deprecated_model_names
PUBLISHED = {
    "torchvision": (loading.get_torchvision_models,),
    "modelzoo": (loading.get_torchvision_models,),
    "open-mmlab": (loading.get_external_models, DEPRECATED),
    "openmmlab": (loading.get_external_models, DEPRECATED),
    "mmcls": (loading.get_mmcls_models,),
}
"""Functions that list the names mmengine knows, by the scheme of their addresses."""


def check_weights(cfg: Mapping[str, Any], model: Any, files: bool) -> list[Problem]:
    """Check ``init_cfg``, ``pretrained`` and ``load_from``.

    Args:
        cfg: The config.
        model: The config's model, or None.
        files: Whether missing files are a problem.
    """
    problems = list(settings_without_file(cfg))
    with read_once.files_kept():
        found = given_weights(cfg, model) if model is not None else []
        for given in found:
            problems += weights(given, model, cfg, files)
    if model is not None and not cfg.get("resume"):
        problems += frozen_at_random(model, found)
    return problems


def frozen_at_random(model: Any, found: list[Given]) -> Iterator[Problem]:
    """Yield the problems of frozen layers without pretrained weights."""
    for name, module in model.named_modules():
        frozen = getattr(module, "frozen_stages", None)
        asked = "checkpoint" in str(getattr(module, "init_cfg", None))
        given = asked or any(name.startswith(one.target) for one in found)
        if isinstance(frozen, int) and frozen >= 0 and not given:
            text = (
                f"{frozen}: layers are frozen at random values; load weights "
                "(--pretrained)"
            )
            yield warning(f"model.{name}.frozen_stages", text)


def unknown_name(path: str) -> str | None:
    """Describe an unknown name of published weights; None if it is not known to be."""
    scheme, _, name = path.partition("://")
    known = {one for names in PUBLISHED.get(scheme, ()) for one in names()}
    if not known or name in known:
        return None
    like = closest(name, known)
    meant = f"is {scheme}://{like} meant?" if like else "check the name"
    return f"{path} is not among the weights that mmengine knows; {meant}"


def settings_without_file(cfg: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems that the config's text shows."""
    model = cfg.get("model") or {}
    backbone = model.get("backbone") or {}
    kind = str(backbone.get("type"))
    if model.get("pretrained") and kind.startswith("snnssl_mm."):
        text = (
            f"{model['pretrained']!r} is passed to the backbone, but {kind} has no "
            "such argument; set pretrained=None, and use --pretrained FILE or "
            "backbone.init_cfg"
        )
        yield error("model.pretrained", text)
    init_cfg = backbone.get("init_cfg")
    if isinstance(init_cfg, Mapping) and init_cfg.get("checkpoint", "none") == "":
        text = "is empty; pass the file with --pretrained"
        yield warning("model.backbone.init_cfg.checkpoint", text)


def weights(
    given: Given, model: Any, cfg: Mapping[str, Any], files: bool
) -> Iterator[Problem]:
    """Yield the problems of one file."""
    key = given.key if given.key == "load_from" else f"{given.key}.checkpoint"
    spiking = hasattr(model.get_submodule(given.target), "structure")
    absent = not given.remote and not Path(given.path).expanduser().is_file()
    if unknown := unknown_name(given.path):
        yield error(key, unknown)
    elif given.remote:
        if spiking and given.way != OURS:
            text = (
                f"{given.path} is remote and cannot be checked; use BackboneInit, "
                "which raises if it does not fit"
            )
            yield warning(key, text)
    elif absent and not (zoo.is_name(given.path) or "://" in given.path):
        if files:
            yield error(key, zoo.does_not_exist(given.path))
    else:
        finding = compare_weights(given, model, cfg)
        if finding.problem:
            yield error(given.key, finding.problem)
        yield from (warning(given.key, note) for note in finding.notes)
