"""snnssl test: every scope, strict loading, consistent numbers."""

import json

import pytest
import torch

METRICS = {
    "detection": "coco/bbox_mAP",
    "segmentation": "mIoU",
    "classification": "accuracy/top1",
}


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_those_of_the_runner(run_tool, task, name, tmp_path, capsys):
    job = task(name)
    out = tmp_path / "metrics.json"
    run_tool("test", job.config, job.checkpoint, "--work-dir", tmp_path, "--out", out)
    metrics = json.loads(out.read_text())
    assert METRICS[name] in metrics
    assert METRICS[name] in capsys.readouterr().out
    (log,) = tmp_path.glob("*/*.json")
    logged = json.loads(log.read_text().splitlines()[-1])
    assert metrics == {key: logged[key] for key in metrics}


def broken(kind, job, folder):
    """Write a file that is no checkpoint of this config's model."""
    file = folder / f"{kind}.pth"
    if kind == "text":
        file.write_text("epoch 12: loss 0.3\n" * 20)
    elif kind == "truncated":
        content = job.checkpoint.read_bytes()
        file.write_bytes(content[: len(content) // 2])
    else:
        state = torch.load(job.checkpoint)["state_dict"]
        name = "backbone.blocks.0.mlp.0.conv.weight"
        if kind == "missing":
            del state[name]
        elif kind == "left over":
            state["extra.weight"] = torch.zeros(1)
        else:
            state[name] = torch.zeros(5, 16, 1, 1)
        torch.save({"state_dict": state}, file)
    return file


@pytest.mark.parametrize(
    "kind", ["text", "truncated", "missing", "left over", "reshaped"]
)
def test_checkpoint_that_does_not_fit_is_refused(run_tool, task, tmp_path, kind):
    job = task("classification")
    file = broken(kind, job, tmp_path)
    with pytest.raises(SystemExit) as stop:
        run_tool("test", job.config, file, "--work-dir", tmp_path)
    assert str(stop.value).startswith("error: ")
    assert str(file) in str(stop.value)


def test_files_that_do_not_exist(run_tool, task):
    job = task("classification")
    with pytest.raises(SystemExit, match=r"nowhere\.pth"):
        run_tool("test", job.config, "nowhere.pth")
    with pytest.raises(SystemExit, match=r"nowhere\.py"):
        run_tool("test", "nowhere.py", job.checkpoint)


def test_other_weights_for_a_pretraining_are_refused(run_tool, task, tiny_config):
    job = task("classification")
    with pytest.raises(SystemExit, match="random.pth"):
        run_tool("test", tiny_config, job.checkpoint)
