"""Registered models; importing this package fills the ``MODELS`` registry."""

from snnssl_mm.compat import import_mmpretrain

import_mmpretrain("models")

from snnssl_mm.checkpoints.loading import load_backbone, load_full_model
from snnssl_mm.losses import (
    BoundaryTemporalLoss,
    CrossTemporalLoss,
    FeatureDistillationLoss,
    LeJEPALoss,
    NegativeCosineLoss,
    NextStepLoss,
    NTXentLoss,
    TimeFlattenedLoss,
    VICRegLoss,
)
from snnssl_mm.models.batch_norm import PerViewBatchNorm2d
from snnssl_mm.models.clips import ClipDataPreprocessor, TwoViewDataPreprocessor
from snnssl_mm.models.dense_prediction.firing import Places
from snnssl_mm.models.dense_prediction.heads import (
    SpikingATSSHead,
    SpikingCascadeRoIHead,
    SpikingConvFCBBoxHead,
    SpikingDenseHead,
    SpikingFCNHead,
    SpikingFCNMaskHead,
    SpikingFCOSHead,
    SpikingFPNHead,
    SpikingHead,
    SpikingMapHead,
    SpikingRegionHead,
    SpikingRetinaHead,
    SpikingRetinaSepBNHead,
    SpikingRoIHead,
    SpikingRPNHead,
    SpikingShared2FCBBoxHead,
    SpikingSingleRoIExtractor,
    SpikingStandardRoIHead,
    SpikingUPerHead,
)
from snnssl_mm.models.dense_prediction.neck import SpikingNeck
from snnssl_mm.models.dense_prediction.simple_pyramid import SimpleFeaturePyramid
from snnssl_mm.models.heads import (
    NormalizedLinearClsHead,
    SpikingLinearClsHead,
    TemporalLossHead,
)
from snnssl_mm.models.init import BackboneInit, ZeroResidualInit
from snnssl_mm.models.masking import VisiblePatches, only_visible
from snnssl_mm.models.membrane_shortcut.e_spike_former import ESpikeFormer
from snnssl_mm.models.membrane_shortcut.max_former import MaxFormer
from snnssl_mm.models.membrane_shortcut.meta_spike_former import MetaSpikeFormer
from snnssl_mm.models.membrane_shortcut.spike_driven_transformer import (
    SpikeDrivenTransformer,
)
from snnssl_mm.models.membrane_shortcut.spikingformer import Spikingformer
from snnssl_mm.models.qkformer import QKFormer
from snnssl_mm.models.selfsup.dual_path_ssl import DualPathSSL, Embeddings
from snnssl_mm.models.selfsup.frozen_teacher import FrozenTeacher
from snnssl_mm.models.selfsup.masked_patches import MaskedPatchDecoder, MaskedPatchHead
from snnssl_mm.models.selfsup.masked_ssl import MaskedSSL
from snnssl_mm.models.selfsup.spiking_ssl import SpikingSSL
from snnssl_mm.models.selfsup.teacher import Teacher
from snnssl_mm.models.spikformer import Spikformer
from snnssl_mm.models.spiking_resnet import SpikingResNet
from snnssl_mm.neurons import MixedILIF, MixedLIF, ReLUNeuron
from snnssl_mm.registry import MODELS

# Neurons and losses do not import OpenMMLab; they are registered here.
for _module in (
    MixedLIF,
    MixedILIF,
    ReLUNeuron,
    CrossTemporalLoss,
    BoundaryTemporalLoss,
    TimeFlattenedLoss,
    VICRegLoss,
    NTXentLoss,
    NegativeCosineLoss,
    NextStepLoss,
    LeJEPALoss,
    FeatureDistillationLoss,
):
    MODELS.register_module(module=_module)

__all__ = [
    "BackboneInit",
    "BoundaryTemporalLoss",
    "ClipDataPreprocessor",
    "CrossTemporalLoss",
    "DualPathSSL",
    "ESpikeFormer",
    "Embeddings",
    "FeatureDistillationLoss",
    "FrozenTeacher",
    "LeJEPALoss",
    "MaskedPatchDecoder",
    "MaskedPatchHead",
    "MaskedSSL",
    "MaxFormer",
    "MetaSpikeFormer",
    "MixedILIF",
    "MixedLIF",
    "NTXentLoss",
    "NegativeCosineLoss",
    "NextStepLoss",
    "NormalizedLinearClsHead",
    "PerViewBatchNorm2d",
    "Places",
    "QKFormer",
    "ReLUNeuron",
    "SimpleFeaturePyramid",
    "SpikeDrivenTransformer",
    "Spikformer",
    "SpikingATSSHead",
    "SpikingCascadeRoIHead",
    "SpikingConvFCBBoxHead",
    "SpikingDenseHead",
    "SpikingFCNHead",
    "SpikingFCNMaskHead",
    "SpikingFCOSHead",
    "SpikingFPNHead",
    "SpikingHead",
    "SpikingLinearClsHead",
    "SpikingMapHead",
    "SpikingNeck",
    "SpikingRPNHead",
    "SpikingRegionHead",
    "SpikingResNet",
    "SpikingRetinaHead",
    "SpikingRetinaSepBNHead",
    "SpikingRoIHead",
    "SpikingSSL",
    "SpikingShared2FCBBoxHead",
    "SpikingSingleRoIExtractor",
    "SpikingStandardRoIHead",
    "SpikingUPerHead",
    "Spikingformer",
    "Teacher",
    "TemporalLossHead",
    "TimeFlattenedLoss",
    "TwoViewDataPreprocessor",
    "VICRegLoss",
    "VisiblePatches",
    "ZeroResidualInit",
    "load_backbone",
    "load_full_model",
    "only_visible",
]
