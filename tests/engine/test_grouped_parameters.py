"""Parameters of equal options share a group; weights and resumed runs are the same."""

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from snnssl_mm.checkpoints.optimizer_groups import regroup
from snnssl_mm.models import Spikformer

PARAMWISE = dict(bias_decay_mult=0.0, custom_keys={".bn": dict(decay_mult=0.0)})
OPTIMIZER = dict(type="AdamW", lr=0.01, weight_decay=0.05)
SINGLE = "DefaultOptimWrapperConstructor"
GROUPED = "snnssl_mm.GroupedOptimWrapperConstructor"


def build(constructor):
    torch.manual_seed(0)
    model = nn.Sequential(Spikformer(dict(embed_dims=16, depth=1, num_heads=2)))
    cfg = dict(constructor=constructor, optimizer=OPTIMIZER, paramwise_cfg=PARAMWISE)
    return model, build_optim_wrapper(model, cfg).optimizer


def train(model, optimizer, steps=2):
    generator = torch.manual_seed(1)
    for _ in range(steps):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


def same_weights(a, b):
    return all(map(torch.equal, a.parameters(), b.parameters()))


def options(group):
    return {key: value for key, value in group.items() if key != "params"}


def test_groups_have_different_options_and_all_parameters():
    model, optimizer = build(GROUPED)
    groups = optimizer.param_groups
    found = [id(p) for group in groups for p in group["params"]]
    assert sorted(found) == sorted(map(id, model.parameters()))
    assert all(
        options(a) != options(b) for i, a in enumerate(groups) for b in groups[:i]
    )
    expected = {
        id(group["params"][0]): group["weight_decay"]
        for group in build_optim_wrapper(
            model, dict(optimizer=OPTIMIZER, paramwise_cfg=PARAMWISE)
        ).optimizer.param_groups
    }
    assert expected == {
        id(p): group["weight_decay"] for group in groups for p in group["params"]
    }


def test_weights_are_those_of_a_group_for_each_parameter():
    (ours, grouped), (theirs, single) = map(build, (GROUPED, SINGLE))
    assert len(grouped.param_groups) < len(single.param_groups) / 9
    train(ours, grouped)
    train(theirs, single)
    assert same_weights(ours, theirs)


def test_a_state_of_single_groups_continues_to_the_bit():
    model, single = build(SINGLE)
    train(model, single)
    state = copy.deepcopy(single.state_dict())
    other, grouped = build(GROUPED)
    other.load_state_dict(model.state_dict())
    with pytest.raises(ValueError, match="parameter group"):
        grouped.load_state_dict(state)
    regroup(state, grouped, other)
    grouped.load_state_dict(state)
    train(model, single)
    train(other, grouped)
    assert same_weights(model, other)


def test_states_of_the_same_groups_or_another_model_are_left_alone():
    model, grouped = build(GROUPED)
    for state in (grouped.state_dict(), dict(param_groups=[dict(params=[0])] * 9)):
        groups = state["param_groups"]
        regroup(state, grouped, model)
        assert state["param_groups"] is groups
