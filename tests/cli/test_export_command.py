"""snnssl export: a checkpoint's backbone in a verified file, or an error message."""

import importlib.util
import json

import nir
import pytest
import torch
from mmengine.config import Config

from snnssl_mm.export.nir_run import NIRRunner
from snnssl_mm.export.plain import plain_copy
from snnssl_mm.export.verification import count_differing
from snnssl_mm.probing import build_eval_model

BACKBONE = dict(
    type="snnssl_mm.SpikingResNet",
    depth=18,
    stem="cifar",
    base_channels=8,
    num_stages=1,
    time_steps=2,
)


@pytest.fixture
def job(tiny_config, tmp_path):
    """Config of a narrow spiking ResNet's pretraining, its model, and a checkpoint."""
    cfg = Config.fromfile(tiny_config)
    cfg.model.backbone = BACKBONE
    cfg.model.neck.in_channels = 8
    config, checkpoint = tmp_path / "resnet.py", tmp_path / "resnet.pth"
    cfg.dump(config)
    torch.manual_seed(7)
    model = build_eval_model(cfg)
    torch.save({"state_dict": model.state_dict()}, checkpoint)
    return config, checkpoint, model


def test_nir_file_is_the_checkpoints_backbone(run_tool, job, tmp_path, capsys):
    config, checkpoint, model = job
    file = tmp_path / "new" / "backbone.nir"
    run_tool(
        "export", config, checkpoint, "--format", "nir", "--out", file,
        "--image-size", 8, 16, "--time-steps", 3,
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert "SpikingResNet, 3 time steps, images of 8x16" in printed
    assert "0 of 3,072 values" in printed
    graph = nir.read(file)
    about = json.loads(graph.metadata["snnssl_mm"])
    assert about["checkpoint"] == str(checkpoint)
    assert (
        about["normalisation"]["mean"]
        == model.data_preprocessor.mean.flatten().tolist()
    )
    images = torch.randn(1, 3, 8, 16, dtype=torch.float64)
    values = NIRRunner(graph)(images.expand(3, *images.shape))["output"]
    backbone = plain_copy(model.backbone, torch.float64)
    backbone.time_steps = 3
    with torch.no_grad():
        (expected,) = backbone(images)
    differing, total = count_differing([expected], [values])
    assert differing < 0.02 * total  # weights are rounded
    assert values.any()


def test_pt2_file_is_the_checkpoints_backbone(run_tool, job, tmp_path, capsys):
    config, checkpoint, model = job
    file = tmp_path / "backbone.pt2"
    run_tool("export", config, checkpoint, "--format", "pt2", "--out", file)
    assert "2 time steps, images of 32x32" in capsys.readouterr().out
    about = {"snnssl_mm": ""}
    program = torch.export.load(file, extra_files=about).module()
    backbone = plain_copy(model.backbone, torch.float32)
    for number in (1, 5):
        images = torch.randn(number, 3, 32, 32)
        with torch.no_grad():
            (steps,), (found,) = backbone(images), program(images)
        assert torch.equal(found, steps.mean(0))  # pretraining keeps the steps apart
        assert 0.01 < found.count_nonzero() / found.numel() < 0.99
    assert json.loads(about["snnssl_mm"])["config"] == str(config)


def test_what_cannot_be_exported_is_refused(
    run_tool, tiny_config, checkpoint, job, tmp_path
):
    out = ("--format", "nir", "--out", tmp_path / "x.nir")
    with pytest.raises(SystemExit, match=r"^error: blocks\.0\.attention .*'pt2'"):
        run_tool("export", tiny_config, checkpoint, *out)
    config, weights, _ = job
    with pytest.raises(SystemExit, match="^2$"):
        run_tool("export", config, weights, *out, "--time-steps", 0)
    with pytest.raises(SystemExit, match=r"^error: .*resnet.pth"):
        run_tool("export", tiny_config, weights, *out)
    with pytest.raises(SystemExit, match=rf"^error: .*{tmp_path}"):
        run_tool("export", config, weights, "--format", "nir", "--out", tmp_path)
    assert not (tmp_path / "x.nir").exists()


def test_missing_package_is_named(run_tool, job, tmp_path, monkeypatch):
    config, checkpoint, _ = job
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "snnssl_mm.export.find_spec",
        lambda name: None if name == "onnxscript" else find_spec(name),
    )
    with pytest.raises(SystemExit, match=r"^error: .*pip install onnxscript"):
        run_tool(
            "export", config, checkpoint, "--format", "onnx", "--out",
            tmp_path / "x.onnx",
        )  # fmt: skip
