"""Residual blocks of spiking ResNets with three kinds of shortcut.

* ``sew``: the shortcut is added after the last neuron, spikes to spikes. Fang et al.,
  "Deep Residual Learning in Spiking Neural Networks", NeurIPS 2021, arXiv 2102.04159.
* ``spiking``: it is added before the last neuron, to its input current; Zheng et al.,
  "Going Deeper With Directly-Trained Larger Spiking Neural Networks", AAAI 2021,
  arXiv 2011.05280, and others.
* ``ms``: neurons come first, and the shortcut carries the membrane's input current
  from block to block. Hu et al., "Advancing Spiking Neural Networks towards Deep
  Residual Learning", TNNLS 2024, arXiv 2112.08954.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from snnssl_mm.models.batch_norm import build_batch_norm, normalize, normalize_and_fire
from snnssl_mm.models.layers import NeuronConfig, build_neuron, convolve


class ResidualBlock(nn.Module):
    """Residual branch and its shortcut; a subclass defines how they are combined.

    Two convolutions of 3x3, or the bottleneck: 1x1, 3x3 and 1x1 to four times the
    channels, the stride at the 3x3. Names are torchvision's (``conv1``, ``bn1``, ...,
    ``downsample.0``, ``downsample.1``); neurons have no tensors.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the branch; the output has ``expansion`` times as many.
        stride: Stride of the branch and of the shortcut.
        bottleneck: Whether the branch is a bottleneck.
        neuron: Options of every neuron.
        bn: ``'joint'`` or ``'per_view'``, see :mod:`snnssl_mm.models.batch_norm`.
    """

    fires_on_shortcut = False

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        bottleneck: bool,
        neuron: NeuronConfig,
        bn: str,
    ) -> None:
        super().__init__()
        kernels, strides = [3, 3], [stride, 1]
        widths = [in_channels, channels, channels]
        if bottleneck:
            kernels, strides = [1, 3, 1], [1, stride, 1]
            widths.append(4 * channels)
        self.depth = len(kernels)
        for i, (kernel, step) in enumerate(zip(kernels, strides, strict=True)):
            conv = nn.Conv2d(
                widths[i], widths[i + 1], kernel, step, kernel // 2, bias=False
            )
            self.add_module(f"conv{i + 1}", conv)
            self.add_module(f"bn{i + 1}", build_batch_norm(bn, widths[i + 1]))
            self.add_module(f"neuron{i + 1}", build_neuron(neuron))
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != widths[-1]:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, widths[-1], 1, stride, bias=False),
                build_batch_norm(bn, widths[-1]),
            )
            if self.fires_on_shortcut:
                self.downsample_neuron = build_neuron(neuron)

    def unit(self, index: int) -> tuple[Any, Any, Any]:
        """Return convolution, batch norm and neuron number ``index``, from 1 on."""
        names = (f"conv{index}", f"bn{index}", f"neuron{index}")
        conv, norm, neuron = map(self.get_submodule, names)
        return conv, norm, neuron

    def shortcut_current(self, x: Tensor) -> Tensor:
        """Compute the shortcut: ``x`` in the shape of the block's output."""
        if self.downsample is None:
            return x
        conv, norm = self.downsample
        return normalize(norm, convolve(conv, x))


def iand(shortcut: Tensor, branch: Tensor) -> Tensor:
    """IAND of SEW-ResNet: the shortcut's spike, unless the branch fires.

    As in the paper and its code. spikingjelly 2.0 exchanges the two in bottlenecks (not
    in its other blocks): networks of 50 and more layers differ from it.
    """
    return shortcut * (1 - branch)


MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": Tensor.add,
    "and": Tensor.mul,
    "iand": iand,
}


class SEWBlock(ResidualBlock):
    """Spike-element-wise block: merge(shortcut, neuron(branch)), spikes both.

    Args:
        *args: See :class:`ResidualBlock`.
        merge: ``'add'``, which gives integers, ``'and'`` or ``'iand'``.
        **kwargs: See :class:`ResidualBlock`.
    """

    fires_on_shortcut = True

    def __init__(self, *args: Any, merge: str = "add", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.merge = MERGES[merge]

    def forward(self, x: Tensor, time_steps: int) -> Tensor:
        """Apply the block to ``x`` [T, N, C, H, W]."""
        out = x
        for index in range(1, self.depth + 1):
            conv, norm, neuron = self.unit(index)
            out = normalize_and_fire(norm, neuron, convolve(conv, out), time_steps)
        if self.downsample is None:
            return self.merge(x, out)
        conv, norm = self.downsample
        shortcut = convolve(conv, x)
        fired = normalize_and_fire(norm, self.downsample_neuron, shortcut, time_steps)
        return self.merge(fired, out)


class CurrentBlock(ResidualBlock):
    """Block of the plain spiking ResNet: neuron(branch + shortcut), spikes out."""

    def forward(self, x: Tensor, time_steps: int) -> Tensor:
        """Apply the block to ``x`` [T, N, C, H, W]."""
        out = x
        for index in range(1, self.depth):
            conv, norm, neuron = self.unit(index)
            out = normalize_and_fire(norm, neuron, convolve(conv, out), time_steps)
        conv, norm, neuron = self.unit(self.depth)
        current = normalize(norm, convolve(conv, out)) + self.shortcut_current(x)
        spikes: Tensor = neuron(current)
        return spikes


class MembraneBlock(ResidualBlock):
    """Membrane-shortcut block: branch(neuron(x)) + shortcut, a current out.

    The first neuron comes before the first convolution. ``x`` may be one time step
    ``[1, N, C, H, W]`` that is held for all.
    """

    def forward(self, x: Tensor, time_steps: int) -> Tensor:
        """Apply the block to ``x`` [T, N, C, H, W]."""
        spikes = self.unit(1)[2](x.expand(time_steps, *x.shape[1:]))
        for index in range(1, self.depth):
            conv, norm, _ = self.unit(index)
            neuron = self.unit(index + 1)[2]
            current = convolve(conv, spikes)
            spikes = normalize_and_fire(norm, neuron, current, time_steps)
        conv, norm, _ = self.unit(self.depth)
        return normalize(norm, convolve(conv, spikes)) + self.shortcut_current(x)
