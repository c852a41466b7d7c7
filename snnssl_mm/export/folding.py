"""Folding of batch norms into the convolutions before them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.fusion import fuse_conv_bn_weights

from snnssl_mm.export.plain import plain_copy
from snnssl_mm.export.signal_graph import Layer, SignalGraph, trace_signals
from snnssl_mm.models.backbone import SpikingBackbone


def foldable(graph: SignalGraph) -> list[tuple[Layer, Layer]]:
    """Pair each batch norm with the convolution before it, which has no other consumer.

    Raises:
        ValueError: If a batch norm has no such convolution.
    """
    layers = graph.layers
    consumers = [source for layer in layers.values() for source in layer.sources]
    consumers += [source for sources in graph.outputs for source in sources]
    pairs = []
    for norm in (x for x in layers.values() if isinstance(x.module, _NormBase)):
        conv = layers.get(norm.sources[0])
        alone = len(norm.sources) == 1 and consumers.count(norm.sources[0]) == 1
        if not (conv and alone and isinstance(conv.module, nn.Conv2d)):
            raise ValueError(
                f"{norm.name} does not follow a convolution of its own, and NIR has no "
                "node for a batch norm alone; choose format 'pt2' or 'onnx'"
            )
        pairs.append((conv, norm))
    return pairs


@torch.no_grad()
def folded(
    backbone: SpikingBackbone, image_size: tuple[int, int], dtype: torch.dtype
) -> SpikingBackbone:
    """Copy ``backbone`` and fold its batch norms into its convolutions.

    The copy computes in float64 with weights rounded to ``dtype``, so that it fires
    exactly as a file of ``dtype`` does.
    """
    network = plain_copy(backbone, torch.float64)
    for conv, norm in foldable(trace_signals(network, image_size)):
        layer: Any = conv.module
        bn: Any = norm.module
        if bn.running_mean is None:
            raise ValueError(f"{norm.name} has no running statistics to fold")
        layer.weight, layer.bias = fuse_conv_bn_weights(
            layer.weight, layer.bias, bn.running_mean, bn.running_var, bn.eps,
            bn.weight, bn.bias,
        )  # fmt: skip
        network.set_submodule(norm.name, nn.Identity())
    for parameter in network.parameters():
        parameter.copy_(parameter.to(dtype))
    return network
