"""Exported files hold what the backbone computes: to the last spike, by other hands."""

import json

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import layer, neuron

from snnssl_mm import export
from snnssl_mm.export import export_backbone
from snnssl_mm.export.folding import folded
from snnssl_mm.export.nir_graph import DT, to_nir
from snnssl_mm.export.nir_run import NIRRunner
from snnssl_mm.export.plain import plain_copy
from snnssl_mm.export.program import save_onnx, to_program
from snnssl_mm.export.verification import (
    count_differing,
    run_onnx,
    verify_onnx,
    verify_pt2,
)
from snnssl_mm.models import Spikformer, SpikingResNet
from snnssl_mm.neurons import MixedLIF
from snnssl_mm.testing import randomize_norms

SIZE = (8, 16)
LIF = dict(tau=1.5, v_threshold=0.4, v_reset=-0.1, decay_input=True)


def resnet(shortcut="sew", **options):
    torch.manual_seed(0)
    settings = dict(stem="cifar", base_channels=8, time_steps=4, time_readout="none")
    return randomize_norms(SpikingResNet(18, shortcut, **settings | options)).eval()


def spikformer(**options):
    torch.manual_seed(0)
    arch = dict(embed_dims=16, depth=1, num_heads=2)
    model = Spikformer(arch, stem="cifar", time_steps=2, neuron=LIF, **options)
    return randomize_norms(model).eval()


def through_a_file(graph, folder):
    nir.write(folder / "graph.nir", graph)
    return nir.read(folder / "graph.nir")


def clip(steps=4):
    """A clip that changes, so that time steps cannot be mixed up."""
    generator = torch.Generator().manual_seed(2)
    shape = (steps, 2, 3, *SIZE)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


@torch.no_grad()
def maps_of(model, images):
    return model.double()(images)


@torch.no_grad()
def spikingjellys(graph, frames):
    """What spikingjelly makes of a NIR graph; it leaves the sum of outputs to us."""
    pytest.importorskip("nirtorch")
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    network, state, steps = import_from_nir(graph, DT, dtype=torch.float64), None, []
    for frame in frames:
        *outputs, state = network(frame, state)
        steps.append(sum(outputs))
    return torch.stack(steps)


@pytest.mark.parametrize("lif", [LIF, dict(tau=3.0)], ids=["decayed", "undecayed"])
@pytest.mark.parametrize(
    ("shortcut", "bn"), [("sew", "per_view"), ("spiking", "joint"), ("ms", "joint")]
)
def test_nir_file_fires_as_the_backbone_in_spikingjelly_too(
    shortcut, bn, lif, tmp_path
):
    backbone, frames = resnet(shortcut, neuron=lif, bn=bn), clip()
    copy = folded(backbone, SIZE, torch.float64)
    graph = through_a_file(to_nir(copy, SIZE, torch.float64), tmp_path)
    (expected,) = maps_of(backbone, frames)
    assert 0.05 < expected.count_nonzero() / expected.numel() < 0.95
    assert torch.equal(NIRRunner(graph)(frames)["output"], expected)
    assert torch.equal(spikingjellys(graph, frames), expected)


@pytest.mark.parametrize("shortcut", ["sew", "ms"])
def test_float32_file_fires_as_the_backbone_with_weights_rounded(shortcut, tmp_path):
    backbone = resnet(shortcut)
    copy = folded(backbone, SIZE, torch.float32)
    graph = through_a_file(to_nir(copy, SIZE), tmp_path)
    assert graph.nodes["layer1.0.conv1"].weight.dtype == np.float32
    assert torch.equal(NIRRunner(graph)(clip())["output"], maps_of(copy, clip())[0])


@pytest.mark.parametrize(("shortcut", "depth"), [("spiking", 50), ("sew", 18)])
def test_maxima_of_spikes_and_several_outputs(shortcut, depth, tmp_path):
    """NIR has no max-pooling; the ImageNet stem's is a sum and a threshold."""
    torch.manual_seed(0)
    backbone = randomize_norms(
        SpikingResNet(
            depth, shortcut, base_channels=8, num_stages=2, out_indices=(1, 0),
            time_readout="none", neuron=LIF, with_cp=True,
        )
    ).eval()  # fmt: skip
    copy = folded(backbone, SIZE, torch.float64)
    graph = through_a_file(to_nir(copy, SIZE, torch.float64), tmp_path)
    outputs, maps = NIRRunner(graph)(clip()), maps_of(backbone, clip())
    assert sorted(outputs) == ["output0", "output1"]
    assert torch.equal(outputs["output1"], maps[0])
    assert torch.equal(outputs["output0"], maps[1])


