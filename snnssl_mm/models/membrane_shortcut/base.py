"""Base class of backbones whose residual stream is a current."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from snnssl_mm.models.backbone import SpikingBackbone, run_plainly
from snnssl_mm.models.layers import NeuronConfig, build_neuron, halve
from snnssl_mm.neurons.expansion import hold_mean

OUTPUTS = ("membrane", "spikes")
IDENTITY = "snnssl_mm.ZeroResidualInit"
"""Initialisation by default: every block begins as its shortcut."""
Run = Callable[..., Tensor]


def chosen_arch(
    arch: str | Mapping[str, Any],
    archs: Mapping[str, Mapping[str, Any]],
    defaults: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the sizes of a named ``arch``, or those given, with defaults.

    Args:
        arch: A name, or sizes by name.
        archs: Sizes of the published networks.
        defaults: Sizes that a dict may leave out.

    Raises:
        ValueError: If the name or a size is unknown, or a size is missing.
    """
    if isinstance(arch, str):
        if arch not in archs:
            raise ValueError(f"unknown arch {arch!r}; expected one of {sorted(archs)}")
        return {**defaults, **archs[arch]}
    known = {*defaults, *(name for sizes in archs.values() for name in sizes)}
    needed = known - set(defaults)
    if set(arch) - known or needed - set(arch):
        raise ValueError(
            f"arch needs {sorted(needed)} and may have {sorted(defaults)}, got "
            f"{sorted(arch)}"
        )
    return {**defaults, **arch}


def require_heads(dims: int, num_heads: int, multiple: int) -> None:
    """Require channels that the stages and the heads divide.

    Raises:
        ValueError: If they do not.
    """
    if num_heads < 1 or dims < 1 or dims % multiple or dims % num_heads:
        raise ValueError(
            f"the channels must be a multiple of {multiple} and of "
            f"num_heads={num_heads}, got {dims}"
        )


class MembraneBackbone(SpikingBackbone):
    """Base class of backbones whose residual stream is a current.

    A subclass computes its currents in :meth:`extract_currents`, and calls
    :meth:`finish` at the end of its constructor.

    Args:
        output: ``'membrane'``: maps are the currents that the network's own stages pass
            on; ``'spikes'``: each returned map passes one more neuron, as the next
            stage would begin.
        neuron: Options of every neuron.
        init_cfg: Initialisation, :data:`IDENTITY` by default.
        **options: See :class:`SpikingBackbone`.

    Attributes:
        spike_steps: Binary steps that stand for one integer, see
            :func:`snnssl_mm.neurons.expand_to_spikes`; each frame of a clip is shown
            for as many.
    """

    spike_steps = 1

    def __init__(
        self, output: str, neuron: NeuronConfig, init_cfg: Any, **options: Any
    ) -> None:
        init_cfg = dict(type=IDENTITY) if init_cfg is None else init_cfg
        super().__init__(init_cfg=init_cfg, **options)
        if output not in OUTPUTS:
            raise ValueError(f"output must be one of {OUTPUTS}, got {output!r}")
        self.output = output
        self.out_neurons = nn.ModuleList(
            build_neuron(neuron) for _ in self.out_indices if output == "spikes"
        )

    def finish(
        self,
        layer_names: Iterable[tuple[str, ...]],
        neuron: NeuronConfig,
        frozen_stages: int,
        **structure: Any,
    ) -> None:
        """Set what describes the network, and freeze its first layers.

        Args:
            layer_names: See :class:`SpikingBackbone`.
            neuron: Options of every neuron.
            frozen_stages: See :meth:`SpikingBackbone.freeze`.
            **structure: Settings that decide the function, in addition to the neuron.
        """
        config = getattr(build_neuron(neuron), "config", neuron)
        # Without T and output, which may change between pretraining and use.
        self.structure = {**structure, "neuron": config}
        self.layer_names = tuple(layer_names)
        self.freeze(frozen_stages)

    def extract_currents(self, frames: Tensor, steps: int) -> list[Tensor]:
        """Compute all maps.

        Args:
            frames: ``[T, N, C, H, W]``, or ``[1, N, C, H, W]`` for a still image, which
                is held for all steps.
            steps: T.
        """
        raise NotImplementedError

    def extract_maps(self, x: Tensor) -> Sequence[Tensor]:
        """Compute the maps; those that are returned are spikes, if ``output`` says so.

        Args:
            x: ``[N, C, H, W]``, shown ``time_steps`` times, or ``[T, N, C, H, W]``.
        """
        still = x.dim() == 4
        if not still and self.spike_steps > 1:
            x = x.repeat_interleave(self.spike_steps, dim=0)
        maps = self.extract_currents(
            x.unsqueeze(0) if still else x, self.time_steps if still else len(x)
        )
        fired = zip(self.out_indices, self.out_neurons, strict=False)
        for index, neuron in list(fired):
            maps[index] = neuron(maps[index])
        return maps

    def pooled(self, x: Tensor, index: int) -> Tensor:
        """Return ``x`` max-pooled if map ``index`` is returned, else ``x``."""
        if index not in self.out_indices:
            return x
        return halve(hold_mean(x, self.spike_steps))


def run_blocks(blocks: Any, x: Tensor, run: Run = run_plainly) -> Tensor:
    """Apply the modules of ``blocks`` one after another, each by ``run``."""
    for block in blocks:
        x = run(block, x)
    return x


def hold(current: Tensor, steps: int) -> Tensor:
    """Hold a current of one step [1, N, C, H, W] for ``steps`` steps."""
    return current.expand(steps, *current.shape[1:])
