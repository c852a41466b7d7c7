"""Freezing, BatchNorm in eval mode, checkpointing and layer depth."""

import copy

import pytest
import torch
from torch import nn

from snnssl_mm.models import Spikformer
from snnssl_mm.models.batch_norm import set_views
from snnssl_mm.neurons import set_path

TINY = dict(embed_dims=16, depth=2, num_heads=2)
NORM_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def tiny(**options):
    torch.manual_seed(0)
    options = {"stem": "cifar", "time_steps": 3, "out_indices": (0, 2, 3), **options}
    neuron = dict(v_threshold=0.3, surrogate=dict(type="rectangle", width=2.0))
    return Spikformer(TINY, neuron=neuron, **options)


def step(model, x, path="spike", autocast=False):
    """One forward and backward pass in training mode: outputs and gradients."""
    set_path(model.train(), path)
    set_views(model, 2 if path == "dual" else 1)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        maps = model(x)
    sum(m.float().square().sum() for m in maps).backward()
    return maps, {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("path", ["spike", "dual"])
@pytest.mark.parametrize("bn", ["joint", "per_view"])
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_checkpointing_changes_nothing(path, bn, clip, autocast):
    plain = tiny(bn=bn)
    checkpointed = tiny(bn=bn, with_cp=True)
    x = torch.rand(*([3] if clip else []), 2, 3, 16, 16)
    for _ in range(2):
        expected, gradients = step(plain, x, path, autocast)
        outputs, found = step(checkpointed, x, path, autocast)
        assert all(torch.equal(a, b) for a, b in zip(outputs, expected, strict=True))
        for name, gradient in gradients.items():
            torch.testing.assert_close(found[name], gradient, rtol=0, atol=0)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(checkpointed.state_dict()[name], tensor), name
    assert checkpointed.stem.position.bn.num_batches_tracked == 2


def test_frames_are_folded_only_as_the_options_say():
    clip = torch.rand(2, 6, 16, 16)
    with pytest.raises(ValueError, match="3 x 3"):
        tiny()(clip)  # T C is 9
    with pytest.raises(ValueError, match="colours"):
        tiny(in_channels=1)(torch.rand(2, 3, 16, 16))
    with torch.no_grad():
        still = tiny(in_channels=6, time_steps=1).eval()
        once = torch.stack([clip])
        pairs = zip(still(clip), still(once), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_checkpointing_keeps_the_buffers_that_others_hold():
    """Their identity too: DDP and the EMA hook keep references."""
    model = tiny(with_cp=True)
    before = {name: buffer.data_ptr() for name, buffer in model.named_buffers()}
    step(model, torch.rand(2, 3, 16, 16))
    assert before == {n: buffer.data_ptr() for n, buffer in model.named_buffers()}


def test_a_compiled_backbone_checkpoints_too():
    model = tiny(with_cp=True)
    assert model.with_cp
    compiled = torch.compile(copy.deepcopy(model), backend="aot_eager")
    x = torch.rand(2, 3, 16, 16)
    expected, gradients = step(model, x)
    outputs, found = step(compiled, x)
    assert all(torch.equal(a, b) for a, b in zip(outputs, expected, strict=True))
    for name, gradient in gradients.items():
        assert torch.equal(found[f"_orig_mod.{name}"], gradient), name
    for a, b in zip(model.buffers(), compiled.buffers(), strict=True):
        assert torch.equal(a, b)


def test_checkpointing_stores_less():
    def stored(with_cp):
        saved = {}

        def pack(tensor):
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        model = tiny(with_cp=with_cp).train()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            maps = model(torch.rand(2, 3, 16, 16))
        weights = {p.data_ptr() for p in [*model.parameters(), *model.buffers()]}
        del maps
        return sum(size for at, size in saved.items() if at not in weights)

    assert stored(True) < 0.5 * stored(False)


@pytest.mark.parametrize("with_cp", [False, True])
@pytest.mark.parametrize("frozen_stages", [-1, 0, 1, 2])
def test_frozen_layers_stay_to_the_bit_and_the_rest_moves(frozen_stages, with_cp):
    model = tiny(frozen_stages=frozen_stages, with_cp=with_cp)
    frozen_names = ("stem.", "blocks.0.", "blocks.1.")[: frozen_stages + 1]
    before = copy.deepcopy(model.state_dict())
    if frozen_stages < 2:
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(parameters, lr=0.1, weight_decay=0.1)
        step(model, torch.rand(2, 3, 16, 16))
        optimizer.step()
    else:
        model.train()(torch.rand(2, 3, 16, 16))
    for name, tensor in model.state_dict().items():
        moved = not torch.equal(tensor, before[name])
        if name.startswith(frozen_names):
            assert not moved, name
        elif name.endswith((".weight", *NORM_BUFFERS)):
            assert moved, name
    for name, parameter in model.named_parameters():
        frozen = bool(frozen_names) and name.startswith(frozen_names)
        assert parameter.requires_grad != frozen


def test_frozen_layers_stay_in_eval_mode():
    model = tiny(frozen_stages=1)
    parent = nn.Sequential(model)
    for mode in (True, False, True):
        assert parent.train(mode) is parent
        assert not any(m.training for m in model.stem.modules())
        assert not any(m.training for m in model.blocks[0].modules())
        assert all(m.training == mode for m in model.blocks[1].modules())
    assert model.train() is model
    assert model.eval() is model


@pytest.mark.parametrize("bn", ["joint", "per_view"])
def test_norm_eval_keeps_statistics_and_trains_weights(bn):
    model = tiny(norm_eval=True, bn=bn)
    before = copy.deepcopy(model.state_dict())
    _, gradients = step(model, torch.rand(2, 3, 16, 16))
    assert all(gradient is not None for gradient in gradients.values())
    assert model.training
    for name, tensor in model.state_dict().items():
        if name.endswith(NORM_BUFFERS):
            assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("frozen_stages", [-2, 3])
def test_frozen_stages_out_of_range(frozen_stages):
    with pytest.raises(ValueError, match=f"2.*{frozen_stages}$"):
        tiny(frozen_stages=frozen_stages)


def test_layer_depth_has_mmpretrains_convention():
    model = tiny()
    for name, _ in model.named_parameters():
        depth = 0 if name.startswith("stem.") else int(name.split(".")[1]) + 1
        assert model.get_layer_depth(name) == (depth, 4)
        assert model.get_layer_depth(f"backbone.{name}", "backbone.") == (depth, 4)
    assert model.get_layer_depth("head.fc.weight", "backbone.") == (3, 4)
