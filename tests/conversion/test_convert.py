"""Converted networks compute what the source network does, to the last spike."""

import itertools
import re

import pytest
import torch
import torchvision
from mmengine.registry import MODELS
from source_networks import (
    MSResNet,
    OfficialSEW,
    OfficialSpikformer,
    OfficialSpiking,
)
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.model import (
    ms_resnet,
    sew_resnet,
    spikformer,
    spiking_resnet,
)
from torch import nn

from snnssl_mm import models
from snnssl_mm.conversion import LAYOUTS, convert, detect
from snnssl_mm.models import Spikformer, SpikingResNet
from snnssl_mm.testing import randomize_norms

DIMS, DEPTH, HEADS = 48, 2, 3
ARCH = dict(embed_dims=DIMS, depth=DEPTH, num_heads=HEADS)
IMAGE = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=torch.manual_seed(5))
STEPS = 3
ACTIVE = dict(weight=(1.0, 1.8), bias=(0.2, 1.2))


def sj_spikformer():
    """spikingjelly's own Spikformer up to its head."""
    net = spikformer.Spikformer(
        T=STEPS,
        img_size_h=32,
        img_size_w=32,
        patch_size=4,
        num_classes=2,
        embed_dims=DIMS,
        num_heads=HEADS,
        depths=DEPTH,
    )

    def features(x):
        functional.reset_net(net)
        x = net.patch_embed(x.repeat(STEPS, 1, 1, 1, 1))
        for block in net.blocks:
            x = block(x)
        return x

    return net, features


def sj_resnet(build, layer="layer4", **options):
    """One of spikingjelly's ResNets up to its last stage."""
    net = build(**options)
    functional.set_step_mode(net, "m")

    def features(x):
        functional.reset_net(net)
        kept = []
        module = net.get_submodule(layer)
        handle = module.register_forward_hook(lambda m, i, out: kept.append(out))
        net(x.repeat(STEPS, 1, 1, 1, 1))
        handle.remove()
        return kept[0]

    return net, features


def own_forward(net):
    return net, lambda x: net.features(x, STEPS)


def image_for(net):
    """Images of as many channels as the network takes."""
    return IMAGE[:, : getattr(net, "in_channels", 3)]


LIF = dict(spiking_neuron=neuron.LIFNode, tau=1.5, decay_input=False)
OUR_LIF = dict(neuron=dict(tau=1.5))
SOURCES = {
    "spikformer-imagenet": (
        lambda: own_forward(OfficialSpikformer("imagenet", DIMS, DEPTH, HEADS)),
        dict(arch=ARCH),
    ),
    "spikformer-cifar": (
        lambda: own_forward(OfficialSpikformer("cifar", DIMS, DEPTH, HEADS)),
        dict(arch=ARCH),
    ),
    "spikformer-dvs": (
        lambda: own_forward(OfficialSpikformer("dvs", DIMS, DEPTH, HEADS)),
        dict(arch=ARCH),
    ),
    "spikformer-spikingjelly": (sj_spikformer, dict(arch=ARCH, stem="cifar")),
    "sew-official": (lambda: own_forward(OfficialSEW()), {}),
    "spiking-official": (lambda: own_forward(OfficialSpiking()), {}),
    "ms-official": (lambda: own_forward(MSResNet()), {}),
    "ms-spikingjelly": (
        lambda: sj_resnet(ms_resnet.ms_resnet34, "head_lif", T=STEPS),
        {},
    ),
    "torchvision": (
        lambda: sj_resnet(sew_resnet.sew_resnet50, cnf="ADD", **LIF),
        dict(shortcut="sew", **OUR_LIF),
    ),
    "torchvision (spiking)": (
        lambda: sj_resnet(spiking_resnet.spiking_resnet34, **LIF),
        dict(shortcut="spiking", **OUR_LIF),
    ),
}
FAMILIES = {"Spikformer": Spikformer, "SpikingResNet": SpikingResNet}


def build_ours(conversion, options):
    """Our backbone with a conversion's settings and tensors."""
    settings = {**conversion.settings, **options}
    model = FAMILIES[conversion.family](
        time_steps=STEPS, time_readout="none", **settings
    )
    model.double().eval().load_state_dict(conversion.state)
    return model


