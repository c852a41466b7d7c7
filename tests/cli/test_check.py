"""snnssl check, and the checks that snnssl train shares with it."""

import pytest


def test_lines_and_status(run_tool, tiny_config, capsys):
    run_tool("check", tiny_config)
    lines = capsys.readouterr().out.splitlines()
    assert any("pre-flight: " in line and "loss" in line for line in lines)
    assert lines[-3].startswith("warning: param_scheduler[1].begin: ")
    assert lines[-1].endswith("0 errors, 2 warnings")
    tiny_config.write_text(tiny_config.read_text() + "\ncustom_hook = []\n")
    options = ["--cfg-options", "model.backbone.arch.num_heads=5"]
    with pytest.raises(SystemExit) as end:
        run_tool("check", tiny_config, "--no-data", *options)
    assert end.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("error: custom_hook: ")
    assert lines[1].startswith("error: model: ")
    assert lines[-1].endswith("2 errors, 2 warnings")


@pytest.mark.parametrize("tool", ["check", "train", "config"])
def test_options_for_a_misspelt_section_are_refused_by_every_tool(
    run_tool, tiny_config, tool
):
    options = ["--cfg-options", "own.a=1", "train_dataloder.batch_size=2"]
    with pytest.raises(SystemExit, match="train_dataloder.* train_dataloader "):
        run_tool(tool, tiny_config, *options)


@pytest.mark.parametrize("section", ["model", "train_dataloader", "optim_wrapper"])
def test_training_does_not_begin_without_a_section(run_tool, tiny_config, section):
    with pytest.raises(SystemExit, match=f"^error: .*{section}"):
        run_tool("train", tiny_config, "--cfg-options", f"{section}=None")


def test_two_checks_in_one_process_are_independent(task):
    from mmengine.config import Config

    from snnssl_mm.checks.config import check_config

    job = task("segmentation")
    for _ in range(2):
        problems = check_config(Config.fromfile(job.config))
        assert [p for p in problems if p.level == "error"] == []


def test_training_does_not_begin_with_a_wrong_name(run_tool, tiny_config, tmp_path):
    options = ["--cfg-options", "model.backbone.tiem_steps=4"]
    match = r"^error: model\.backbone\.tiem_steps: .*'time_steps'"
    with pytest.raises(SystemExit, match=match):
        run_tool("train", tiny_config, "--work-dir", tmp_path / "run", *options)
    assert not (tmp_path / "run").exists()
