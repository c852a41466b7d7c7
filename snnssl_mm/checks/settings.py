"""Datasets and heads in the text of a config."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LOADERS = tuple(
    f"{name}_dataloader" for name in ("train", "val", "test", "eval_train", "eval_test")
)
"""Data loaders that a config may have."""


def leaf_datasets(settings: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Yield keys and settings of the innermost datasets, which read files."""
    if not isinstance(settings, dict):
        return
    inner = {"dataset": settings.get("dataset")}
    for index, part in enumerate(settings.get("datasets") or ()):
        inner[f"datasets[{index}]"] = part
    if any(isinstance(part, dict) for part in inner.values()):
        for key, part in inner.items():
            yield from leaf_datasets(part, f"{where}.{key}")
    elif "type" in settings:
        yield where, settings


def class_counts(model: Any, name: str = "model") -> Iterator[tuple[str, int]]:
    """Yield ``num_classes`` of a model's heads, by their keys in the config.

    Heads with other targets are left out: region proposals have foreground only,
    auxiliary heads of HTC and STDC have stuff and edges.
    """
    if isinstance(model, (list, tuple)):
        for index, part in enumerate(model):
            yield from class_counts(part, f"{name}[{index}]")
    elif isinstance(model, dict):
        last = name.rpartition(".")[2].partition("[")[0]
        other = last in ("rpn_head", "semantic_head") or model.get("type") == "STDCHead"
        if last.endswith("head") and not other and "num_classes" in model:
            yield f"{name}.num_classes", model["num_classes"]
        for key, part in model.items():
            yield from class_counts(part, f"{name}.{key}")


def ignored_label(model: Any) -> int | None:
    """Return the label that a segmentor's loss ignores."""
    head = (model or {}).get("decode_head") or {}
    label: int | None = (head[-1] if isinstance(head, list) else head).get(
        "ignore_index", 255
    )
    return label
