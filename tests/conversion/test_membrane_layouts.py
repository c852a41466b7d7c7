"""Converted membrane-shortcut networks compute what the source network does."""

import pytest
import torch
from inherited_configs import CONFIGS
from membrane_networks import (
    RELEASED,
    SDTV1,
    SDTV2,
    SDTV3,
    MaxFormerNet,
    SpikingformerNet,
)
from mmengine.config import Config
from mmengine.registry import init_default_scope
from spikingjelly.activation_based import functional
from spikingjelly.activation_based.model import maxformer, spike_driven_transformer

from snnssl_mm.checkpoints.stored_config import stored_model
from snnssl_mm.conversion import LAYOUTS, convert, detect
from snnssl_mm.conversion.structure import FAMILIES
from snnssl_mm.registry import MODELS
from snnssl_mm.testing import randomize_norms

STEPS = 3
IMAGE = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=torch.manual_seed(5))
ODD = torch.randn(1, 3, 40, 50, dtype=torch.float64, generator=torch.manual_seed(6))
LIVELY = dict(weight=(1.0, 3.0), bias=(0.0, 2.0))
DIMS = (16, 16, 32, 40)


class Spikingjelly(torch.nn.Module):
    """spikingjelly's network, up to its head."""

    def __init__(self, net, stages):
        super().__init__()
        self.net, self.run = net, stages

    def stages(self, image, steps):
        functional.reset_net(self.net)
        return self.run(self.net, image.repeat(steps, 1, 1, 1, 1))


def sdt_stages(net, x):
    maps = []
    for stage in net.patch_embed.stages:
        x = stage(x)
        maps.append(x)
    functional.reset_net(net)
    x = net.patch_embed(IMAGE.repeat(STEPS, 1, 1, 1, 1))
    for block in net.blocks:
        x = block(x)
    return [*maps[1:], x]


def maxformer_stages(net, x):
    maps = []
    for number in (1, 2, 3):
        x = net.get_submodule(f"patch_embed{number}")(x)
        for block in net.get_submodule(f"stage{number}"):
            x = block(x)
        maps.append(x)
    return maps


def published_attention():
    """spikingjelly's MaxFormer with its CIFAR attention, which is the published one."""
    net = maxformer.MaxFormer(STEPS, num_classes=2, embed_dims=64, depths=(1, 1, 2))
    for block in net.stage3:
        attention = maxformer._MaxCifarSSA(64, 1, None, {})
        functional.set_step_mode(attention, "m")
        attention.num_heads = 1
        block.attn = attention
    return net


SOURCES = {
    "sdt-v1": (lambda: SDTV1(48, 2, 3, 4), {}),
    "sdt-v1 ratio 1": (lambda: SDTV1(48, 2, 3, 1), {}),
    "sdt-spikingjelly": (
        lambda: Spikingjelly(
            spike_driven_transformer.SpikeDrivenTransformer(
                STEPS, num_classes=2, embed_dims=48, num_heads=3, depths=2
            ),
            sdt_stages,
        ),
        {},
    ),
    "spikingformer": (lambda: SpikingformerNet(48, 2, 3), dict(num_heads=3)),
    "maxformer": (lambda: MaxFormerNet(128, (1, 2, 2), 4), {}),
    "maxformer ratio 1": (lambda: MaxFormerNet(64, (1, 1, 1), 1), {}),
    "maxformer-released": (lambda: MaxFormerNet(64, (1, 2, 1), 2, RELEASED), {}),
    "maxformer-spikingjelly": (
        lambda: Spikingjelly(
            maxformer.MaxFormer(STEPS, num_classes=2, embed_dims=128, depths=(1, 2, 2)),
            maxformer_stages,
        ),
        {},
    ),
    "sdt-v2": (lambda: SDTV2(DIMS, kd=True), {}),
    "sdt-v3": (lambda: SDTV3(DIMS), {}),
}


def given(name, options):
    """The options, and the stem where no tensor shows it."""
    return options | ({"stem": "imagenet"} if "stem" in LAYOUTS[name].open else {})


def tensors(net):
    return (net.net if isinstance(net, Spikingjelly) else net).state_dict()


def build(conversion, **options):
    kind = FAMILIES[conversion.family].kind
    model = kind(**conversion.settings, time_readout="none", **options)
    model.double().eval().load_state_dict(conversion.state)
    return model


def all_maps(conversion, steps=STEPS):
    """Our network with the network's own maps: the last one is not max-pooled."""
    staged = conversion.family in ("MetaSpikeFormer", "ESpikeFormer")
    indices = (0, 1, 2, 4) if staged else (0, 1, 2)
    return build(conversion, out_indices=indices, time_steps=steps)


@pytest.fixture(scope="module", params=SOURCES)
def source(request):
    """A network in its own layout: name, network, its currents, our options."""
    make, options = SOURCES[request.param]
    torch.manual_seed(0)
    net = randomize_norms(make().double().eval(), **LIVELY)
    steps = 1 if request.param == "sdt-v3" else STEPS
    with torch.no_grad():
        expected = net.stages(IMAGE, steps)
    name = request.param.split(" ")[0]
    return name, net, expected, given(name, options), steps


