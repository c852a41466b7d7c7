"""The time axis of maps: folded into the batch for stock modules, averaged behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from snnssl_mm.models.dense_prediction.firing import NormNeuron


def fold_time(owner: nn.Module, maps: Sequence[Tensor]) -> tuple[list[Tensor], int]:
    """Fold the time axis of maps, and tell the neurons of a module how long it is.

    Args:
        owner: The neck or head, whose neurons get T.
        maps: Maps ``[T, N, C, H, W]``.

    Returns:
        The maps ``[T N, C, H, W]``, and T.

    Raises:
        ValueError: If the maps have no time axis, or different numbers of time steps.
    """
    require_time(owner, maps)
    steps = {len(x) for x in maps}
    if len(steps) != 1:
        raise ValueError(
            f"{type(owner).__name__} expects maps of one number of time steps, got "
            f"{sorted(steps)}"
        )
    (time_steps,) = steps
    set_time_steps(owner, time_steps)
    return [x.flatten(0, 1) for x in maps], time_steps


def require_time(owner: nn.Module, maps: Sequence[Tensor]) -> None:
    """Require maps ``[T, N, C, H, W]``.

    Raises:
        ValueError: If they have no time axis; names the option that keeps it.
    """
    if isinstance(maps, Tensor) or any(x.dim() != 5 for x in maps):
        first = maps if isinstance(maps, Tensor) else maps[0]
        raise ValueError(
            f"{type(owner).__name__} expects maps [T, N, C, H, W], got "
            f"{tuple(first.shape)}; set time_readout='none' in the backbone, and in "
            "the SpikingNeck if there is one"
        )


def samples_first(owner: nn.Module, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return maps ``[T, N, C, H, W]`` as views ``[N, T, C, H, W]``."""
    require_time(owner, maps)
    return tuple(x.transpose(0, 1) for x in maps)


def set_time_steps(owner: nn.Module, time_steps: int) -> None:
    """Tell the neurons of a module how many time steps are folded into the batch."""
    for module in owner.modules():
        if isinstance(module, NormNeuron):
            module.time_steps = time_steps


def mean_over_time(output: Any, time_steps: int) -> Any:
    """Average tensors ``[T N, ...]`` over time, in lists and tuples of any depth."""
    if isinstance(output, Tensor):
        samples = len(output) // time_steps
        return output.unflatten(0, (time_steps, samples)).mean(0)
    if isinstance(output, (list, tuple)):
        return type(output)(mean_over_time(one, time_steps) for one in output)
    return output
