"""Learning rates fall towards the input, in models of all three libraries."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from torch import nn

from snnssl_mm.models import Spikformer

RATE, LR = 0.5, 0.1


class Model(nn.Module):
    """Structure of a detector: a backbone and further layers."""

    def __init__(self, **options):
        super().__init__()
        arch = dict(embed_dims=16, depth=2, num_heads=2)
        self.backbone = Spikformer(arch, **options)
        self.head = nn.Linear(16, 2)
        self.same_head = self.head


def groups(model, optimizer=None, **paramwise):
    cfg = dict(
        constructor="snnssl_mm.LayerDecayOptimWrapperConstructor",
        optimizer=optimizer or dict(type="SGD", lr=LR, weight_decay=0.05),
        paramwise_cfg=dict(layer_decay_rate=RATE, **paramwise),
    )
    return build_optim_wrapper(model, cfg).optimizer.param_groups


def rates(model, **paramwise):
    """Return learning rates by the first part of the parameters' names."""
    names = {id(p): name for name, p in model.named_parameters()}
    found = {}
    for group in groups(model, **paramwise):
        for parameter in group["params"]:
            name = names.pop(id(parameter))  # exactly once
            part = name.split(".")
            key = part[0] if part[0] != "backbone" else part[1]
            found.setdefault(
                f"blocks.{part[2]}" if key == "blocks" else key, set()
            ).add(group["lr"])
    return found, names


def test_rates_fall_towards_the_input():
    found, untouched = rates(Model())
    expected = {"stem": LR / 8, "blocks.0": LR / 4, "blocks.1": LR / 2, "head": LR}
    assert {key: list(values) for key, values in found.items()} == {
        key: [pytest.approx(value)] for key, value in expected.items()
    }
    assert not untouched


def test_frozen_parameters_are_left_out():
    found, untouched = rates(Model(frozen_stages=1))
    assert found.keys() == {"blocks.1", "head"}
    assert all(name.startswith("backbone.") for name in untouched.values())


@pytest.mark.parametrize("kind", ["classifier_cfg", "detector_cfg", "segmentor_cfg"])
def test_models_of_the_three_libraries(kind, request):
    model = MODELS.build(request.getfixturevalue(kind)())
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    listed = []
    names = {id(p): name for name, p in model.named_parameters()}
    for group in groups(model):
        (parameter,) = group["params"]
        listed.append(id(parameter))
        name = names[id(parameter)]
        depth = 2
        if name.startswith("backbone."):
            depth = 0 if name.startswith("backbone.stem.") else 1
        assert group["lr"] == pytest.approx(LR * RATE ** (2 - depth)), name
    assert sorted(listed) == sorted(trainable)


def test_norms_may_have_no_weight_decay():
    model = Model()
    norms = {id(m.weight) for m in model.modules() if isinstance(m, nn.BatchNorm2d)}
    for group in groups(model, norm_decay_mult=0.0):
        if id(group["params"][0]) in norms:
            assert group["weight_decay"] == 0
    assert norms


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match="get_layer_depth.*Linear"):
        groups(nn.Linear(2, 2))
    other = Model()
    other.backbone = torch.nn.Conv2d(3, 3, 1)
    with pytest.raises(ValueError, match="get_layer_depth.*Model.*Conv2d"):
        groups(other)
    with pytest.raises(ValueError, match="weight_decay"):
        groups(Model(), dict(type="SGD", lr=LR))
    with pytest.raises(ValueError, match="'head'.*lr_mult.*decay_mult"):
        groups(Model(), custom_keys={"head": dict(lr_mult=2.0)})
