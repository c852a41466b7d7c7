"""snnssl convert: its files load, and what it prints is correct."""

import argparse
import re

import pytest
import torch
import torchvision

from snnssl_mm.checkpoints.loading import read_checkpoint
from snnssl_mm.checkpoints.safetensors_files import is_safetensors
from snnssl_mm.checkpoints.stored_config import stored_backbone
from snnssl_mm.conversion import LAYOUTS, convert
from snnssl_mm.models import Spikformer, SpikingResNet, load_backbone

ARCH = "4-384"  # of a published size, whose heads are known


@pytest.fixture
def official(tmp_path):
    """A backbone, and its training checkpoint in the official CIFAR layout."""
    torch.manual_seed(2)
    backbone = Spikformer(ARCH, stem="cifar")
    theirs = convert(backbone.state_dict(), target="spikformer-cifar").state
    theirs = {f"module.{name}": tensor for name, tensor in theirs.items()}
    theirs["module.head.weight"] = torch.zeros(10, 384)
    theirs["module.block.0.norm1.weight"] = torch.ones(384)
    file = tmp_path / "theirs.pth"
    torch.save({"state_dict": theirs, "optimizer": {"lr": 1}}, file)
    return backbone, file


def test_converted_file_is_what_pretrained_takes(run_tool, official, tmp_path, capsys):
    backbone, file = official
    out = tmp_path / "ours.pth"
    run_tool("convert", file, out)
    printed = capsys.readouterr().out
    assert "official Spikformer, CIFAR -> ours" in printed
    assert "module.head.weight" not in printed  # names are printed without prefix
    assert re.search(r"\(1\): head\.weight", printed)
    assert re.search(r"\(1\): block\.0\.norm1\.weight", printed)
    content = torch.load(out, weights_only=True)
    assert content["meta"]["converted_from"] == "spikformer-cifar"
    neuron = dict(tau=2.0, decay_input=True, surrogate="sigmoid")
    target = Spikformer(ARCH, stem="cifar", neuron=neuron)
    assert "(prefix 'backbone.')" in load_backbone(target, str(out))
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, backbone.state_dict()[name])
    with pytest.raises(ValueError, match="Spikformer.*neuron"):
        load_backbone(Spikformer(ARCH, stem="cifar"), str(out))


def test_the_suffix_chooses_safetensors(run_tool, official, tmp_path):
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back.safetensors"
    run_tool("convert", official[1], ours)
    run_tool("convert", ours, back, "--to", "spikformer-cifar")
    assert all(map(is_safetensors, (ours, back)))
    assert stored_backbone(read_checkpoint(ours))["stem"] == "cifar"
    found = read_checkpoint(back)["state_dict"]
    source = torch.load(official[1], weights_only=True)["state_dict"]
    kept = {k.removeprefix("module."): v for k, v in source.items()}
    assert found
    for name, tensor in found.items():
        assert torch.equal(tensor, kept[name])


NEURON = dict(tau=2.0, decay_input=True, surrogate="sigmoid")
OWN = dict(embed_dims=16, depth=1)


def theirs_of(tmp_path, layout, backbone):
    file = tmp_path / "theirs.pth"
    torch.save(convert(backbone.state_dict(), target=layout).state, file)
    return file


