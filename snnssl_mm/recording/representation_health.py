"""Representation health: spread, rank, agreement of views, paths and time steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from snnssl_mm.losses.representation import (
    alignment,
    linear_cka,
    mean_cosine,
    rankme,
    singular_values,
    std_per_dimension,
    temporal_consistency,
    uniformity,
)
from snnssl_mm.recording.health_features import FEATURES, view_features
from snnssl_mm.recording.table import Table
from snnssl_mm.recording.two_views import Batch
from snnssl_mm.registry import MODELS

MEASURES = {
    "std": "std per dimension (1 spread out, 0 collapsed)",
    "rankme": "RankMe (dimensions in use; 1 collapsed)",
    "alignment": "alignment (two views: 0 same, 2 unrelated)",
    "uniformity": "uniformity (-4 spread out, 0 collapsed)",
    "path_cosine": "cosine of spiking and analog path (1 same)",
    "path_cka": "CKA of spiking and analog path (1 same)",
    "step_cosine": "cosine of neighbouring time steps (1 same)",
}
"""Scalar measures, and how to read them."""
COLLAPSED_RANK = 2.0
COLLAPSED_STD = 0.05
Health = dict[str, Any]


def representation_health(model: nn.Module, views: Iterable[Batch]) -> Health:
    """Measure the features of a pretraining model on two views of images.

    The model runs in evaluation mode: both views on the spiking path, view A also on
    the analog path. There are two kinds of features ``[T, N, D]``: ``backbone``
    (spatial mean of the last map) and ``embedding`` (output of the projector). Measures
    of one vector per image use the mean over time.

    Args:
        model: A DualPathSSL. Its mode, path and buffers and the global random states
            are restored.
        views: Batches of two views, such as those of ``two_view_batches``.

    Returns:
        For both kinds, as ``<kind>/<measure>``: ``std`` (mean over dimensions),
        ``rankme``, ``alignment`` (of view A and B), ``uniformity`` (mean of both
        views), ``path_cosine`` and ``path_cka`` (spiking against analog path),
        ``step_cosine`` (mean of neighbouring time steps; 1 if T = 1), ``dimensions``
        D; as lists ``std_per_dimension`` ``[D]``, ``singular_values``
        ``[min(N, D)]``, ``temporal_consistency`` ``[T, T]``. They are computed by
        :mod:`snnssl_mm.losses.representation`.

    Raises:
        ValueError: If the model is not a DualPathSSL, there are fewer than 2 images, or
            a feature is NaN or infinite.
    """
    if not isinstance(model, MODELS.get("DualPathSSL")):
        raise ValueError(
            f"representation health needs the two paths of a DualPathSSL, got "
            f"{type(model).__name__}; use a config of pretraining, such as "
            "configs/selfsup/spikformer_ctl.py"
        )
    collected = view_features(model, views)
    if collected["backbone"][0].shape[1] < 2:
        raise ValueError(
            "representation health compares images and needs at least 2, got 1"
        )
    return {
        f"{kind}/{name}": value
        for kind in FEATURES
        for name, value in measure_features(*collected[kind]).items()
    }


def measure_features(a: Tensor, b: Tensor, analog: Tensor) -> Health:
    """Compute all measures of one kind of features ``[T, N, D]``."""
    one, other, smooth = (z.double().mean(0) for z in (a, b, analog))
    spread, values = std_per_dimension(one), singular_values(one)
    steps = temporal_consistency(a)
    neighbours = steps.diagonal(1)
    return {
        "dimensions": one.shape[1],
        "std": float(spread.mean()),
        "rankme": rankme(values),
        "alignment": alignment(one, other),
        "uniformity": (uniformity(one) + uniformity(other)) / 2,
        "path_cosine": mean_cosine(one, smooth),
        "path_cka": linear_cka(one, smooth),
        "step_cosine": float(neighbours.mean()) if len(neighbours) else 1.0,
        "std_per_dimension": spread.tolist(),
        "singular_values": values.tolist(),
        "temporal_consistency": steps.tolist(),
    }


def rounded(health: Mapping[str, Any], digits: int = 5) -> Health:
    """Round the numbers to significant digits, for a results file."""

    def round_value(value: Any) -> Any:
        if isinstance(value, list):
            return [round_value(entry) for entry in value]
        return float(f"{value:.{digits}g}") if isinstance(value, float) else value

    return {name: round_value(value) for name, value in health.items()}


def signs_of_collapse(health: Mapping[str, Any]) -> list[str]:
    """List signs of a collapsed representation as phrases.

    Args:
        health: Result of :func:`representation_health`.
    """
    signs = []
    for kind in FEATURES:
        rank, std = health[f"{kind}/rankme"], health[f"{kind}/std"]
        if rank < COLLAPSED_RANK:
            signs.append(f"RankMe of the {kind} features is {rank:.2f}")
        if std < COLLAPSED_STD:
            signs.append(f"standard deviation of the {kind} features is {std:.3f}")
    return signs


def health_table(row: Mapping[str, Any]) -> Table:
    """Make the table of measures.

    Args:
        row: A row of the results file of ``snnssl measure health``.
    """
    heads = {"pretrained": "{}", "random": "random {}"}
    columns = [(start, kind) for start in heads for kind in FEATURES]
    lines = [
        [text, *(f"{row[start][f'{kind}/{name}']:.3g}" for start, kind in columns)]
        for name, text in MEASURES.items()
    ]
    sizes = (str(row[start][f"{kind}/dimensions"]) for start, kind in columns)
    lines.insert(0, ["dimensions", *sizes])
    caption = (
        f"Representation health on two views of {row['images_used']} {row['data']} "
        f"images, {Path(row['config']).stem} (random: fresh weights, BatchNorm "
        "statistics of these images)"
    )
    head = ["measure", *(heads[start].format(kind) for start, kind in columns)]
    return Table(head, lines, caption)
