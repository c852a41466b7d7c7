"""Building blocks of spiking backbones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnssl_mm.models.batch_norm import (
    PerViewBatchNorm2d,
    build_batch_norm,
    current_normalization,
    is_plain,
    is_watched,
    normalize,
    normalize_and_fire,
    takes_norm,
)
from snnssl_mm.models.masking import hide, visible_patches
from snnssl_mm.neurons.kernels import ops
from snnssl_mm.neurons.kernels.backends import is_usable, takes
from snnssl_mm.neurons.kernels.layout import is_channels_last
from snnssl_mm.registry import MODELS

NeuronConfig = Mapping[str, Any]


def build_neuron(neuron: NeuronConfig, **overrides: Any) -> nn.Module:
    """Build the configured neuron, a MixedLIF unless ``type`` says otherwise."""
    return MODELS.build({"type": "snnssl_mm.MixedLIF", **neuron, **overrides})


def convolve(conv: nn.Module, x: Tensor) -> Tensor:
    """Apply ``conv`` to each time step of ``x`` [T, N, C, H, W].

    It sees zeros at masked positions, see :mod:`snnssl_mm.models.masking`.
    """
    frames: Tensor = conv(hide(x).flatten(0, 1))
    return frames.unflatten(0, x.shape[:2])


class ZeroGradient(torch.autograd.Function):
    """Return ``x``, and give ``unused`` a gradient of zero.

    DistributedDataParallel waits for a gradient of every parameter.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, unused: Tensor) -> Tensor:
        """Return ``x``."""
        ctx.save_for_backward(unused)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        """Pass the gradient on."""
        return grads[0], torch.zeros_like(*ctx.saved_tensors)


def is_idle_bias(conv: nn.Module, norm: nn.Module) -> bool:
    """Whether the bias of ``conv`` changes nothing but the running mean of ``norm``.

    A batch norm with statistics of the batch subtracts it again. Added nevertheless, it
    costs a pass over memory, and its gradient another, which is rounding only: Adam
    would turn it into a random walk.
    """
    watched = conv._forward_hooks or conv._forward_pre_hooks or norm._forward_pre_hooks
    return (
        type(conv) is nn.Conv2d
        and conv.bias is not None
        and not watched
        and isinstance(norm, (nn.BatchNorm2d, nn.SyncBatchNorm, PerViewBatchNorm2d))
        and norm.training
        and norm.running_mean is not None
        and norm.momentum is not None
        and norm.momentum < 1
    )


class ConvNorm(nn.Module):
    """Convolution and batch norm, which give a current.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: An odd number; padding keeps the size.
        bias: Whether the convolution has a bias.
        bn: ``'joint'`` or ``'per_view'``, see :mod:`snnssl_mm.models.batch_norm`.
        stride: Stride of the convolution.
        groups: Groups of the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bias: bool,
        bn: str,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.conv: Any = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            kernel_size // 2,
            groups=groups,
            bias=bias,
        )
        self.bn: Any = build_batch_norm(bn, out_channels)

    def convolved(self, x: Tensor) -> Tensor:
        """Compute what the batch norm gets for ``x`` [T, N, C, H, W].

        A bias that the batch norm would subtract again is left out and accounted for in
        its running mean, see :func:`is_idle_bias`.
        """
        if not is_idle_bias(self.conv, self.bn):
            return convolve(self.conv, x)
        weight, bias = self.conv.weight, cast(Tensor, self.conv.bias)
        frames = self.conv._conv_forward(hide(x).flatten(0, 1), weight, None)
        # The mean becomes (1 - m) mean + m (mean of the batch), and lacks m bias.
        share = self.bn.momentum / (1 - self.bn.momentum)
        self.bn.running_mean.add_(bias.detach(), alpha=share)
        return ZeroGradient.apply(frames, bias).unflatten(0, x.shape[:2])

    def current(self, x: Tensor) -> Tensor:
        """Compute the normalised current [T, N, C, H, W]."""
        return normalize(self.bn, self.convolved(x))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the normalised current [T, N, C, H, W]."""
        return self.current(x)


class ConvNormNeuron(ConvNorm):
    """Convolution, batch norm and neuron: the building block of Spikformer.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: An odd number; padding keeps the size.
        bias: Whether the convolution has a bias.
        neuron: Options of the neuron.
        bn: ``'joint'`` or ``'per_view'``, see :mod:`snnssl_mm.models.batch_norm`.
        stride: Stride of the convolution.
        groups: Groups of the convolution.
        halved: Whether the output is max-pooled to half its size, see :func:`halve`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bias: bool,
        neuron: NeuronConfig,
        bn: str,
        stride: int = 1,
        groups: int = 1,
        halved: bool = False,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, bias, bn, stride, groups
        )
        self.neuron = build_neuron(neuron)
        self.halved = halved

    def forward(self, x: Tensor, time_steps: int | None = None) -> Tensor:
        """Compute the spikes [T, N, C, H, W] for ``x``.

        Args:
            x: ``[T, N, C, H, W]``, or ``[1, N, C, H, W]`` for an input that is held:
                the convolution and the batch norm then run once, not T times.
            time_steps: T, if ``x`` is held.
        """
        steps = time_steps or x.shape[0]
        fire = normalize_fire_and_halve if self.halved else normalize_and_fire
        return fire(self.bn, self.neuron, self.convolved(x), steps)


def halve(x: Tensor) -> Tensor:
    """Max-pool ``x`` [T, N, C, H, W] with 3x3 windows to half its size.

    On channels-last CPU tensors by an operator that saves one byte per output for the
    backward pass, instead of the input and eight bytes per output.
    """
    frames = x.flatten(0, 1)
    last = frames.is_contiguous(memory_format=torch.channels_last)
    if last and x.numel() and has_cpu_kernels(x):
        pooled = ops.halve_op(frames)[0]
    else:
        pooled = F.max_pool2d(frames, 3, 2, 1)
    return pooled.unflatten(0, x.shape[:2])


def normalize_fire_and_halve(
    norm: nn.Module, neuron: nn.Module, x: Tensor, time_steps: int
) -> Tensor:
    """Compute ``halve(normalize_and_fire(...))``, by one kernel if all allow it.

    Spikes of full size are then never written. A hook on the neuron expects to see
    them.
    """
    whole = x.dim() == 5 and visible_patches() is None
    fused = is_plain(norm) and takes_norm(neuron, x) and whole
    if fused and is_channels_last(x) and not is_watched(neuron):
        return neuron(x, current_normalization(norm, x), time_steps, pooled=True)
    return halve(normalize_and_fire(norm, neuron, x, time_steps))


def has_cpu_kernels(x: Tensor) -> bool:
    """Whether ``x`` is for the compiled CPU kernels, whatever a neuron's backend."""
    return takes("cpu", x) and is_usable("cpu")


def channels_last(x: Tensor) -> Tensor:
    """Return ``x`` [..., C, H, W] in channels-last order, on a CPU or a GPU.

    It is the fastest for convolutions and kernels, and every layer keeps it. Without
    kernels (float64, other devices) ``x`` is returned unchanged.
    """
    if not (has_cpu_kernels(x) or takes("cupy", x)):
        return x
    frames = x.flatten(0, -4) if x.dim() > 4 else x
    frames = frames.contiguous(memory_format=torch.channels_last)
    return frames.unflatten(0, x.shape[:-3]) if x.dim() > 4 else frames
