"""Features of a pretraining model for the measures of representation health."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from snnssl_mm.checkpoints.random_states import random_states_kept
from snnssl_mm.neurons import set_path
from snnssl_mm.recording.bn_statistics import norms_of, reestimated
from snnssl_mm.recording.two_views import Batch

FEATURES = ("backbone", "embedding")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode; on leaving, put every module's mode and path back."""
    modes = [(module, module.training) for module in model.modules()]
    spiking: list[Any] = [m for m in model.modules() if hasattr(m, "path")]
    paths = [module.path for module in spiking]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for neuron, path in zip(spiking, paths, strict=True):
            neuron.path = path


@torch.no_grad()
def collect(model: Any, views: Iterable[Batch]) -> dict[str, list[Tensor]]:
    """Features ``[T, N, D]`` of view A, view B, and view A on the analog path.

    Raises:
        ValueError: If there is no image, or a feature is NaN or infinite.
    """
    found: dict[str, list[list[Tensor]]] = {kind: [[], [], []] for kind in FEATURES}
    with evaluating(model), random_states_kept():
        for batch in views:
            a, b = model.data_preprocessor(batch, training=False)["inputs"]
            for index, (view, path) in enumerate(
                ((a, "spike"), (b, "spike"), (a, "analog"))
            ):
                set_path(model.backbone, path)
                for kind, features in zip(FEATURES, extract(model, view), strict=True):
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
                f"{kind} features hold NaN or inf, so the weights do too; train again "
                "from an earlier checkpoint with a lower learning rate"
            )
    return joined


def extract(model: Any, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Pooled features and embeddings ``[T, N, D]`` of ``inputs``, in one pass."""
    maps = model.run_backbone(inputs)[-1]
    (embeddings,) = model.neck((maps.flatten(0, 1),))
    return maps.mean(dim=(-2, -1)), embeddings.unflatten(0, maps.shape[:2])


@torch.no_grad()
def take_statistics(model: Any, views: Iterable[Batch]) -> None:
    """Estimate all BatchNorm statistics of a fresh model from both views, spiking.

    With the initial ones (0 and 1) the deep layers of a random network stay silent, so
    it would tell nothing.
    """
    with evaluating(model), random_states_kept(), reestimated(norms_of(model)):
        set_path(model.backbone, "spike")
        for batch in views:
            data = model.data_preprocessor(batch, training=False)
            extract(model, torch.cat(data["inputs"]))