@pytest.fixture(scope="module", params=SOURCES)
def source(request):
    """A network in its own layout: name, network, its features, our options."""
    make, options = SOURCES[request.param]
    torch.manual_seed(0)
    net, features = make()
    randomize_norms(net.double().eval(), **ACTIVE)
    with torch.no_grad():
        expected = features(image_for(net))
    assert 0.005 < expected.count_nonzero() / expected.numel() < 0.995
    return request.param.split(" ")[0], net, features, expected, options


def test_converted_network_equals_its_source_to_the_last_spike(source):
    name, net, _, expected, options = source
    state = {f"module.{k}": v for k, v in net.state_dict().items()}
    assert detect(state)[:3:2] == (name, "module.")
    conversion = convert(state)
    assert conversion.unknown == []
    with torch.no_grad():
        found = build_ours(conversion, options)(image_for(net))[0]
    assert torch.equal(found, expected)


def test_the_way_back_gives_the_source_network_again(source):
    """A network of theirs, filled with what came back, computes the same."""
    name, net, features, expected, options = source
    there = convert(net.state_dict())
    ours = build_ours(there, options).state_dict()
    back = convert(ours, target=name)
    original = net.state_dict()
    lost = set(original) - set(back.state)
    assert lost == {*there.heads, *there.unused}
    assert set(back.state) <= set(original)
    scrambled = {k: torch.randn_like(v.double()).abs() for k, v in original.items()}
    try:
        net.load_state_dict(scrambled)
        net.load_state_dict(back.state, strict=False)
        with torch.no_grad():
            assert torch.equal(features(image_for(net)), expected)
    finally:
        net.load_state_dict(original)
    if not there.absorbed:
        assert all(torch.equal(v, original[k]) for k, v in back.state.items())


def test_every_tensor_is_used_or_listed(source):
    """Each source tensor holds a number of its own, which is found again."""
    state = {
        name: torch.full_like(tensor, number)
        for number, (name, tensor) in enumerate(source[1].state_dict().items())
    }
    conversion = convert(state)
    assert conversion.heads
    kept = torch.cat([v.double().unique() for v in conversion.state.values()]).tolist()
    listed = {*conversion.heads, *conversion.unused, *conversion.absorbed}
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked") and (".k_" in name or ".v_" in name):
            continue  # q, k and v are normalised together: one counter is kept
        if conversion.absorbed and re.search(r"\.[qkv]_bn\.running_mean", name):
            continue  # with a bias subtracted
        assert name in listed or tensor.max() in kept, name