@pytest.mark.parametrize("shortcut", ["sew", "spiking", "ms"])
def test_nodes_have_the_names_and_shapes_of_the_layers(shortcut):
    backbone, seen = resnet(shortcut), {}

    def note(module, inputs, output):
        shapes = [list(x.shape[-3:]) for x in (inputs[0], output)]
        seen[names[module]] = shapes

    names = {module: name for name, module in backbone.named_modules()}
    layers = [m for m in names if isinstance(m, torch.nn.Conv2d | MixedLIF)]
    handles = [layer.register_forward_hook(note) for layer in layers]
    maps_of(backbone, clip())
    for handle in handles:
        handle.remove()
    graph = to_nir(folded(backbone, SIZE, torch.float64), SIZE)
    shapes = {
        name: [list(node.input_type["input"]), list(node.output_type["output"])]
        for name, node in graph.nodes.items()
        if isinstance(node, nir.Conv2d | nir.LIF)
    }
    assert shapes == seen
    assert tuple(graph.nodes["layer2.0.downsample.0"].input_shape) == SIZE


@pytest.mark.parametrize("decay_input", [True, False])
def test_neurons_have_the_parameters_that_spikingjelly_gives_them(decay_input):
    pytest.importorskip("nirtorch")
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    lif = dict(tau=2.5, v_threshold=0.7, v_reset=-0.2, decay_input=decay_input)
    conv = layer.Conv2d(3, 8, 3, padding=1)
    theirs = export_to_nir(
        torch.nn.Sequential(conv, neuron.LIFNode(**lif)), torch.rand(1, 3, *SIZE)
    )
    (expected,) = (n for n in theirs.nodes.values() if isinstance(n, nir.LIF))
    backbone = resnet(num_stages=1, neuron=lif)
    node = to_nir(folded(backbone, SIZE, torch.float64), SIZE).nodes["neuron1"]
    for name in ("tau", "r", "v_leak", "v_threshold", "v_reset"):
        np.testing.assert_array_equal(getattr(node, name), getattr(expected, name))


def test_neuron_that_never_leaks_is_an_integrator(tmp_path):
    backbone = resnet(num_stages=1, neuron=dict(tau=float("inf")))
    copy = folded(backbone, SIZE, torch.float64)
    graph = through_a_file(to_nir(copy, SIZE, torch.float64), tmp_path)
    assert isinstance(graph.nodes["neuron1"], nir.IF)
    assert torch.equal(NIRRunner(graph)(clip())["output"], maps_of(backbone, clip())[0])


@pytest.mark.parametrize(
    ("backbone", "reason"),
    [
        (spikformer(), "blocks.0.attention computes a product of signals"),
        (resnet(merge="and"), "layer1.0 computes a product of signals"),
        (resnet(merge="iand"), "layer1.0 computes the complement of a signal"),
        (resnet(neuron=dict(v_reset=None)), "soft reset.*v_reset=0.0"),
    ],
    ids=["attention", "and", "iand", "soft reset"],
)
def test_what_nir_cannot_say_is_refused_in_a_sentence(backbone, reason, tmp_path):
    with pytest.raises(ValueError, match=f"{reason}.*choose format 'pt2' or 'onnx'$"):
        export_backbone(backbone, tmp_path / "x.nir", "nir", SIZE)
    assert list(tmp_path.iterdir()) == []


def test_image_size_must_fit(tmp_path):
    with pytest.raises(ValueError, match="8.*12x16"):
        export_backbone(resnet(), tmp_path / "x.nir", "nir", (12, 16))


@pytest.mark.parametrize("kind", ["nir", "onnx", "pt2"])
def test_images_have_the_channels_of_the_network(kind, tmp_path):
    """Events have two; a file that computes something else would raise."""
    file = tmp_path / "network"
    export_backbone(resnet(in_channels=2, num_stages=1), file, kind, SIZE)
    assert file.exists()


def test_programs_of_events_take_clips(tmp_path):
    """Each time step has its own frame."""
    backbone, file = resnet(in_channels=2, num_stages=1), tmp_path / "network.pt2"
    export_backbone(backbone, file, "pt2", SIZE)
    clip = 3 * torch.rand(backbone.time_steps, 2, 2, *SIZE)
    program = torch.export.load(file).module()
    found = program(clip.transpose(0, 1).flatten(1, 2))
    for one, expected in zip(found, backbone.eval()(clip), strict=True):
        torch.testing.assert_close(one, expected)


