"""Parameters in few groups: one for each set of options, not one for each parameter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from snnssl_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with parameters of equal options in one group.

    mmengine makes a group for each parameter, and an optimizer updates group by group:
    some hundred kernels a step instead of a few. The weights are the same to the bit.
    In a config::

        optim_wrapper = dict(
            constructor='snnssl_mm.GroupedOptimWrapperConstructor',
            paramwise_cfg=dict(bias_decay_mult=0.),
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05))
    """

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = "",
        is_dcn_module: Any = None,
    ) -> None:
        """Add the groups of ``module`` to ``params``; a teacher has none."""
        if prefix == "teacher":  # mmengine would warn of each frozen parameter
            return
        super().add_params(params, module, prefix, is_dcn_module)
        if not prefix:  # the model itself
            params[:] = merged_groups(params)


def merged_groups(groups: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Merge groups of equal options, in the order of their first parameters."""
    merged: list[dict[str, Any]] = []
    for group in groups:
        options = {key: value for key, value in group.items() if key != "params"}
        for found in merged:
            if {k: v for k, v in found.items() if k != "params"} == options:
                found["params"] += group["params"]
                break
        else:
            merged.append({**options, "params": list(group["params"])})
    return merged
