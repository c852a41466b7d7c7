"""Norms and neurons inside stock necks and heads, which know nothing of time steps.

A stock module runs on maps ``[T N, C, H, W]``, the time axis folded into the batch.
:func:`insert_neurons` puts a norm and a neuron behind its layers, in place of their
activations; only the neurons unfold the time axis again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from mmcv.cnn import ConvModule, build_norm_layer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from snnssl_mm.models.batch_norm import normalize_and_fire
from snnssl_mm.models.layers import NeuronConfig, build_neuron

NORM = {"type": "BN"}
"""Norm in front of a neuron where the stock layer has none."""
LAYERS = (_ConvNd, nn.Linear)
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh),
)


class LevelNorms(nn.ModuleList):
    """A norm for each level of a pyramid, for a layer that all levels share.

    Attributes:
        level: Number of the level whose norm is in use.
    """

    level = 0

    @property
    def current(self) -> nn.Module:
        """The norm in use."""
        return self[self.level]


class NormNeuron(nn.Module):
    """Norm and neuron for maps with the time axis folded into the batch.

    Args:
        norm: Norm of ``[T N, C, H, W]``, or LevelNorms; None for none.
        neuron: Options of the neuron, a MixedLIF unless ``type`` says otherwise.

    Attributes:
        time_steps: T; the neck or head sets it before it runs its layers.

    Shape:
        - Input: ``[T N, C, H, W]`` or ``[T N, C]``.
        - Output: spikes of the same shape.
    """

    time_steps = 1

    def __init__(self, norm: nn.Module | None, neuron: NeuronConfig) -> None:
        super().__init__()
        self.norm = norm
        self.neuron = build_neuron(neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and fire."""
        maps = x if x.dim() == 4 else x[..., None, None]
        steps = maps.unflatten(0, (self.time_steps, len(x) // self.time_steps))
        norm = self.norm.current if isinstance(self.norm, LevelNorms) else self.norm
        if norm is None:
            spikes = self.neuron(steps)
        else:
            spikes = normalize_and_fire(norm, self.neuron, steps, self.time_steps)
        frames = spikes.flatten(0, 1)
        return frames if x.dim() == 4 else frames.flatten(1)


class Places(NamedTuple):
    """Where :func:`insert_neurons` puts neurons besides those in ConvModules.

    Attributes:
        after: Patterns of names of layers whose output the stock ``forward`` passes
            through a ReLU, which does not change spikes.
        before: Patterns of names of layers whose input is a mean of spikes, such as a
            bilinear interpolation.
        everywhere: Whether all layers fire, also those without activation: a neck,
            whose outputs are spikes.
    """

    after: Sequence[str] = ()
    before: Sequence[str] = ()
    everywhere: bool = False


def insert_neurons(
    module: nn.Module,
    neuron: NeuronConfig,
    norm: Mapping[str, Any] | None,
    places: Places,
    levels: int = 1,
) -> None:
    """Put neurons into a stock neck or head.

    Every ConvModule with an activation gets a neuron in its place. A norm that a layer
    has stays in front of the neuron; where there is none, ``norm`` is built and the
    layer's bias is dropped. Bilinear upsampling layers become nearest, so that spikes
    stay spikes.

    Args:
        module: The stock module, changed in place.
        neuron: Options of the neurons.
        norm: Config of the norm for layers without one; None for none.
        places: Where else neurons are put.
        levels: Number of levels that share the layers; each gets a ``norm`` of its own.

    Raises:
        ValueError: If no layer can have a neuron, or an activation remains.
    """
    kind = type(module).__name__
    insertion = _Insertion(neuron, norm, places, levels)
    insertion.into(module)
    if not any(isinstance(child, NormNeuron) for child in module.modules()):
        raise ValueError(
            f"{kind} has no place for a neuron, since it has no layer with weights; "
            "use it as it is, behind time_readout='mean'"
        )
    left = [
        f"{name} ({type(child).__name__})"
        for name, child in module.named_modules()
        if isinstance(child, (*ACTIVATIONS, nn.MultiheadAttention))
        and type(child) is not nn.ReLU
    ]
    if left:
        raise ValueError(
            f"{kind} cannot become spiking, since neurons do not replace "
            f"{', '.join(left)}; use it as it is, behind time_readout='mean'"
        )


class _Insertion:
    """The walk over a module by :func:`insert_neurons`."""

    def __init__(
        self,
        neuron: NeuronConfig,
        norm: Mapping[str, Any] | None,
        places: Places,
        levels: int,
    ) -> None:
        self.neuron, self.norm = neuron, norm
        self.places, self.levels = places, levels
        self.done: dict[nn.Module, nn.Module] = {}  # a module may have two parents

    def into(self, parent: nn.Module, prefix: str = "") -> None:
        """Replace the children of a module."""
        for name, child in list(parent._modules.items()):
            # Not the copy: a layer may have taken its norm and activation already.
            if child is None or parent._modules[name] is not child:
                continue
            path = f"{prefix}{name}"
            if child not in self.done:
                norm = None
                if isinstance(parent, nn.Sequential) and self.fires(child, path):
                    norm = take_followers(parent, name)
                self.done[child] = self.replacement(child, path, norm)
            parent._modules[name] = self.done[child]

    def fires(self, layer: nn.Module, path: str) -> bool:
        """Whether a layer gets a neuron behind it."""
        if isinstance(layer, ConvModule):
            return layer.with_activation or self.places.everywhere
        chosen = self.places.everywhere or matches(path, self.places.after)
        return isinstance(layer, LAYERS) and chosen

    def replacement(self, child: Any, path: str, norm: nn.Module | None) -> nn.Module:
        """Return what replaces a child: itself, perhaps changed, or with neurons."""
        result = child
        if self.fires(child, path):
            if isinstance(child, ConvModule):
                self.fire_in_conv_module(child, path)
            else:
                fire = self.norm_neuron(child, norm)
                result = named_sequence(layer=child, fire=fire)
        elif hasattr(child, "mode") and hasattr(child, "align_corners"):
            child.mode, child.align_corners = "nearest", None
        elif not isinstance(child, (ConvModule, *LAYERS)):
            self.into(child, f"{path}.")
        if matches(path, self.places.before):
            fire = new_norm_neuron(
                self.neuron, self.norm, child.in_channels, self.levels
            )
            result = named_sequence(fire=fire, layer=result)
        return result

    def fire_in_conv_module(self, module: ConvModule, path: str) -> None:
        """Replace norm and activation of a ConvModule by a norm and a neuron."""
        if module.order != ("conv", "norm", "act"):
            raise ValueError(
                f"{path} is a ConvModule of order {module.order}, where a neuron has "
                "no place; expected ('conv', 'norm', 'act')"
            )
        norm = module._modules.pop(module.norm_name) if module.with_norm else None
        module.activate = self.norm_neuron(module.conv, norm)
        module.norm_name, module.with_norm, module.norm_cfg = None, False, None
        module.with_activation, module.act_cfg = True, {"type": "MixedLIF"}
        module.with_bias = module.conv.bias is not None

    def norm_neuron(self, layer: Any, norm: nn.Module | None) -> NormNeuron:
        """Build the neuron behind a layer, and its norm unless the layer has one."""
        if norm is not None:
            return NormNeuron(norm, self.neuron)
        if self.norm is not None:
            layer.bias = None
        linear = isinstance(layer, nn.Linear)
        channels = layer.out_features if linear else layer.out_channels
        return new_norm_neuron(self.neuron, self.norm, channels, self.levels)


def new_norm_neuron(
    neuron: NeuronConfig,
    norm: Mapping[str, Any] | None,
    channels: int,
    levels: int = 1,
) -> NormNeuron:
    """Build norms, unless their config is None, and a neuron."""
    if norm is None:
        return NormNeuron(None, neuron)
    norms = [build_norm_layer(dict(norm), channels)[1] for _ in range(levels)]
    return NormNeuron(norms[0] if levels == 1 else LevelNorms(norms), neuron)


def take_followers(sequence: nn.Sequential, name: str) -> nn.Module | None:
    """Take norm and activation after a layer out of its sequence; return the norm."""
    names = list(sequence._modules)
    norm = None
    for kinds in (NORMS, ACTIVATIONS):
        follower = names[names.index(name) + 1 :][:1]
        if follower and isinstance(sequence._modules[follower[0]], kinds):
            (name,) = follower
            norm = sequence._modules[name] if kinds is NORMS else norm
            sequence._modules[name] = nn.Identity()
    return norm


def named_sequence(**modules: nn.Module) -> nn.Sequential:
    """Build a sequence whose modules have names."""
    sequence = nn.Sequential()
    for name, module in modules.items():
        sequence.add_module(name, module)
    return sequence


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a module's name matches one of the patterns."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)
