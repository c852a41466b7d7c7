"""Spiking ResNets with MixedLIF neurons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

from torch import Tensor, nn

from snnssl_mm.models.backbone import SpikingBackbone
from snnssl_mm.models.batch_norm import build_batch_norm, normalize, normalize_and_fire
from snnssl_mm.models.layers import (
    NeuronConfig,
    build_neuron,
    convolve,
    normalize_fire_and_halve,
)
from snnssl_mm.models.residual import (
    MERGES,
    CurrentBlock,
    MembraneBlock,
    ResidualBlock,
    SEWBlock,
)
from snnssl_mm.registry import MODELS

DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}
BOTTLENECKED = 50  # from this depth on
BLOCKS: dict[str, Callable[..., ResidualBlock]] = {
    "sew": SEWBlock,
    "spiking": CurrentBlock,
    "ms": MembraneBlock,
}
STEMS = {"imagenet": (7, 2), "cifar": (3, 1)}  # kernel and stride


@MODELS.register_module()
class SpikingResNet(SpikingBackbone):
    """ResNet backbone of spiking neurons: stateless, T steps inside, plain maps out.

    He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv
    1512.03385, with the stride of a bottleneck at its 3x3 convolution; shortcuts as in
    :mod:`snnssl_mm.models.residual`. Parameters have torchvision's names.

    Args:
        depth: 18 or 34 (two convolutions of 3x3 a block), 50 or 101 (bottlenecks).
        shortcut: ``'sew'`` (added to spikes), ``'spiking'`` (added to the last
            neuron's current) or ``'ms'`` (neurons first, the shortcut carries
            currents; each returned map then passes one more neuron).
        stem: ``'imagenet'``: 7x7 convolution with stride 2, neuron, max-pooling; with
            ``'ms'`` no pooling, the first stage has stride 2 instead. ``'cifar'``: 3x3
            with stride 1, no pooling. The convolution of a still image is computed
            once, not T times.
        base_channels: Channels of the stem and the first stage; each further stage
            has twice as many, bottlenecks four times as many at their ends.
        num_stages: Number of stages to build, 1 to 4.
        strides: Strides of the four stages, built or not; with the default, small
            images end in small maps.
        merge: How ``'sew'`` joins branch and shortcut: ``'add'``, ``'and'``,
            ``'iand'``.
        time_steps: T, number of time steps for which a still image is shown.
        out_indices: Stages whose maps are returned. By default their strides are 4, 8,
            16, 32 with the ImageNet stem and 1, 2, 4, 8 with the CIFAR stem.
        time_readout: ``'mean'`` over time, or ``'none'`` to keep the time axis.
        neuron: Options of every MixedLIF.
        bn: ``'joint'`` batch statistics of both views in pretraining, or
            ``'per_view'``: each its own.
        in_channels: Channels of an image: 3 for colours, 2 for events.
        frozen_stages: -1 for none, 0 for the stem, k for the stem and the first k
            stages: no gradient, and eval mode whatever the model's mode.
        norm_eval: Whether batch norms stay in eval mode while training.
        with_cp: Whether each block stores its input only and recomputes the rest in the
            backward pass: less memory, more time.
        init_cfg: Initialisation, see mmengine. Without: convolutions normal with
            variance 2 / fan-out (He et al., arXiv 1502.01852).

    Shape:
        - Input: ``[N, C, H, W]`` (still images) or ``[T, N, C, H, W]``; H and W are
          multiples of the last stage's stride.
        - Output: tuple of ``[N, C, H', W']``, or ``[T, N, C, H', W']``.

    Example:
        >>> backbone = SpikingResNet(18, stem="cifar")
        >>> backbone(torch.rand(2, 3, 32, 32))[0].shape
        torch.Size([2, 512, 4, 4])
    """

    def __init__(
        self,
        depth: int = 34,
        shortcut: str = "sew",
        stem: str = "imagenet",
        base_channels: int = 64,
        num_stages: int = 4,
        strides: Sequence[int] = (1, 2, 2, 2),
        merge: str = "add",
        time_steps: int = 4,
        out_indices: Sequence[int] | None = None,
        time_readout: str = "mean",
        neuron: NeuronConfig | None = None,
        bn: str = "joint",
        in_channels: int = 3,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: Any = None,
    ) -> None:
        if not 1 <= num_stages <= 4:
            raise ValueError(f"num_stages must be 1 to 4, got {num_stages}")
        if len(strides) != 4 or min(strides) < 1:
            raise ValueError(
                f"strides must be 4 positive numbers, one a stage, got {strides}"
            )
        super().__init__(
            time_steps,
            (num_stages - 1,) if out_indices is None else out_indices,
            time_readout,
            norm_eval,
            with_cp,
            init_cfg,
            num_stages,
            in_channels,
        )
        for name, value, known in (
            ("depth", depth, DEPTHS),
            ("shortcut", shortcut, BLOCKS),
            ("stem", stem, STEMS),
            ("merge", merge, MERGES),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {list(known)}, got {value!r}")
        if merge != "add" and shortcut != "sew":
            raise ValueError(f"merge={merge!r} is for shortcut='sew', not {shortcut!r}")
        neuron = dict(neuron or {})
        kernel, stride = STEMS[stem]
        self.conv1 = nn.Conv2d(
            in_channels, base_channels, kernel, stride, kernel // 2, bias=False
        )
        self.bn1 = build_batch_norm(bn, base_channels)
        self.neuron1 = None if shortcut == "ms" else build_neuron(neuron)
        self.pooled = stem == "imagenet" and shortcut != "ms"
        steps = list(strides[:num_stages])
        if stem == "imagenet" and shortcut == "ms":
            steps[0] *= 2
        options = {"merge": merge} if shortcut == "sew" else {}
        expansion = 4 if depth >= BOTTLENECKED else 1
        build_block = partial(
            BLOCKS[shortcut],
            bottleneck=expansion == 4,
            neuron=neuron,
            bn=bn,
            **options,
        )
        inner = [base_channels * 2**index for index in range(num_stages)]
        self.channels = tuple(expansion * width for width in inner)
        entries = (base_channels, *self.channels)
        for index, blocks in enumerate(DEPTHS[depth][:num_stages]):
            stage = nn.Sequential(
                build_block(entries[index], inner[index], steps[index]),
                *(
                    build_block(self.channels[index], inner[index], 1)
                    for _ in range(1, blocks)
                ),
            )
            self.add_module(f"layer{index + 1}", stage)
        if shortcut == "ms":
            self.out_neurons = nn.ModuleList(
                build_neuron(neuron) for _ in self.out_indices
            )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        self.depth = depth
        self.shortcut = shortcut
        self.stride = stride * (2 if self.pooled else 1) * prod(steps)
        # Without T, which may change; the stem's pooling follows from its kernel.
        self.structure = {
            "shortcut": shortcut,
            "merge": merge,
            "strides": tuple(strides),
            "neuron": getattr(build_neuron(neuron), "config", neuron),
        }
        stages = ((f"layer{index + 1}",) for index in range(num_stages))
        self.layer_names = (("conv1", "bn1"), *stages)
        self.freeze(frozen_stages)

    def extract_maps(self, x: Tensor) -> list[Tensor]:
        """Compute the maps of all stages; the returned ones are spikes."""
        still = x.dim() == 4
        frames = x.unsqueeze(0) if still else x
        steps = self.time_steps if still else len(x)
        current = convolve(self.conv1, frames)
        if self.neuron1 is None:
            x = normalize(self.bn1, current)
        else:
            fire = normalize_fire_and_halve if self.pooled else normalize_and_fire
            x = fire(self.bn1, self.neuron1, current, steps)
        maps = []
        for names in self.layer_names[1:]:
            for block in self.get_submodule(names[0]):
                x = self.run(block, x, steps)
            maps.append(x)
        if self.shortcut == "ms":
            for index, neuron in zip(self.out_indices, self.out_neurons, strict=True):
                maps[index] = neuron(maps[index])
        return maps