SMALL = {
    "Spikformer": dict(arch=ARCH),
    "SpikingResNet": dict(depth=18, base_channels=8),
    "SpikeDrivenTransformer": dict(arch=dict(embed_dims=DIMS, depth=DEPTH)),
    "Spikingformer": dict(arch=ARCH),
    "MaxFormer": dict(arch=dict(embed_dims=DIMS, depths=(1, 1, 2))),
    "MetaSpikeFormer": dict(arch=dict(embed_dims=(8, 16, 24, 32))),
    "ESpikeFormer": dict(arch=dict(embed_dims=(8, 16, 24, 32))),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_our_own_backbone_goes_there_and_back(name):
    layout = LAYOUTS[name]

    def build():
        chosen = ("shortcut", "attention")
        options = {k: v for k, v in layout.settings.items() if k in chosen}
        kind = getattr(models, layout.family)
        return kind(**SMALL[layout.family], **options).double().eval()

    torch.manual_seed(1)
    model, other = randomize_norms(build(), **ACTIVE), build()
    state = {f"backbone.{k}": v for k, v in model.state_dict().items()}
    state["neck.fc.weight"] = torch.zeros(1)
    there = convert(state, target=name)
    assert there.heads == ["neck.fc.weight"]
    other.load_state_dict(convert(there.state).state)
    with torch.no_grad():
        expected = model(IMAGE)[0]
        assert expected.any()
        torch.testing.assert_close(other(IMAGE)[0], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_torchvisions_and_mmpretrains_resnets_initialise_ours(depth):
    theirs = getattr(torchvision.models, f"resnet{depth}")().state_dict()
    conversion = convert(theirs)
    assert conversion.source == "torchvision"
    assert conversion.settings == dict(depth=depth, stem="imagenet")
    assert conversion.heads == ["fc.weight", "fc.bias"]
    SpikingResNet(depth).load_state_dict(conversion.state)
    model = MODELS.build(
        dict(
            type="mmpretrain.ImageClassifier",
            backbone=dict(type="mmpretrain.ResNet", depth=depth),
            head=dict(type="mmpretrain.LinearClsHead", num_classes=2, in_channels=8),
        )
    )
    model.backbone.load_state_dict(
        {k: v for k, v in theirs.items() if not k.startswith("fc.")}
    )
    other = convert(model.state_dict())
    assert other.source == "mmpretrain"
    assert "initialisation" in LAYOUTS["mmpretrain"].note
    assert other.state.keys() == conversion.state.keys()
    assert all(torch.equal(other.state[k], v) for k, v in conversion.state.items())


def test_what_does_not_fit_is_refused_with_its_name():
    state = SpikingResNet(18, base_channels=8).state_dict()
    deep_stem = dict(state) | {"stem.7.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match="stem.7.weight"):
        convert(deep_stem)
    listed = convert(deep_stem, allow_unknown=True)
    assert listed.unknown == ["stem.7.weight"]
    with pytest.raises(ValueError, match="conv1.weight"):
        convert({k: v for k, v in state.items() if k != "conv1.weight"})
    with pytest.raises(ValueError, match="layer3.1.bn2.bias"):
        convert({k: v for k, v in state.items() if k != "layer3.1.bn2.bias"})
    with pytest.raises(ValueError, match="layer2.0.conv1.weight"):
        convert({**state, "layer2.0.conv1.weight": torch.zeros(2, 2, 3, 3)})
    with pytest.raises(ValueError, match="fc.weight"):
        convert({"fc.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="Spikformer.*SpikingResNet"):
        convert(state, target="spikformer-cifar")
    with pytest.raises(ValueError, match="'timm'"):
        convert(state, target="timm")
    with pytest.raises(ValueError, match="their first stages differ"):
        convert(state, target="ms-official")
    ms = SpikingResNet(18, "ms", base_channels=8).state_dict()
    with pytest.raises(ValueError, match="their first stages differ"):
        convert(ms, target="sew-official")
    bottlenecks = SpikingResNet(50, "sew", base_channels=8).state_dict()
    with pytest.raises(ValueError, match="their first stages differ|no place"):
        convert(bottlenecks, target="ms-official")


def sequential(net):
    """As tutorials cut off the head."""
    return nn.Sequential(*list(net.children())[:-1])


def vision_transformer():
    return torchvision.models.vision_transformer.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=8
    )


def u_net():
    """Encoder and decoder of double convolutions."""

    def double(*channels):
        pairs = itertools.pairwise(channels)
        layers = [(nn.Conv2d(a, b, 3), nn.BatchNorm2d(b), nn.ReLU()) for a, b in pairs]
        return nn.ModuleDict(
            {"double_conv": nn.Sequential(*(one for three in layers for one in three))}
        )

    parts = dict(inc=double(3, 8, 8), down1=double(8, 16, 16), up1=double(16, 8, 8))
    return nn.ModuleDict({**parts, "outc": nn.Conv2d(8, 2, 1)})


class Block(nn.Module):
    """Its two names are those of a ResNet's stem."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)


FOREIGN = {
    "Sequential of a ResNet": lambda: sequential(torchvision.models.resnet18()),
    "Sequential of a bottleneck ResNet": lambda: sequential(
        torchvision.models.resnet50()
    ),
    "Sequential of layers": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 2)),
    "vision transformer": vision_transformer,
    "U-Net": u_net,
    "stems only": lambda: nn.Sequential(Block(), Block()),
    "one stem and others": lambda: nn.ModuleDict({"stem": Block(), "body": u_net()}),
    "DenseNet": torchvision.models.densenet121,
    "MobileNet": torchvision.models.mobilenet_v2,
    "VGG": lambda: torchvision.models.vgg11_bn(num_classes=2),
    "ConvNeXt": torchvision.models.convnext_tiny,
    "ShuffleNet": torchvision.models.shufflenet_v2_x0_5,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_networks_are_refused_however_a_few_names_are_called(name):
    with torch.device("meta"):
        state = FOREIGN[name]().state_dict()
    with pytest.raises(ValueError, match=r"\bspikformer-imagenet\b"):
        detect(state)
    for source in ("torchvision", "spikformer-cifar", None):
        with pytest.raises(ValueError, match="expected"):
            convert(state, source=source)


@pytest.mark.parametrize(
    "content",
    [
        {},
        torch.optim.Adam([nn.Parameter(torch.ones(2))]).state_dict(),
        {"optimizer": {"state": {0: {"step": torch.ones(1)}}, "param_groups": []}},
        {"epoch": 3, "args": None},
    ],
    ids=["empty", "optimizer", "optimizer below a key", "numbers"],
)
def test_file_without_a_model_is_refused(content):
    with pytest.raises(ValueError, match="state_dict"):
        convert(content)


def test_what_a_checkpoint_was_trained_with_decides_where_it_may_go():
    """Shortcut, stem, strides and neuron are in its config, not in its tensors."""

    def converted(target, **settings):
        model = SpikingResNet(18, base_channels=8, **settings)
        stored = dict(type="snnssl_mm.SpikingResNet", depth=18, base_channels=8)
        return convert(model.state_dict(), target, stored=stored | settings)

    neuron = dict(tau=float("inf"))
    assert converted("sew-official", neuron=neuron).notes == []
    assert converted("ours", neuron=neuron).complete
    (note,) = converted("sew-official").notes
    assert note == "set in their code: the neuron's tau is 2.0, theirs inf"
    with pytest.raises(ValueError, match="shortcut is 'spiking', theirs 'sew'"):
        converted("sew-official", shortcut="spiking")
    with pytest.raises(ValueError, match=r"strides is \(1, 2, 2, 1\), theirs"):
        converted("torchvision", strides=(1, 2, 2, 1))
    model = Spikformer(ARCH, stem="cifar")
    stored = dict(type="Spikformer", arch=ARCH, stem="cifar")
    with pytest.raises(ValueError, match="stem is 'cifar', theirs 'imagenet'"):
        convert(model.state_dict(), "spikformer-imagenet", stored=stored)
    (note,) = convert(model.state_dict(), "spikformer-cifar").notes
    assert "does not say what it was trained with" in note
    assert "decay_input" in note


def test_scale_of_attention_decides_where_a_spikformer_may_go():
    """The layouts of ImageNet and CIFAR10-DVS differ in the scale, not in names."""
    for scale, target, other in (
        (0.25, "spikformer-dvs", "spikformer-imagenet"),
        (0.125, "spikformer-imagenet", "spikformer-dvs"),
    ):
        settings = dict(arch=ARCH, in_channels=2, attention_scale=scale)
        stored = dict(type="Spikformer", **settings)
        state = Spikformer(**settings).state_dict()
        there = convert(state, target, stored=stored)
        back = convert(there.state, given=dict(num_heads=HEADS))
        assert back.source == target
        assert back.settings.get("attention_scale", 0.125) == scale
        with pytest.raises(ValueError, match="attention_scale"):
            convert(state, other, stored=stored)


def test_channels_of_images_are_visible():
    conversion = convert(SpikingResNet(18, base_channels=8, in_channels=2).state_dict())
    assert conversion.settings["in_channels"] == 2
    assert "in_channels" not in convert(SpikingResNet(18).state_dict()).settings


def test_missing_counters_of_batches_are_filled_and_listed():
    state = SpikingResNet(18, base_channels=8).state_dict()
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    conversion = convert(old)
    assert set(conversion.added) == set(state) - set(old)
    assert conversion.state.keys() == state.keys()


@pytest.mark.parametrize("prefix", ["module.student.backbone.encoder.", "net.0."])
@pytest.mark.parametrize("kind", [torch.Tensor.numpy, torch.Tensor.clone])
def test_arrays_and_long_prefixes_are_read(prefix, kind):
    state = Spikformer(ARCH).state_dict()
    given = {prefix + name: kind(tensor) for name, tensor in state.items()}
    found = convert({"model": given, "epoch": 3})
    assert all(torch.equal(found.state[name], state[name]) for name in state)


@pytest.mark.parametrize(
    "given", [dict(num_heads=0), dict(neuron=dict(taus=2.0)), dict(neuron=dict(tau=""))]
)
def test_settings_that_no_backbone_has_are_refused(given):
    with pytest.raises(ValueError, match=r"num_heads=0|taus|not supported"):
        convert(Spikformer(ARCH).state_dict(), given=given)
