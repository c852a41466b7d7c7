"""Self-supervised losses over time steps and views, in pure torch."""

from snnssl_mm.losses.distillation import FeatureDistillationLoss
from snnssl_mm.losses.lejepa import LeJEPALoss, LeJEPAParts
from snnssl_mm.losses.ntxent import NTXentLoss, NTXentParts
from snnssl_mm.losses.prediction import (
    NegativeCosineLoss,
    NextStepLoss,
    PredictionLoss,
    PredictionParts,
)
from snnssl_mm.losses.slices import SliceLoss
from snnssl_mm.losses.temporal import (
    BoundaryTemporalLoss,
    CrossTemporalLoss,
    LossParts,
    TemporalLoss,
    TimeFlattenedLoss,
)
from snnssl_mm.losses.vicreg import VICRegLoss, VICRegParts

__all__ = [
    "BoundaryTemporalLoss",
    "CrossTemporalLoss",
    "FeatureDistillationLoss",
    "LeJEPALoss",
    "LeJEPAParts",
    "LossParts",
    "NTXentLoss",
    "NTXentParts",
    "NegativeCosineLoss",
    "NextStepLoss",
    "PredictionLoss",
    "PredictionParts",
    "SliceLoss",
    "TemporalLoss",
    "TimeFlattenedLoss",
    "VICRegLoss",
    "VICRegParts",
]
