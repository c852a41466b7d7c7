"""snnssl train: training, bit-identical resume, pretrained backbones, errors."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mmpretrain
import pytest
import torch
from mmengine.config import Config

from snnssl_mm.checkpoints import reading
from snnssl_mm.engine import launch
from snnssl_mm.probing import build_eval_model

ROOT = Path(__file__).parents[2]


def weights(work_dir, epoch):
    file = work_dir / f"epoch_{epoch}.pth"
    return torch.load(file, map_location="cpu", weights_only=False)["state_dict"]


@pytest.fixture
def reads(monkeypatch):
    """Names of the checkpoints that were read, one per read."""
    names, load = [], reading.torch.load

    def recording_load(file, *args, **kwargs):
        names.append(Path(file).name)
        return load(file, *args, **kwargs)

    monkeypatch.setattr(reading.torch, "load", recording_load)
    return names


@pytest.fixture(scope="module")
def trained(run_tool, write_tiny_config, tmp_path_factory):
    """Work directory of a training, for tests that change nothing in it."""
    folder = tmp_path_factory.mktemp("trained")
    run_tool("train", write_tiny_config(folder / "tiny.py"), "--work-dir", folder)
    return folder


class Interrupted(Exception):
    pass


def test_interrupted_run_resumes_to_the_same_weights(
    run_tool, tiny_config, tmp_path, monkeypatch, reads
):
    full, parts = tmp_path / "full", tmp_path / "parts"
    workers = ["--cfg-options", "train_dataloader.num_workers=2"]
    run_tool("train", tiny_config, "--work-dir", full, *workers)

    from snnssl_mm.models import DualPathSSL

    steps, loss = [], DualPathSSL.loss

    def dying_loss(self, *args, **kwargs):
        steps.append(1)
        if len(steps) == 6:  # in the second of two epochs of four iterations
            raise Interrupted
        return loss(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(DualPathSSL, "loss", dying_loss)
        with pytest.raises(Interrupted):
            run_tool("train", tiny_config, "--work-dir", parts, *workers)
    reads.clear()
    run_tool("train", tiny_config, "--work-dir", parts, "--resume", *workers)
    assert reads == ["epoch_1.pth"]

    expected = weights(full, 2)
    assert not torch.equal(
        expected["backbone.stem.stages.0.conv.weight"],
        weights(full, 1)["backbone.stem.stages.0.conv.weight"],
    )
    for name, tensor in weights(parts, 2).items():
        assert torch.equal(tensor, expected[name]), name


def test_log_and_probes_hold_what_a_reader_needs(trained):
    (log,) = trained.glob("*/vis_data/scalars.json")
    rows = [json.loads(line) for line in log.open()]
    iterations = [row for row in rows if "loss" in row]
    assert len(iterations) == 8
    for row in iterations:
        assert row["loss"] == pytest.approx(row["on_diagonal"] + row["off_diagonal"])
        assert 0 <= row["embedding_std"] <= 1.1
        assert 0 <= row["firing_rate"] <= 1
    probes = json.loads((trained / "probes.json").read_text())["rows"]
    assert {(p["probe"], p["start"], p["epoch"]) for p in probes} == {
        (probe, start, 2 if start == "pretrained" else 0)  # the last epoch
        for probe in ("knn", "linear")
        for start in ("pretrained", "random", "pixels")
    }
    assert all(0 <= row["top1"] <= 1 for row in probes)


def test_evaluation_gives_the_numbers_of_the_run(
    run_tool, trained, tiny_config, tmp_path
):
    out = tmp_path / "results.json"
    run_tool("test", tiny_config, trained / "epoch_2.pth", "--out", out)
    results = json.loads(out.read_text())
    rows = json.loads((trained / "probes.json").read_text())["rows"]
    assert len(rows) == 6
    for row in rows:
        assert results[row["start"]][row["probe"]] == pytest.approx(row["top1"])


def test_pretrained_backbone_is_where_training_starts(
    run_tool, trained, tiny_config, tmp_path, reads
):
    first = trained / "epoch_2.pth"
    options = ["--cfg-options", "optim_wrapper.optimizer.lr=0.0"]
    options += ["optim_wrapper.optimizer.weight_decay=0.0", "param_scheduler=None"]
    options += ["train_cfg.max_epochs=1"]
    run_tool(
        "train", tiny_config, "--work-dir", tmp_path, "--pretrained", first, *options
    )
    assert reads == ["epoch_2.pth"]
    name = "backbone.blocks.0.attention.qkv.conv.weight"
    assert torch.equal(weights(tmp_path, 1)[name], weights(trained, 2)[name])


def test_overwritten_pretrained_weights_are_detected(run_tool, tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    for name in ("pretrained", "other"):  # two random networks
        torch.save(build_eval_model(cfg).state_dict(), tmp_path / f"{name}.pth")
    options = ["--pretrained", tmp_path / "pretrained.pth"]
    options += ["--cfg-options", f"load_from={tmp_path / 'other.pth'}"]
    with pytest.raises(SystemExit, match=r"pretrained\.pth.*load_from"):
        run_tool("train", tiny_config, "--work-dir", tmp_path / "run", *options)
    assert not list(tmp_path.glob("run/*.pth"))


BASES = {
    "mmpretrain": "mmpretrain::resnet/resnet18_8xb16_cifar10.py",
    "mmdet": "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "mmseg": "mmseg::sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py",
}


@pytest.mark.parametrize("scope", BASES)
@pytest.mark.parametrize("strict", [True, False])
def test_pretrained_works_in_the_three_scopes(tmp_path, scope, strict):
    config, checkpoint = tmp_path / "config.py", tmp_path / "checkpoint.pth"
    config.write_text(f"_base_ = {BASES[scope]!r}\n")
    cfg = Config.fromfile(config)
    if not strict:
        cfg.merge_from_dict({"model.backbone.init_cfg.strict": False})
    launch.adjust(cfg, pretrained=str(checkpoint))
    expected = dict(checkpoint=str(checkpoint), strict=strict)
    assert cfg.model.backbone.init_cfg == {"type": "snnssl_mm.BackboneInit", **expected}
    check = {"type": "snnssl_mm.PretrainedCheckHook"}
    assert cfg.custom_hooks.count(check) == 1
    assert cfg.model.get("pretrained") is None
    assert cfg.model.backbone.get("pretrained") is None


def test_pretrained_without_a_backbone_is_named(tmp_path):
    config = tmp_path / "config.py"
    config.write_text("model = dict(type='SoftTeacher', detector=dict())\n")
    with pytest.raises(ValueError, match=r"SoftTeacher.*config\.py"):
        launch.adjust(Config.fromfile(config), pretrained="checkpoint.pth")


def test_amp_on_a_cpu_trains_in_bf16(run_tool, tiny_config, tmp_path, monkeypatch):
    from snnssl_mm.models.heads import TemporalLossHead

    types, loss = set(), TemporalLossHead.loss

    def recording_loss(self, z_a, z_b):
        types.add(z_a.dtype)
        return loss(self, z_a, z_b)

    monkeypatch.setattr(TemporalLossHead, "loss", recording_loss)
    short = ["--cfg-options", "train_cfg.max_epochs=1"]
    run_tool("train", tiny_config, "--work-dir", tmp_path, "--amp", *short)
    assert types == {torch.bfloat16}
    assert all(torch.isfinite(w).all() for w in weights(tmp_path, 1).values())


def test_without_labels_the_probes_are_off(run_tool, tiny_config, tmp_path):
    options = ["eval_train_dataloader=None", "eval_test_dataloader=None"]
    options += ["train_cfg.max_epochs=1"]
    run_tool("train", tiny_config, "--work-dir", tmp_path, "--cfg-options", *options)
    assert not (tmp_path / "probes.json").exists()
    assert weights(tmp_path, 1)


@pytest.mark.parametrize("flag", ["--resume", "--pretrained"])
def test_missing_checkpoint_is_named(run_tool, tiny_config, flag):
    with pytest.raises(SystemExit, match=r"^error: .*nowhere\.pth"):
        run_tool("train", tiny_config, flag, "nowhere.pth")


def test_checkpoint_that_fits_nothing_stops_before_training(
    run_tool, tiny_config, tmp_path
):
    other = tmp_path / "other.pth"
    torch.save({"state_dict": {"layer1.weight": torch.zeros(3)}}, other)
    with pytest.raises(SystemExit, match=r"^error: .*other\.pth.*Spikformer"):
        run_tool("train", tiny_config, "--work-dir", tmp_path, "--pretrained", other)
    assert not list(tmp_path.glob("epoch_*.pth"))


def test_too_few_images_for_a_batch(run_tool, tiny_config, tmp_path):
    options = ["train_dataloader.batch_size=65"]
    with pytest.raises(SystemExit, match=r"64 training images.* 65\b"):
        run_tool(
            "train", tiny_config, "--work-dir", tmp_path, "--cfg-options", *options
        )


@pytest.mark.slow
def test_mmpretrains_own_train_script_takes_the_config(tiny_config, tmp_path):
    """``mim train mmpretrain CONFIG`` runs it, in a process without our command.

    The workarounds are applied for machines whose torchvision does not import.
    """
    script = next(Path(p) for p in mmpretrain.__path__) / ".mim" / "tools" / "train.py"
    code = """if True:
    import runpy, sys
    from snnssl_mm import compat
    compat.apply()
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
    """
    command = [sys.executable, "-c", code, script, tiny_config, "--work-dir", tmp_path]
    subprocess.run([*map(str, command)], check=True, capture_output=True)
    assert weights(tmp_path, 2)


def test_persistent_workers_are_refused(run_tool, tiny_config, tmp_path):
    options = ["train_dataloader.num_workers=1"]
    options += ["train_dataloader.persistent_workers=True"]
    with pytest.raises(SystemExit, match="error: .*persistent_workers=False"):
        run_tool(
            "train", tiny_config, "--work-dir", tmp_path, "--cfg-options", *options
        )


def test_a_full_disk_ends_with_a_message_and_can_be_resumed(
    run_tool, tiny_config, tmp_path, monkeypatch
):
    written, real = [], os.fsync

    def fsync(descriptor):
        written.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        if sum(".pth." in name for name in written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    off = ["--cfg-options", "eval_train_dataloader=None", "eval_test_dataloader=None"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(SystemExit, match=r"No space left.*epoch_1\.pth"):
            run_tool("train", tiny_config, "--work-dir", tmp_path / "run", *off)
    assert [f.name for f in tmp_path.glob("run/*.pth")] == ["epoch_1.pth"]
    run_tool("train", tiny_config, "--work-dir", tmp_path / "run", "--resume", *off)
    assert (tmp_path / "run" / "epoch_2.pth").exists()


def test_too_little_disk_space_stops_before_training(
    run_tool, tiny_config, tmp_path, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(SystemExit, match=r"GiB.*--work-dir"):
        run_tool("train", tiny_config, "--work-dir", tmp_path)
    assert not list(tmp_path.glob("*.pth"))
