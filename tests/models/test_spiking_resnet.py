"""The spiking ResNets: spikingjelly's own networks, torchvision's names, invariants."""

import pytest
import torch
import torchvision
from mmengine.config import Config
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.model import ms_resnet, sew_resnet, spiking_resnet

from snnssl_mm.models import SpikingResNet, load_backbone
from snnssl_mm.neurons import MixedLIF
from snnssl_mm.testing import randomize_norms

SHORTCUTS = ["sew", "spiking", "ms"]
LIF = dict(tau=1.5, v_threshold=0.4, v_reset=-0.1, decay_input=True, detach_reset=True)
RIVALS = {
    "sew": (sew_resnet, "sew_resnet", {"cnf": "ADD"}),
    "spiking": (spiking_resnet, "spiking_resnet", {}),
    "ms": (ms_resnet, "ms_resnet", {"T": 3}),
}
# Parameters in millions. sew and spiking: torchvision's ResNets without their heads;
# ms: spikingjelly's 21.802 M of ms_resnet34 is 21.289 M and a head of 513,000.
PARAMETERS = {
    (18, "sew"): 11.177,
    (34, "spiking"): 21.285,
    (34, "ms"): 21.289,
    (50, "sew"): 23.508,
    (101, "spiking"): 42.500,
}


def tiny(**options):
    """A narrow network whose neurons fire."""
    torch.manual_seed(0)
    options = {"depth": 18, "base_channels": 8, "stem": "cifar", **options}
    return randomize_norms(SpikingResNet(time_steps=3, **options)).eval()


@pytest.mark.parametrize(
    ("depth", "shortcut", "merge"),
    [
        (18, "sew", "add"),
        (34, "sew", "add"),
        (50, "sew", "add"),
        (18, "sew", "and"),
        (18, "sew", "iand"),
        (18, "spiking", "add"),
        (34, "spiking", "add"),
        (101, "spiking", "add"),
        (18, "ms", "add"),
        (34, "ms", "add"),
    ],
)
def test_equals_spikingjellys_network_to_the_last_spike(depth, shortcut, merge):
    """In float64, where no membrane comes within rounding of the threshold."""
    module, name, options = RIVALS[shortcut]
    options = options if merge == "add" else {"cnf": merge.upper()}
    build = getattr(module, f"{name}{depth}")
    theirs = build(spiking_neuron=neuron.LIFNode, **options, **LIF).double()
    functional.set_step_mode(theirs, "m")
    randomize_norms(theirs).eval()
    stem = {"stem.0": "conv1", "stem.1": "bn1"}
    state = {}
    for key, tensor in theirs.state_dict().items():
        if not key.startswith(("fc.", "head.")):
            prefix = ".".join(key.split(".")[:2])
            state[key.replace(prefix, stem.get(prefix, prefix))] = tensor
    ours = SpikingResNet(
        depth,
        shortcut,
        merge=merge,
        neuron=LIF,
        time_readout="none",
        out_indices=(3,) if shortcut == "ms" else (0, 1, 2, 3),
    )
    ours.double().eval().load_state_dict(state)
    expected = []
    watched = ["head_lif"] if shortcut == "ms" else [f"layer{i}" for i in (1, 2, 3, 4)]
    for layer in watched:
        theirs.get_submodule(layer).register_forward_hook(
            lambda m, i, out: expected.append(out)
        )
    image = torch.randn(1, 3, 64, 32, dtype=torch.float64)
    with torch.no_grad():
        theirs(image.expand(3, *image.shape))
        maps = ours(image.expand(3, *image.shape))
    for map_, other in zip(maps, expected, strict=True):
        assert torch.equal(map_, other)
        if merge != "and":
            assert 0.01 < map_.count_nonzero() / map_.numel() < 0.99
    assert maps[0].any()


@pytest.mark.parametrize(("which", "millions"), PARAMETERS.items())
def test_parameter_counts(which, millions):
    with torch.device("meta"):
        model = SpikingResNet(*which)
    total = sum(p.numel() for p in model.parameters())
    assert round(total / 1e6, 3) == millions


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
@pytest.mark.parametrize("shortcut", ["sew", "spiking"])
def test_names_and_shapes_are_torchvisions(depth, shortcut):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"resnet{depth}")().state_dict()
        ours = SpikingResNet(depth, shortcut).state_dict()
    shapes = {k: v.shape for k, v in theirs.items() if not k.startswith("fc.")}
    assert {k: v.shape for k, v in ours.items()} == shapes