@torch.no_grad()
def test_every_stage_equals_the_source(source):
    name, net, expected, options, steps = source
    state = {f"module.{k}": v for k, v in tensors(net).items()}
    assert detect(state).name == name
    conversion = convert({"model": state, "epoch": 3}, given=options)
    assert conversion.complete
    model = all_maps(conversion, steps)
    rates = []
    for key, module in model.named_modules():
        if key.endswith("attention_neuron"):
            module.register_forward_hook(lambda _m, _i, out: rates.append(out.mean()))
    maps = model(IMAGE)
    assert all(0.005 < rate < 0.95 for rate in rates), "attention that does nothing"
    assert len(maps) == len(expected)
    for ours, theirs in zip(maps, expected, strict=True):
        assert theirs.std() > 0.05
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


@torch.no_grad()
def test_the_way_back_gives_the_same_tensors(source):
    name, net, _, options, steps = source
    original = tensors(net)
    there = convert(original, given=options)
    listed = {*there.heads, *there.unused}
    model = all_maps(there, steps)
    stored = dict(type=there.family, **there.settings)
    back = convert(model.state_dict(), target=name, stored=stored)
    assert set(original) - set(back.state) == listed
    assert set(back.state) <= set(original)
    again = convert(back.state, given=options)
    assert again.state.keys() == there.state.keys()
    for key, value in again.state.items():
        torch.testing.assert_close(value, there.state[key], rtol=0, atol=1e-12)
    if not there.absorbed and not there.added:
        assert all(torch.equal(v, original[k]) for k, v in back.state.items())


def test_partial_and_foreign_files_are_refused_by_name(source):
    name, net, _, options, _ = source
    state = tensors(net)
    gone = next(k for k in reversed(state) if k.endswith("_var") and "head" not in k)
    with pytest.raises(ValueError, match="running_var"):
        convert({k: v for k, v in state.items() if k != gone}, given=options)
    with pytest.raises(ValueError, match=r"odd\.weight"):
        convert({**state, "odd.weight": torch.zeros(1)}, given=options)
    other = "maxformer" if "former" not in name else "sdt-v1"
    with pytest.raises(ValueError, match="matches|expected|missing|family"):
        convert(state, source=other)


