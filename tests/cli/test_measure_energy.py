"""snnssl measure energy: every scope, one results file, reproducible numbers."""

import csv
import json

import pytest
import torch
from mmengine.config import Config

from snnssl_mm.probing import build_eval_model

TOOL = "measure energy"


def rows_of(file):
    report = json.loads(file.read_text())
    assert report["what"] == "energy"
    return report["rows"]


def without_time(row):
    return {name: value for name, value in row.items() if name != "seconds"}


def test_everything_from_one_command(
    run_tool, tiny_config, checkpoint, tmp_path, capsys
):
    out, table = tmp_path / "energy.json", tmp_path / "energy.csv"
    text, picture = tmp_path / "energy.md", tmp_path / "energy.png"
    run_tool(
        TOOL, tiny_config, checkpoint, "--images", 4, "--out", out,
        "--csv", table, "--markdown", text, "--plot", picture,
    )  # fmt: skip
    (row,) = rows_of(out)
    printed = capsys.readouterr().out
    assert row["images"] == 4
    assert row["time_steps"] == 4
    assert row["sha256"] in text.read_text()
    model = build_eval_model(Config.fromfile(tiny_config))
    assert row["parameters"] == sum(p.numel() for p in model.backbone.parameters())
    assert row["flops"] == 2 * sum(layer["macs"] for layer in row["layers"])
    for layer in row["layers"]:
        assert layer["name"] in printed
        assert layer["name"] in text.read_text()
    assert "E = E_MAC * MACs + E_AC * SOPs" in printed
    with table.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(row["layers"])
    assert picture.stat().st_size > 10_000


def test_two_runs_give_the_same_numbers(run_tool, tiny_config, checkpoint, tmp_path):
    rows = []
    for name in ("a.json", "b.json"):
        run_tool(TOOL, tiny_config, checkpoint, "--images", 4, "--out", tmp_path / name)
        (row,) = rows_of(tmp_path / name)
        rows.append({**without_time(row), "command": ""})
    assert rows[0] == rows[1]


def test_what_is_there_is_shown_again_and_what_changed_is_measured(
    run_tool, tiny_config, checkpoint, tmp_path, capsys
):
    out = tmp_path / "energy.json"
    job = (TOOL, tiny_config, checkpoint, "--out", out)
    run_tool(*job, "--images", 4)
    first, printed = rows_of(out), capsys.readouterr().out.strip()
    run_tool(*job, "--images", 4)
    assert rows_of(out) == first
    again = capsys.readouterr().out.strip()
    assert again.endswith(printed)
    assert str(out) in again.removesuffix(printed), "not measured again, and said"
    run_tool(*job, "--images", 2)
    (row,) = rows_of(out)  # replaces the one of other images
    assert row["images"] == 2
    run_tool(
        *job, "--images", 2, "--cfg-options", "model.backbone.time_steps=2"
    )  # another network
    assert [row["time_steps"] for row in rows_of(out)] == [4, 2]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("detection", marks=pytest.mark.slow),
        "segmentation",
        "classification",
    ],
)
def test_downstream_models(run_tool, task, name, tmp_path, capsys):
    job, out = task(name), tmp_path / "energy.json"
    run_tool(TOOL, job.config, job.checkpoint, "--images", 2, "--out", out)
    (row,) = rows_of(out)
    model = build_eval_model(Config.fromfile(job.config))
    assert row["parameters"] == sum(p.numel() for p in model.parameters())
    assert {layer["part"] for layer in row["layers"]} > {"backbone"}
    assert len({total["backbone_ratio"] for total in row["totals"]}) > 1
    for total in row["totals"]:
        assert 0 < total["energy_pj"] / total["non_spiking_pj"] == total["ratio"]
    assert "head" in capsys.readouterr().out


