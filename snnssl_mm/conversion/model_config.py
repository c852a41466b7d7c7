"""Config and tensors of the model that a converted checkpoint is."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from snnssl_mm.checkpoints.publishing import BACKBONE
from snnssl_mm.conversion.convert import Conversion
from snnssl_mm.conversion.detect import LAYOUTS

HEAD = "head."
"""Prefix of the names of a classifier's tensors in a model of mmpretrain."""


def backbone_config(conversion: Conversion) -> dict[str, Any]:
    """Make the config of this package's backbone with the known settings."""
    return dict(type=f"snnssl_mm.{conversion.family}", **conversion.settings)


def model_config(conversion: Conversion) -> dict[str, Any]:
    """Make the config of the model: of the backbone, or of a classifier on it."""
    backbone, found = backbone_config(conversion), conversion.classifier
    if not found or conversion.source not in LAYOUTS:
        return dict(backbone=backbone)
    neuron = LAYOUTS[conversion.source].head_neuron
    if neuron is not None:
        neuron = {**head_type(conversion), **backbone.get("neuron", {}), **neuron}
    classes, channels = found["fc.weight"].shape
    head = dict(
        type="snnssl_mm.SpikingLinearClsHead",
        num_classes=classes,
        in_channels=channels,
        neuron=neuron,
        distilled="fc_kd.weight" in found,
    )
    backbone = dict(backbone, time_readout="none")
    return dict(type="mmpretrain.ImageClassifier", backbone=backbone, head=head)


def head_type(conversion: Conversion) -> dict[str, Any]:
    """Return the type of the head's neuron, if it is not a MixedLIF."""
    integer = conversion.family == "ESpikeFormer"
    return {"type": "snnssl_mm.MixedILIF"} if integer else {}


def model_tensors(conversion: Conversion) -> dict[str, Tensor]:
    """Return the tensors of the backbone, and of a classifier, by names in a model."""
    return {
        **{f"{BACKBONE}{name}": t for name, t in conversion.state.items()},
        **{f"{HEAD}{name}": t for name, t in conversion.classifier.items()},
    }
