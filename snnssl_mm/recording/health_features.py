"""Features of a pretraining model, from which representation health is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from snnssl_mm.checkpoints.random_states import random_states_kept
from snnssl_mm.neurons import set_path
from snnssl_mm.recording.bn_statistics import reestimated
from snnssl_mm.recording.two_views import Batch

FEATURES = ("backbone", "embedding")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode; restore all that the mode decides on leaving."""
    names = ("training", "path", "views", "time_steps")
    states = [
        (
            module,
            {name: getattr(module, name) for name in names if hasattr(module, name)},
        )
        for module in model.modules()
    ]
    model.eval()
    try:
        yield
    finally:
        for module, state in states:
            for name, value in state.items():
                setattr(module, name, value)


@torch.no_grad()
def view_features(model: Any, views: Iterable[Batch]) -> dict[str, list[Tensor]]:
    """Compute features ``[T, N, D]`` of view A, view B, and view A on the analog path.

    Raises:
        ValueError: If ``views`` is empty, or a feature is NaN or infinite.
    """
    found: dict[str, list[list[Tensor]]] = {kind: [[], [], []] for kind in FEATURES}
    with evaluating(model), random_states_kept():
        for batch in views:
            a, b = model.data_preprocessor(batch, training=False)["inputs"]
            for index, (view, path) in enumerate(
                ((a, "spike"), (b, "spike"), (a, "analog"))
            ):
                set_path(model.backbone, path)
                computed = pool_and_project(model, view)
                for kind, features in zip(FEATURES, computed, strict=True):
                    found[kind][index].append(features.float().cpu())
    if not found["backbone"][0]:
        raise ValueError("representation health needs at least 2 images, got none")
    joined = {
        kind: [torch.cat(parts, dim=1) for parts in three]
        for kind, three in found.items()
    }
    for kind, three in joined.items():
        if not all(features.isfinite().all() for features in three):
            raise ValueError(
                f"{kind} features contain NaN or inf, so the weights do too; train "
                "again from an earlier checkpoint with a lower learning rate"
            )
    return joined


def pool_and_project(model: Any, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Compute pooled features and embeddings ``[T, N, D]`` in one forward pass."""
    maps = model.backbone(inputs)[-1]
    (embeddings,) = model.neck((maps.flatten(0, 1),))
    return maps.mean(dim=(-2, -1)), embeddings.unflatten(0, maps.shape[:2])


@torch.no_grad()
def estimate_statistics(model: Any, views: Iterable[Batch]) -> None:
    """Estimate the BatchNorm statistics of backbone and projector on the spiking path.

    Frozen layers keep theirs, and so do a predictor and a teacher, which do not run. A
    random model needs this to be a baseline: with the initial statistics (0 and 1) its
    deep layers stay silent.
    """
    with evaluating(model), random_states_kept(), reestimated(model):
        set_path(model.backbone, "spike")
        for batch in views:
            data = model.data_preprocessor(batch, training=False)
            pool_and_project(model, torch.cat(data["inputs"], dim=-4))