def test_export_leaves_the_backbone_as_it_was(tmp_path):
    backbone = resnet(num_stages=1).train()
    before = {name: x.clone() for name, x in backbone.state_dict().items()}
    export_backbone(backbone, tmp_path / "x.nir", "nir", SIZE)
    assert backbone.training
    assert isinstance(backbone.bn1, torch.nn.BatchNorm2d)
    assert {m.backend for m in backbone.modules() if isinstance(m, MixedLIF)} == {
        "auto"
    }
    after = backbone.state_dict()
    assert all(torch.equal(after[name], x) for name, x in before.items())


def test_a_wrong_file_is_noticed_and_the_old_one_stays(tmp_path, monkeypatch):
    file, backbone = tmp_path / "x.nir", resnet(num_stages=1)
    found = export_backbone(backbone, file, "nir", SIZE, {"config": "a.py"})
    assert found.startswith("0 of 4,096 values differ")
    metadata, kept = nir.read(file).metadata, file.read_bytes()
    assert metadata["time_steps"] == 4
    assert json.loads(metadata["snnssl_mm"])["config"] == "a.py"

    def write_wrongly(target, graph, write=nir.write):
        graph.nodes["layer1.1.neuron2"].tau *= 1.1
        write(target, graph)

    monkeypatch.setattr(nir, "write", write_wrongly)
    with pytest.raises(ValueError, match="of 4,096 values"):
        export_backbone(backbone, file, "nir", SIZE)
    assert file.read_bytes() == kept
    assert list(tmp_path.iterdir()) == [file]


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install onnx onnxscript"):
        export_backbone(resnet(), tmp_path / "x.onnx", "onnx", SIZE)


def test_only_spiking_backbones_are_exported(tmp_path):
    with pytest.raises(ValueError, match="Conv2d"):
        export_backbone(torch.nn.Conv2d(3, 8, 3), tmp_path / "x.nir", "nir", SIZE)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A Spikformer, its program, which takes seconds to make, and the program's file.

    That of a spiking ResNet is in tests/cli/test_export_command.py.
    """
    backbone = spikformer(out_indices=(1, 2), bn="per_view")
    program = to_program(backbone, SIZE)
    file = tmp_path_factory.mktemp("program") / "spikformer.pt2"
    torch.export.save(program, file)
    return backbone, program, file


def test_saved_program_equals_the_backbone_for_any_batch(exported):
    backbone, _, file = exported
    plain, loaded = plain_copy(backbone, torch.float32), torch.export.load(file)
    run = loaded.module()
    for number in (1, 2, 5):
        images = torch.randn(number, 3, *SIZE)
        with torch.no_grad():
            maps, others = plain(images), run(images)
        assert all(torch.equal(a, b) for a, b in zip(maps, others, strict=True))
        assert all(0.01 < m.count_nonzero() / m.numel() < 0.99 for m in maps)


def test_program_holds_operators_of_torch_only(exported):
    """So that it runs where this package is not installed."""
    _, program, _ = exported
    called = [n.target for n in program.graph.nodes if n.op == "call_function"]
    operators = [x for x in called if isinstance(x, torch._ops.OpOverload)]
    assert len(operators) > 50
    assert {x.namespace for x in operators} == {"aten"}


def test_onnx_file_equals_the_backbone_for_any_batch(exported, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    backbone, program, _ = exported
    file = tmp_path / "x.onnx"
    save_onnx(program, file, {"snnssl_mm": "{}"})
    session = onnxruntime.InferenceSession(file)
    assert session.get_modelmeta().custom_metadata_map["snnssl_mm"] == "{}"
    plain = plain_copy(backbone, torch.float32)
    for number in (1, 3):
        images = torch.randn(number, 3, *SIZE)
        with torch.no_grad():
            differing, total = count_differing(plain(images), run_onnx(file, images))
        assert differing < 0.05 * total  # a membrane within rounding of the threshold
    assert verify_onnx(file, backbone, SIZE).startswith("0 of")  # in float64: none
    with pytest.raises(ValueError, match=r"[\d,]+ of [\d,]+ values"):
        verify_onnx(file, another(backbone), SIZE)


def test_another_network_is_told_apart(exported):
    backbone, _, file = exported
    with pytest.raises(ValueError, match=r"[\d,]+ of [\d,]+ values"):
        verify_pt2(file, another(backbone), SIZE)


def another(backbone):
    """The same network, but for the time constant of one neuron."""
    copy = plain_copy(backbone, torch.float32)
    last = copy.blocks[0].mlp[1].neuron
    last.config = last.config._replace(tau=2.0)
    return copy
