"""Temporal self-supervised losses in pure torch."""

from snnssl_mm.losses.temporal import (
    BoundaryTemporalLoss,
    CrossTemporalLoss,
    LossParts,
    TemporalLoss,
    TimeFlattenedLoss,
)

__all__ = [
    "BoundaryTemporalLoss",
    "CrossTemporalLoss",
    "LossParts",
    "TemporalLoss",
    "TimeFlattenedLoss",
]
