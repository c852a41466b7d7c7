"""snnssl report: a report about a checkpoint, from the other commands' results."""

import pytest
import torch

from snnssl_mm.cli.shared import children

SECTIONS = (
    "Training",
    "Probes",
    "Time steps",
    "Firing rates",
    "Energy",
    "Representation health",
    "Spikes",
    "Attention and features",
    "Features in the plane",
    "Neighbours",
    "Detection and segmentation",
)


@pytest.mark.slow
def test_page_holds_every_section(run_tool, started, checkpoint, task, tmp_path):
    models = []
    for name in ("detection", "segmentation"):
        job = task(name)
        models.append(f"{name}={job.config},{job.checkpoint}")
    run_tool(
        *("report", checkpoint, "--time-steps", 4, "--out", tmp_path / "r"),
        *("--downstream", *models),
    )
    assert len(started) == 7
    page = (tmp_path / "r" / "report.html").read_text()
    text = (tmp_path / "r" / "report.md").read_text()
    for title in SECTIONS:
        assert f">{title}</h2>" in page
        assert f"## {title}\n" in text
    assert page.count("<img ") == text.count("![") >= 10
    assert "There is no training log" in text
    assert "µJ" in text


def test_downstream_config_of_another_task_is_refused_before_the_work(
    run_tool, started, checkpoint, tiny_config, tmp_path
):
    model = f"classifier={tiny_config},{checkpoint}"
    with pytest.raises(SystemExit, match=r"^error: "):
        run_tool("report", checkpoint, "--downstream", model, "--out", tmp_path / "r")
    assert started == []


def test_failure_of_a_command_is_that_of_the_report(
    run_tool, monkeypatch, checkpoint, tmp_path
):
    def run_child(*_, **__):
        raise children.ChildError("snnssl probe failed with exit code 1")

    monkeypatch.setattr(children, "run_child", run_child)
    with pytest.raises(SystemExit, match=r"error: snnssl probe failed"):
        run_tool("report", checkpoint, "--out", tmp_path / "r")


def test_config_is_required_without_one_next_to_the_checkpoint(
    run_tool, checkpoint, tmp_path
):
    alone = tmp_path / "alone" / "x.pth"
    alone.parent.mkdir()
    checkpoint.rename(alone)
    with pytest.raises(SystemExit, match=rf"^error: .*{alone}.*--config"):
        run_tool("report", alone)


def test_other_weights_are_refused_before_the_work(
    run_tool, started, tiny_config, tmp_path
):
    other = tmp_path / "other.pth"
    torch.save({"state_dict": {"layer1.weight": torch.zeros(3)}}, other)
    with pytest.raises(SystemExit, match=r"^error: .*other\.pth"):
        run_tool("report", other)
    assert started == []
