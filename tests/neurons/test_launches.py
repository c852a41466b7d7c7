"""How many kernels a layer queues on a GPU, counted without one."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from lif_cases import channels_last
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from snnssl_mm.models import PerViewBatchNorm2d
from snnssl_mm.models.batch_norm import normalize_and_fire
from snnssl_mm.models.layers import ConvNormNeuron, normalize_fire_and_halve
from snnssl_mm.neurons import MixedILIF, MixedLIF
from snnssl_mm.neurons.kernels import ops

FREE = (
    *("empty", "view", "permute", "detach", "strided"),
    *("dim", "squeeze", "slice", "select"),
)
"""Parts of the names of operators that queue nothing: they allocate or rename."""
WAITING = ("_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal")
"""Likewise, of those for which the host waits."""


class Operators(TorchDispatchMode):
    """Counts the operators that torch calls, also inside of this package's own."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace != "snnssl_mm":
            self.names[func.overloadpacket.__name__] += 1
            return func(*args, **(kwargs or {}))
        with self:  # its body, below the keys that called this mode
            keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
            return func.redispatch(keys, *args, **(kwargs or {}))


@pytest.fixture
def on_gpu(kernels, monkeypatch):
    """CPU tensors take the way of CUDA tensors, up to the launches."""
    monkeypatch.setattr(ops, "kernels_for", lambda x: kernels)
    return kernels.enqueue.__self__.launches


def launched(operators, launches):
    """Names of all kernels that were queued, each as often as it was."""
    torchs = {
        name: number
        for name, number in operators.names.items()
        if not any(part in name for part in FREE)
    }
    return Counter(launch.name for launch in launches) + Counter(torchs)


def norms():
    per_view = PerViewBatchNorm2d(16)
    per_view.views = 2
    return [nn.BatchNorm2d(16), per_view]


LAYERS = {
    "norm_mixed_lif_forward": normalize_and_fire,
    "norm_mixed_lif_pool_forward": normalize_fire_and_halve,
}


@pytest.mark.parametrize("norm", norms(), ids=lambda norm: type(norm).__name__)
@pytest.mark.parametrize("path", ["spike", "dual"])
@pytest.mark.parametrize("forward", LAYERS)
@pytest.mark.parametrize("kind", [MixedLIF, MixedILIF])
def test_a_training_step_of_a_layer_is_four_kernels(on_gpu, norm, path, forward, kind):
    neuron, layer = kind(), LAYERS[forward]
    neuron.path = path
    x = channels_last(torch.randn(4, 4, 16, 3, 3)).requires_grad_()
    out = layer(norm, neuron, x, 4)  # the counters of blocks are made once
    grad = torch.randn_like(out)
    on_gpu.clear()
    with Operators() as operators:
        out = layer(norm, neuron, x, 4)
        torch.autograd.grad(out, [x, norm.weight, norm.bias], grad)
    assert launched(operators, on_gpu) == {
        "batch_moments": 1,
        forward: 1,
        "norm_mixed_lif_sums": 1,
        "norm_mixed_lif_backward": 1,
    }


@pytest.mark.parametrize("forward", LAYERS)
@pytest.mark.parametrize("kind", [MixedLIF, MixedILIF])
def test_inference_of_a_layer_is_one_kernel(on_gpu, forward, kind):
    norm, x = nn.BatchNorm2d(16).eval(), channels_last(torch.randn(4, 4, 16, 3, 3))
    with torch.no_grad(), Operators() as operators:
        LAYERS[forward](norm, kind(), x, 4)
    assert launched(operators, on_gpu) == {forward: 1}


@pytest.mark.parametrize("momentum", [0.1, None])
def test_nothing_waits_for_the_gpu(on_gpu, momentum):
    layer = ConvNormNeuron(8, 16, 3, True, {}, "per_view")
    layer.bn.momentum, layer.bn.views = momentum, 2
    x = channels_last(torch.randn(4, 4, 8, 3, 3))
    with Operators() as operators:
        layer(x).sum().backward()
    assert operators.names["convolution"] == 1
    assert not [n for n in operators.names if any(part in n for part in WAITING)]
