"""A stock neck whose layers fire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from snnssl_mm.models.dense_prediction.firing import NORM, Places
from snnssl_mm.models.dense_prediction.spiking_module import SpikingModule
from snnssl_mm.models.dense_prediction.time_axis import fold_time, mean_over_time
from snnssl_mm.models.layers import NeuronConfig
from snnssl_mm.registry import MODELS


@MODELS.register_module()
class SpikingNeck(SpikingModule):
    """A stock neck on spikes: every layer gets a norm and a neuron behind it.

    Works for necks of convolutions: FPN, PAFPN, ChannelMapper of mmdet, FPN and
    Feature2Pyramid of mmseg, SimpleFeaturePyramid. The lateral convolutions of an FPN
    emit spikes, and its top-down sums are integers.

    Args:
        neck: Config of the stock neck, with its ``norm_cfg`` if it should have its own.
        neuron: Options of the neurons, MixedLIF by default.
        norm: Config of the norm in front of a neuron where the stock layer has none;
            None for none. Batch norm by default.
        time_readout: ``'mean'`` over time for ordinary heads, or ``'none'`` for spiking
            ones.
        norm_eval: Whether norms keep the statistics of a checkpoint while training.
        with_cp: Whether activations are recomputed in the backward pass instead of
            being stored (gradient checkpointing).
        init_cfg: Initialisation, see mmengine.

    Shape:
        - Input: maps ``[T, N, C, H, W]`` of a backbone with ``time_readout='none'``.
        - Output: the stock neck's maps, ``[N, C, H, W]``, or ``[T, N, C, H, W]`` of
          spikes for ``time_readout='none'``.

    Raises:
        ValueError: If the neck has no place for a neuron.

    Example:
        >>> neck = SpikingNeck(
        ...     dict(type="mmdet.FPN", in_channels=[8, 16], out_channels=4, num_outs=3)
        ... )
        >>> maps = [torch.ones(4, 1, 8, 8, 8), torch.ones(4, 1, 16, 4, 4)]
        >>> [tuple(m.shape) for m in neck(maps)]
        [(1, 4, 8, 8), (1, 4, 4, 4), (1, 4, 2, 2)]
    """

    def __init__(
        self,
        neck: Mapping[str, Any],
        neuron: NeuronConfig | None = None,
        norm: Mapping[str, Any] | None = NORM,
        time_readout: str = "mean",
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        if time_readout not in ("mean", "none"):
            raise ValueError(
                f"time_readout must be 'mean' or 'none', got {time_readout!r}"
            )
        self.neck = MODELS.build(dict(neck))
        self.time_readout = time_readout
        places = Places(everywhere=True)
        self.make_spiking(self.neck, neuron, norm, norm_eval, with_cp, places)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Compute the maps of the stock neck."""
        folded, time_steps = fold_time(self, maps)
        outputs = self.run(self.neck, folded)
        if self.time_readout == "mean":
            return tuple(mean_over_time(y, time_steps) for y in outputs)
        return tuple(
            y.unflatten(0, (time_steps, len(y) // time_steps)) for y in outputs
        )