def test_integer_network_is_measured_as_binary_spikes(
    run_tool, tiny_config, checkpoint, tmp_path
):
    arch = dict(embed_dims=(8, 8, 16, 16), depths=(1, 1))
    backbone = dict(_delete_=True, type="snnssl_mm.ESpikeFormer", arch=arch)
    config, file = tmp_path / "integers.py", tmp_path / "integers.pth"
    model = dict(backbone=backbone, neck=dict(in_channels=16))
    config.write_text(f"_base_ = {str(tiny_config)!r}\nmodel = {model!r}\n")
    torch.save(build_eval_model(Config.fromfile(config)).state_dict(), file)
    job = (TOOL, config, file, "--images", 2, "--out", tmp_path / "energy.json")
    run_tool(*job)
    run_tool(*job, "--expand")
    integers, spikes = rows_of(tmp_path / "energy.json")
    assert spikes["expanded"]
    assert spikes["time_steps"] == 4 * integers["time_steps"]
    with pytest.raises(SystemExit, match="^error: .*MixedLIF"):
        run_tool(TOOL, tiny_config, checkpoint, "--expand", *job[3:])


def test_heads_without_weights_are_announced(run_tool, task, tmp_path):
    job, file = task("segmentation"), tmp_path / "backbone.pth"
    state = torch.load(job.checkpoint)["state_dict"]
    backbone = {k: v for k, v in state.items() if k.startswith("backbone.")}
    torch.save({"state_dict": backbone}, file)
    where = ("--images", 1, "--out", tmp_path / "energy.json")
    with pytest.warns(UserWarning, match=r"backbone\.pth"):
        run_tool(TOOL, job.config, file, *where)


def test_bad_input_is_refused(run_tool, tiny_config, checkpoint, tmp_path):
    job = (TOOL, tiny_config, checkpoint)
    with pytest.raises(SystemExit, match="^2$"):
        run_tool(*job, "--images", 0, "--out", tmp_path / "energy.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"^error: .*file/energy\.json"):
        run_tool(*job, "--out", tmp_path / "file" / "energy.json")
    for option in ("--csv", "--markdown"):
        with pytest.raises(SystemExit, match=rf"^error: .*{tmp_path}"):
            run_tool(*job, "--out", tmp_path / "energy.json", option, tmp_path)
    other = tmp_path / "probes.json"
    other.write_text('{"what": "probes", "machine": "", "rows": []}')
    with pytest.raises(SystemExit, match=r"^error: .*probes\.json.*\benergy\b"):
        run_tool(*job, "--out", other)
    mismatch = tmp_path / "mismatch.pth"
    torch.save({"state_dict": {"layer1.weight": torch.zeros(3)}}, mismatch)
    with pytest.raises(SystemExit, match=r"^error: .*mismatch\.pth"):
        run_tool(TOOL, tiny_config, mismatch, "--out", tmp_path / "energy.json")
    assert not (tmp_path / "energy.json").exists(), "refused before the work"


def test_config_without_images_is_refused(run_tool, tiny_config, checkpoint, tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.eval_test_dataloader = None
    file = tmp_path / "without.py"
    cfg.dump(file)
    with pytest.raises(SystemExit, match=r"^error: .*images"):
        run_tool(TOOL, file, checkpoint, "--out", tmp_path / "energy.json")


def test_model_without_a_backbone_is_refused(
    run_tool, tiny_config, tmp_path, monkeypatch
):
    """The checkpoint is complete, but its model has no backbone."""
    from mmengine.model import BaseModel
    from mmengine.registry import MODELS

    class NoBackbone(BaseModel):
        def __init__(self, data_preprocessor=None):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def forward(self, inputs, data_samples=None, mode="tensor"):
            return inputs

    monkeypatch.setitem(MODELS._module_dict, "NoBackbone", NoBackbone)
    cfg = Config.fromfile(tiny_config)
    cfg.model = dict(type="mmengine.NoBackbone")
    file, checkpoint = tmp_path / "without.py", tmp_path / "linear.pth"
    cfg.dump(file)
    torch.save({"state_dict": NoBackbone().state_dict()}, checkpoint)
    with pytest.raises(SystemExit, match=r"^error: .*NoBackbone.*backbone"):
        run_tool(TOOL, file, checkpoint, "--out", tmp_path / "energy.json")
