"""State of an optimizer that was stored with other parameter groups."""

from __future__ import annotations

from typing import Any

from torch import nn


def regroup(state: dict[str, Any], optimizer: Any, model: nn.Module) -> None:
    """Bring an optimizer's stored state into the groups of ``optimizer``.

    Earlier versions stored a group for each parameter, in the order of the model's. The
    state is changed in place; one with as many groups as the optimizer, or with another
    number of parameters, is left alone.

    Args:
        state: ``optimizer.state_dict()`` of another run of the same model.
        optimizer: Optimizer that is to load it.
        model: The model.
    """
    stored, groups = state["param_groups"], optimizer.param_groups
    numbers = [number for group in stored for number in group["params"]]
    order = {id(p): index for index, p in enumerate(model.parameters())}
    parameters = [p for group in groups for p in group["params"]]
    if len(stored) == len(groups) or len(numbers) != len(parameters):
        return
    parameters.sort(key=lambda p: order[id(p)])
    number_of = dict(zip(map(id, parameters), numbers, strict=True))
    settings = {number: group for group in stored for number in group["params"]}
    state["param_groups"] = [
        {
            **settings[number_of[id(group["params"][0])]],
            "params": [number_of[id(p)] for p in group["params"]],
        }
        for group in groups
    ]
