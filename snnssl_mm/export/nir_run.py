"""Reference interpreter of NIR graphs in plain torch.

Implements NIR's equations, independently of this package's neurons, in order to verify
exported files. Euler's forward method with steps of dt.
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import Any

import nir
import torch
import torch.nn.functional as F
from torch import Tensor


def _tensor(value: Any) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def _pair(value: Any) -> tuple[int, ...]:
    return tuple(int(v) for v in value)


class NIRRunner:
    """Executor of an acyclic graph, time step by time step, in float64.

    Args:
        graph: Graph of nodes ``Conv2d``, ``LIF``, ``IF``, ``SumPool2d``, ``Threshold``.
        dt: Seconds per time step; from the metadata by default.
    """

    def __init__(self, graph: nir.NIRGraph, dt: float | None = None) -> None:
        self.graph = graph
        self.dt = float(graph.metadata["dt"] if dt is None else dt)
        self.sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
        for source, target in graph.edges:
            self.sources[target].append(source)
        self.order = list(TopologicalSorter(self.sources).static_order())

    def __call__(self, clip: Tensor) -> dict[str, Tensor]:
        """Compute each output ``[T, N, C, H, W]`` for a clip ``[T, N, C, H, W]``."""
        self.membranes: dict[str, Tensor] = {}
        steps: dict[str, list[Tensor]] = {name: [] for name in self.graph.outputs}
        for frame in clip.double():
            values: dict[str, Tensor] = {}
            for name in self.order:
                inputs = [values[source] for source in self.sources[name]]
                total = sum(inputs[1:], inputs[0]) if inputs else frame
                values[name] = self._step(name, self.graph.nodes[name], total)
            for name, outputs in steps.items():
                outputs.append(values[name])
        return {name: torch.stack(outputs) for name, outputs in steps.items()}

    def _step(self, name: str, node: Any, x: Tensor) -> Tensor:
        """Compute one node for one time step."""
        if isinstance(node, nir.Input | nir.Output):
            return x
        if isinstance(node, nir.Conv2d):
            return F.conv2d(
                x, _tensor(node.weight), _tensor(node.bias), _pair(node.stride),
                _pair(node.padding), _pair(node.dilation), int(node.groups),
            )  # fmt: skip
        if isinstance(node, nir.SumPool2d):
            kernel = _pair(node.kernel_size)
            mean = F.avg_pool2d(x, kernel, _pair(node.stride), _pair(node.padding))
            return mean * (kernel[0] * kernel[1])
        if isinstance(node, nir.Threshold):
            return (x > _tensor(node.threshold)).double()
        if isinstance(node, nir.LIF | nir.IF):
            return self._fire(name, node, x)
        raise ValueError(f"{name} is a {type(node).__name__}, an unknown kind of node")

    def _fire(self, name: str, node: Any, x: Tensor) -> Tensor:
        """Integrate ``x``, fire and reset."""
        reset, resistance = _tensor(node.v_reset), _tensor(node.r)
        v = self.membranes.get(name, reset)
        if isinstance(node, nir.IF):
            v = v + self.dt * resistance * x
        else:
            leak, tau = _tensor(node.v_leak), _tensor(node.tau)
            v = v + self.dt / tau * (leak - v + resistance * x)
        spikes = v > _tensor(node.v_threshold)
        self.membranes[name] = torch.where(spikes, reset, v)
        return spikes.double()