ASKED = {  # layout, its network, what is asked for, other settings of the same tensors
    "heads": (
        "spikformer-imagenet",
        Spikformer,
        dict(arch=dict(OWN, num_heads=2), neuron=NEURON),
        ["--num-heads", 2],
        [
            dict(arch=dict(OWN, num_heads=4), neuron=NEURON),
            dict(arch=dict(OWN, num_heads=2)),
            dict(arch=dict(OWN, num_heads=2), neuron=dict(NEURON, v_threshold=0.5)),
            dict(arch=dict(OWN, num_heads=2), neuron=dict(NEURON, v_reset=None)),
            dict(arch=dict(OWN, num_heads=2), neuron=NEURON, stem="cifar"),
        ],
    ),
    "heads and stem": (
        "spikformer-spikingjelly",
        Spikformer,
        dict(
            arch=dict(OWN, num_heads=4),
            neuron=NEURON,
            stem="cifar",
            pooled="current",
        ),
        ["--num-heads", 4, "--stem", "cifar"],
        [
            dict(arch=dict(OWN, num_heads=4), neuron=NEURON, pooled="current"),
            dict(arch=dict(OWN, num_heads=4), neuron=NEURON, stem="cifar"),
        ],
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_settings_that_no_tensor_shows_are_required_and_stored(
    run_tool, tmp_path, name
):
    layout, kind, settings, options, others = ASKED[name]
    theirs, ours = theirs_of(tmp_path, layout, kind(**settings)), tmp_path / "ours.pth"
    for left_out in range(0, len(options), 2):
        some = options[:left_out] + options[left_out + 2 :]
        with pytest.raises(SystemExit, match=options[left_out]):
            run_tool("convert", theirs, ours, *some)
        assert not ours.exists()
    run_tool("convert", theirs, ours, *options)
    load_backbone(kind(**settings), str(ours))
    for other in others:
        with pytest.raises(ValueError, match=str(ours)):
            load_backbone(kind(**other), str(ours))
    # They are kept in conversion to another layout and back, and not required again.
    back, again = tmp_path / "back.pth", tmp_path / "again.pth"
    run_tool("convert", ours, back, "--to", layout)
    run_tool("convert", back, again)
    contents = [torch.load(file, weights_only=True) for file in (ours, again)]
    assert contents[0]["meta"]["cfg"] == contents[1]["meta"]["cfg"]
    for one, two in zip(*(c["state_dict"].values() for c in contents), strict=True):
        assert torch.equal(one, two)
    with pytest.raises(SystemExit):
        run_tool("convert", ours, again, "--num-heads", 1)


def test_given_neuron_and_shortcut_are_stored(run_tool, tmp_path):
    """spikingjelly's SEW-ResNet has the tensor names of a non-spiking ResNet."""
    neuron = dict(tau=float("inf"), v_reset=None)
    settings = dict(depth=18, base_channels=8, shortcut="sew")
    theirs, ours = tmp_path / "theirs.pth", tmp_path / "ours.pth"
    backbone = SpikingResNet(neuron=neuron, **settings)
    torch.save({"net": backbone.state_dict(), "epoch": 3}, theirs)
    run_tool(
        *("convert", theirs, ours, "--shortcut", "sew"),
        *("--neuron", "tau=inf", "v_reset=None"),
    )
    load_backbone(SpikingResNet(neuron=neuron, **settings), str(ours))
    for other in (dict(neuron=None), dict(neuron=neuron, shortcut="spiking")):
        with pytest.raises(ValueError, match=str(ours)):
            load_backbone(SpikingResNet(**{**settings, **other}), str(ours))


def test_training_file_with_settings_of_its_script_is_read(
    run_tool, official, tmp_path
):
    """SEW-ResNet's and timm's files have an argparse.Namespace with the tensors."""
    _, file = official
    content = torch.load(file, weights_only=True)
    args = argparse.Namespace(model="spikformer", T=4, output=tmp_path)
    torch.save({**content, "args": args, "epoch": 3}, file)
    run_tool("convert", file, tmp_path / "ours.pth")
    assert (tmp_path / "ours.pth").exists()


def test_there_and_back_by_the_tool(run_tool, tmp_path):
    backbone = SpikingResNet(18, "ms", base_channels=8)
    ours, theirs, back = (tmp_path / f"{n}.pth" for n in ("ours", "theirs", "back"))
    torch.save(backbone.state_dict(), ours)
    run_tool("convert", ours, theirs, "--from", "torchvision", "--to", "ms-official")
    names = torch.load(theirs, weights_only=True)["state_dict"]
    assert "conv2_x.0.residual_function.2.bn.running_mean" in names
    run_tool("convert", theirs, back)
    found = torch.load(back, weights_only=True)["state_dict"]
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(found[f"backbone.{name}"], tensor)


def test_non_spiking_weights_are_reported_as_an_initialisation(
    run_tool, tmp_path, capsys
):
    file = tmp_path / "resnet.pth"
    torch.save(torchvision.models.resnet18().state_dict(), file)
    run_tool("convert", file, tmp_path / "ours.pth")
    assert "initialisation" in capsys.readouterr().out
    load_backbone(SpikingResNet(18), str(tmp_path / "ours.pth"))


def test_bad_input_is_refused_and_nothing_is_written(run_tool, official, tmp_path):
    out = tmp_path / "out.pth"
    with pytest.raises(SystemExit, match=r"^error: .*nowhere\.pth"):
        run_tool("convert", tmp_path / "nowhere.pth", out)
    torch.save({"odd.weight": torch.zeros(1)}, tmp_path / "odd.pth")
    with pytest.raises(SystemExit, match=r"^error: "):
        run_tool("convert", tmp_path / "odd.pth", out)
    with pytest.raises(SystemExit, match=r"^error: .*SpikingResNet.*Spikformer"):
        run_tool("convert", official[1], out, "--to", "sew-official")
    state = torch.load(official[1], weights_only=True)["state_dict"]
    torch.save({**state, "module.block.0.extra": torch.ones(1)}, tmp_path / "more.pth")
    with pytest.raises(SystemExit, match=r"^error: .*block\.0\.extra"):
        run_tool("convert", tmp_path / "more.pth", out)
    assert not out.exists()
    run_tool("convert", tmp_path / "more.pth", out, "--allow-unknown")
    assert out.exists()


def test_list_names_every_layout(run_tool, capsys):
    with pytest.raises(SystemExit) as ended:
        run_tool("convert", "--list")
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(
        name in printed and layout.source in printed for name, layout in LAYOUTS.items()
    )