@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize(
    ("stem", "strides"), [("imagenet", (4, 8, 16, 32)), ("cifar", (1, 2, 4, 8))]
)
def test_pyramid_strides_and_channels(depth, shortcut, stem, strides):
    model = tiny(depth=depth, shortcut=shortcut, stem=stem, out_indices=(0, 1, 2, 3))
    maps = model(torch.rand(1, 3, 32, 64))
    assert model.channels == tuple((8 if depth == 18 else 32) * 2**i for i in range(4))
    for out, stride, channels in zip(maps, strides, model.channels, strict=True):
        assert out.shape == (1, channels, 32 // stride, 64 // stride)


def test_strides_of_stages_are_a_choice():
    model = tiny(strides=(1, 2, 2, 1), out_indices=(1, 2, 3))
    assert model.stride == 4
    sides = [out.shape[-1] for out in model(torch.rand(1, 3, 16, 16))]
    assert sides == [8, 4, 4]
    whole = tiny()
    whole.load_state_dict(model.state_dict())
    assert whole.structure["strides"] != model.structure["strides"]
    with pytest.raises(ValueError, match=r"strides.*\(1, 2\)"):
        tiny(strides=(1, 2))


def test_fewer_stages_are_the_first_of_four(tmp_path):
    """As under a C4 head; also for the loader, which compares the settings."""
    whole, part = tiny(out_indices=(1,)), tiny(num_stages=2)
    settings = dict(depth=18, base_channels=8, stem="cifar", time_steps=3)
    model = dict(backbone=dict(type="snnssl_mm.SpikingResNet", **settings))
    meta = dict(cfg=Config(dict(model=model)).pretty_text)
    file = str(tmp_path / "four_stages.pth")
    torch.save(dict(state_dict=whole.state_dict(), meta=meta), file)
    load_backbone(part, file)
    image = torch.rand(2, 3, 16, 16)
    assert torch.equal(whole(image)[0], part(image)[0])
    assert part.stride == 2
    assert not any(name.startswith("layer3") for name in part.state_dict())


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_still_image_equals_a_constant_clip(shortcut):
    """The first convolution runs once for an image, at every step for a clip."""
    model, image, batches = tiny(shortcut=shortcut), torch.rand(2, 3, 16, 16), []
    model.conv1.register_forward_hook(lambda m, i, out: batches.append(len(out)))
    torch.testing.assert_close(model(image)[0], model(image.expand(3, *image.shape))[0])
    assert batches == [2, 6]


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_checkpointing_changes_memory_only(shortcut):
    plain, image = tiny(shortcut=shortcut).train(), torch.rand(2, 3, 16, 16)
    checkpointed = tiny(shortcut=shortcut, with_cp=True).train()
    for model in (plain, checkpointed):
        model(image)[0].square().sum().backward()
    for p, q in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)
    for a, b in zip(plain.buffers(), checkpointed.buffers(), strict=True):
        assert torch.equal(a, b)


def test_freezing_is_by_stage_and_includes_the_stem():
    model = tiny(frozen_stages=1).train()
    frozen = {
        n.split(".")[0] for n, p in model.named_parameters() if not p.requires_grad
    }
    assert frozen == {"conv1", "bn1", "layer1"}
    assert not model.bn1.training
    assert not model.layer1[0].bn1.training
    assert model.layer2[0].bn1.training
    assert model.get_layer_depth("backbone.bn1.bias", "backbone.") == (0, 6)
    assert model.get_layer_depth("layer3.1.conv2.weight") == (3, 6)
    assert model.get_layer_depth("head.fc.weight", "backbone.") == (5, 6)


def test_neuron_options_reach_every_neuron():
    for shortcut in SHORTCUTS:
        model = SpikingResNet(18, shortcut, base_channels=8, neuron=dict(tau=3.0))
        neurons = [m for m in model.modules() if isinstance(m, MixedLIF)]
        assert {m.config.tau for m in neurons} == {3.0}


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match=r"depth.*\[18, .*20"):
        SpikingResNet(20)
    with pytest.raises(ValueError, match="shortcut.*'res'"):
        SpikingResNet(18, "res")
    with pytest.raises(ValueError, match="stem.*'deep'"):
        SpikingResNet(18, stem="deep")
    with pytest.raises(ValueError, match="merge='and'.*shortcut='sew'"):
        SpikingResNet(18, "ms", merge="and")
    with pytest.raises(ValueError, match="num_stages.*5"):
        SpikingResNet(18, num_stages=5)
    with pytest.raises(ValueError, match=r"out_indices.*0\.\.2"):
        SpikingResNet(18, num_stages=3, out_indices=(3,))
    with pytest.raises(ValueError, match="time_steps.*0"):
        SpikingResNet(18, time_steps=0)
    with pytest.raises(ValueError, match="12x16.*pad_size_divisor=8"):
        tiny()(torch.rand(1, 3, 12, 16))