@torch.no_grad()
def test_attention_of_the_paper_equals_spikingjellys_cifar_attention():
    torch.manual_seed(0)
    net = randomize_norms(published_attention().double().eval(), **LIVELY)
    expected = maxformer_stages(net, IMAGE.repeat(STEPS, 1, 1, 1, 1))
    names = {
        ".qkv.0.": ".qkv_conv_bn.0.",
        ".qkv.1.": ".qkv_conv_bn.1.",
        ".proj.0.": ".proj_conv_bn.0.",
        ".proj.1.": ".proj_conv_bn.1.",
    }
    state, biases = {}, {}
    for name, tensor in net.state_dict().items():
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        (biases if name.endswith("proj_conv_bn.0.bias") else state)[name] = tensor
    conversion = convert(state, given=dict(attention="membrane"))
    for index, bias in enumerate(biases.values()):
        conversion.state[f"stages.2.{index}.mixer.projection.conv.bias"] = bias
    maps = all_maps(conversion)(IMAGE)
    for ours, theirs in zip(maps, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("name", ["sdt-v2", "sdt-v3"])
def test_other_image_sizes_are_those_of_the_source(name):
    """Sides that no stride divides: each halving rounds up."""
    torch.manual_seed(0)
    net = randomize_norms(SOURCES[name][0]().double().eval(), **LIVELY)
    steps = 1 if name == "sdt-v3" else 2
    maps = all_maps(convert(net.state_dict()), steps)(ODD)
    for ours, theirs in zip(maps, net.stages(ODD, steps), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


EVALUATIONS = {
    "sdt-v1": "spike-driven-transformer-8-512",
    "sdt-v2": "meta-spikeformer-55m",
    "sdt-v3": "e-spikeformer-19m",
    "maxformer-released": "maxformer-10-512",
    "spikingformer": "spikingformer-8-768",
}


def evaluated(name, converted):
    """The shipped config that evaluates official weights, in the sizes of a test."""
    config = Config.fromfile(CONFIGS / f"classification/{EVALUATIONS[name]}_in1k.py")
    model = config.model
    assert model.backbone.time_steps == (1 if name == "sdt-v3" else 4)
    neuron = model.backbone.get("neuron", dict(levels=4))  # the default of MixedILIF
    assert neuron == converted.backbone.neuron
    for key in ("arch", "time_steps"):
        model.backbone[key] = converted.backbone[key]
    for key in ("num_classes", "in_channels"):
        model.head[key] = converted.head[key]
    init_default_scope(config.default_scope)
    return MODELS.build(model).double().eval()


@torch.no_grad()
@pytest.mark.parametrize(
    "name", ["sdt-v1", "spikingformer", "maxformer-released", "sdt-v2", "sdt-v3"]
)
def test_classifiers_are_kept_on_request(name, run_tool, tmp_path):
    """The file's config builds a model of mmpretrain with the logits of the source."""
    torch.manual_seed(0)
    make, options = SOURCES[name]
    net = randomize_norms(make().double().eval(), **LIVELY)
    theirs, ours, back = (tmp_path / f"{n}.pth" for n in ("theirs", "ours", "back"))
    torch.save({"model": net.state_dict(), "epoch": 3}, theirs)
    heads = ("--num-heads", 3) if options else ()
    run_tool("convert", theirs, ours, "--with-head", *heads)
    content = torch.load(ours, weights_only=True)
    config = Config.fromstring(f"model = {stored_model(content)!r}", ".py").model
    config.backbone.time_steps = steps = 1 if name == "sdt-v3" else STEPS
    model = MODELS.build(config).double().eval()
    logits = net.logits(net.stages(IMAGE, steps)[-1])
    assert (logits - net.head.bias).abs().max() > 0.1
    for built in (model, evaluated(name, config)):
        built.load_state_dict(content["state_dict"])
        found = built.head(built.extract_feat(IMAGE))
        torch.testing.assert_close(found, logits, rtol=0, atol=1e-9)
    run_tool("convert", ours, back, "--with-head", "--to", name)
    again = torch.load(back, weights_only=True)["state_dict"]
    for key, tensor in net.state_dict().items():
        if key in again:
            assert torch.equal(again[key], tensor)
    lost = set(net.state_dict()) - set(again)
    assert not {key for key in lost if "head" in key.partition(".")[0]}


def test_classifier_without_weights_is_refused():
    state = SDTV1(16, 1, 2, 1).state_dict()
    del state["head.weight"]
    with pytest.raises(ValueError, match="classifier"):
        convert(state, keep_head=True)
    for name in ("head.bias",):
        del state[name]
    with pytest.raises(ValueError, match="classifier"):
        convert(state, keep_head=True)


@torch.no_grad()
def test_folded_rep_convs_compute_the_same():
    """One 3x3 convolution for each RepConv: no tensor of one is left."""
    torch.manual_seed(0)
    net = randomize_norms(SDTV2(DIMS).double().eval(), **LIVELY)
    model = all_maps(convert(net.state_dict()))
    expected = model(ODD)
    model.switch_to_deploy()
    assert not any("depthwise_bn" in k or "expand_bn" in k for k in model.state_dict())
    for ours, theirs in zip(model(ODD), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


WRAPPERS = {
    "timm": lambda state, _: {"state_dict": state, "arch": "sdt"},
    "timm, averaged": lambda state, old: {"state_dict": old, "state_dict_ema": state},
    "MAE": lambda state, _: {"model": state, "epoch": 3, "scaler": {}},
    "MAE, averaged": lambda state, old: {"model": old, "model_ema": state},
    "parallel": lambda state, _: {
        "model": {f"module.{k}": v for k, v in state.items()}
    },
    "bare": lambda state, _: state,
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_of_training_scripts_are_read(wrapper, run_tool, tmp_path):
    """Averaged weights are preferred: they are what the authors evaluate."""
    torch.manual_seed(0)
    state, old = (SDTV2(DIMS).state_dict() for _ in range(2))
    torch.save(WRAPPERS[wrapper](state, old), tmp_path / "theirs.pth")
    run_tool("convert", tmp_path / "theirs.pth", tmp_path / "ours.pth")
    found = torch.load(tmp_path / "ours.pth", weights_only=True)["state_dict"]
    for key, tensor in convert(state).state.items():
        assert torch.equal(found[f"backbone.{key}"], tensor)


def test_settings_that_are_given_are_checked():
    state = SDTV1(16, 1, 2, 4).state_dict()
    assert convert(state, given=dict(stem="cifar")).settings["stem"] == "cifar"
    with pytest.raises(ValueError, match="num_heads"):
        convert(state, given=dict(num_heads=2))
    with pytest.raises(ValueError, match="colour"):
        convert(state, given=dict(colour=2))
    spikingformer = SpikingformerNet(16, 1, 2).state_dict()
    assert convert(spikingformer).missing == ["num_heads"]
    meta = SDTV2(DIMS, heads=8).state_dict()
    arch = convert(meta, given=dict(num_heads=4)).settings["arch"]
    assert arch == dict(embed_dims=DIMS, num_heads=4)


@pytest.mark.parametrize(
    ("layout", "family", "arch"),
    [
        ("sdt-v1", "SpikeDrivenTransformer", "6-512"),
        ("sdt-v2", "MetaSpikeFormer", "15M"),
        ("sdt-v3", "ESpikeFormer", "19M"),
        ("maxformer-released", "MaxFormer", "10-512"),
        ("spikingformer", "Spikingformer", "8-384"),
        ("spikformer-imagenet", "Spikformer", "8-512"),
    ],
)
def test_published_sizes_are_known_by_name(layout, family, arch):
    with torch.device("meta"):
        state = FAMILIES[family].kind(arch, in_channels=2).state_dict()
        conversion = convert(convert(state, target=layout).state)
    assert conversion.settings["arch"] == arch
    assert conversion.settings["in_channels"] == 2
    assert conversion.missing == []
