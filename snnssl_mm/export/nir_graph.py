"""A spiking backbone as a graph of NIR, the neuromorphic intermediate representation.

Pedersen et al., "Neuromorphic intermediate representation: A unified instruction set
for interoperable brain-inspired computing", Nature Communications 2024, arXiv
2311.14641.

* Convolution and batch norm become one ``Conv2d``.
* MixedLIF becomes ``LIF``, tau v' = (v_leak - v) + R x, which a step of dt by Euler's
  forward method turns into MixedLIF's equation if (with spikingjelly's conventions)::

      tau = dt tau_MixedLIF,  R = 1 if decay_input else tau_MixedLIF
      v_leak = v_reset,  v_threshold and v_reset as they are

  It becomes ``IF``, v' = R x with R = 1 / dt, if tau is infinite.
* A sum is a node with several incoming edges.
* Max-pooling of spikes becomes ``SumPool2d`` and ``Threshold`` 0.5.

The metadata record what NIR does not define: dt, the number of time steps, that the
membrane starts at v_reset, and the surrogate. NIR's neurons fire at v > v_threshold,
MixedLIF also at v = v_threshold, which does not occur with trained weights.
NIR has no soft reset, no product of signals (attention, merges 'and' and 'iand') and
no analog path.

spikingjelly's own exporter accepts spikingjelly's layers only, without batch norms; its
``nir_exchange.import_from_nir(file, dt=1e-4)`` reads these files, except those of the
ImageNet stem with its maximum, and leaves a sum that is an output to the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from snnssl_mm.export.signal_graph import INPUT, Layer, trace_signals
from snnssl_mm.models.backbone import SpikingBackbone
from snnssl_mm.neurons import MixedLIF

DT = 1e-4
"""Seconds per time step: what spikingjelly and other readers of NIR assume."""


def neuron_node(layer: Layer) -> nir.NIRNode:
    """Build ``LIF`` from a MixedLIF, or ``IF`` if it does not leak."""
    neuron: Any = layer.module
    p = neuron.config
    if p.v_reset is None:
        raise ValueError(
            f"{layer.name} has a soft reset (v_reset=None) and NIR's neurons reset to "
            "a value; train with v_reset=0.0, or choose format 'pt2' or 'onnx'"
        )

    def everywhere(value: float) -> np.ndarray:
        return np.full(layer.out_shape, value)

    shared = {
        "v_threshold": everywhere(p.v_threshold),
        "v_reset": everywhere(p.v_reset),
        "metadata": {
            "v_initial": p.v_reset,
            "detach_reset": p.detach_reset,
            "surrogate": str(p.surrogate),
        },
    }
    if 1 - 1 / p.tau == 1 and not p.decay_input:
        return nir.IF(r=everywhere(1 / DT), **shared)
    return nir.LIF(
        tau=everywhere(p.tau * DT),
        r=everywhere(1.0 if p.decay_input else p.tau),
        v_leak=everywhere(p.v_reset),
        **shared,
    )


def convolution_node(layer: Layer, dtype: torch.dtype) -> nir.NIRNode:
    """Build ``Conv2d`` from a convolution, with a bias of zeros if it has none."""
    conv: Any = layer.module
    if conv.padding_mode != "zeros":
        raise ValueError(
            f"{layer.name} has padding_mode={conv.padding_mode!r} and NIR pads by "
            "zeros; choose format 'pt2' or 'onnx'"
        )
    weight = conv.weight.detach().to(dtype)
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach()
    return nir.Conv2d(
        input_shape=layer.in_shape[1:],
        weight=weight.numpy(),
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        bias=bias.to(dtype).numpy(),
    )


def pooling_nodes(layer: Layer) -> dict[str, nir.NIRNode]:
    """Build max-pooling of spikes: their sum in a window, compared with 0.5."""
    pool: Any = layer.module
    if pool.ceil_mode or pool.dilation not in (1, [1, 1]):
        raise ValueError(
            f"{layer.name} is dilated or uses ceil_mode, which NIR cannot express"
        )
    sizes = (pool.kernel_size, pool.stride, pool.padding)
    return {
        f"{layer.name}.sum": nir.SumPool2d(*map(np.array, sizes)),
        layer.name: nir.Threshold(np.full(layer.out_shape, 0.5)),
    }


def output_names(network: SpikingBackbone) -> list[str]:
    """Return the names of the output nodes, in the order of ``out_indices``."""
    if len(network.out_indices) == 1:
        return ["output"]
    return [f"output{index}" for index in network.out_indices]


def to_nir(
    network: SpikingBackbone,
    image_size: tuple[int, int],
    dtype: torch.dtype = torch.float32,
    about: Mapping[str, Any] | None = None,
) -> nir.NIRGraph:
    """Convert a backbone to a NIR graph for images of one size.

    Nodes have the names of the submodules. ``input`` is ``[C, H, W]``, normalised, the
    same at all time steps; ``output`` is the map of ``out_indices`` at one time step,
    ``output0``, ``output1`` ... if there are several. The mean over time is left out.

    Args:
        network: Network from :func:`.folding.folded`.
        image_size: Height and width, multiples of the backbone's stride.
        dtype: Type of the weights; the neurons' parameters are float64.
        about: Additional metadata.

    Raises:
        ValueError: If NIR has no node for what the backbone computes.
    """
    graph = trace_signals(network, image_size)
    shape = np.array([network.in_channels, *image_size])
    nodes: dict[str, nir.NIRNode] = {INPUT: nir.Input(shape)}
    edges: list[tuple[str, str]] = []
    for layer in graph.layers.values():
        entry = layer.name
        if isinstance(layer.module, nn.Conv2d):
            nodes[entry] = convolution_node(layer, dtype)
        elif isinstance(layer.module, MixedLIF):
            nodes[entry] = neuron_node(layer)
        elif isinstance(layer.module, _NormBase):
            raise ValueError(
                f"{layer.name} does not follow a convolution of its own, or has no "
                "running statistics, and NIR has no node for a batch norm; choose "
                "format 'pt2' or 'onnx'"
            )
        else:
            nodes |= pooling_nodes(layer)
            edges.append((f"{entry}.sum", entry))
            entry = f"{entry}.sum"
        edges += [(source, entry) for source in layer.sources]
    for name, sources in zip(output_names(network), graph.outputs, strict=True):
        nodes[name] = nir.Output(np.array(graph.layers[sources[0]].out_shape))
        edges += [(source, name) for source in sources]
    metadata = {"dt": DT, "time_steps": network.time_steps, **(about or {})}
    return nir.NIRGraph(nodes, edges, metadata=metadata)
