"""snnssl probe: rows with provenance, continuation, bad input refused."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from snnssl_mm import probing as probes
from snnssl_mm.probing.trained_probes import TrainedProbe

SHORT = ["--cfg-options", "probes.semi-1pct.iterations=2"]


@pytest.fixture
def checkpoint(tiny_config, tmp_path):
    """Weights of another seed than the config's."""
    cfg = Config.fromfile(tiny_config)
    cfg.randomness = dict(seed=5)
    file = tmp_path / "pretrained.pth"
    model = probes.random_init_model(cfg)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, file)
    return file


@pytest.fixture
def probe(run_tool, tiny_config, checkpoint, tmp_path):
    """Run the command; return the rows of its file."""

    def run(*arguments, config=tiny_config, file=checkpoint):
        out = ("--out", tmp_path / "probe_results.json")
        run_tool("probe", config, file, *out, *arguments)
        return json.loads((tmp_path / "probe_results.json").read_text())["rows"]

    return run


def test_rows_hold_numbers_of_the_library_and_where_they_are_from(
    probe, tiny_config, checkpoint, tmp_path, capsys
):
    rows = probe("--k", "3", "20", "--temperature", "0.1", "--start", "pretrained")
    assert [row["probe"] for row in rows] == ["knn", "knn", "linear"]
    cfg = Config.fromfile(tiny_config)
    features = probes.labelled_features(
        probes.load_trained_model(cfg, str(checkpoint)), probes.eval_loaders(cfg)
    )
    expected = [probes.knn_accuracy(features, k, 0.1) for k in (3, 20)]
    expected.append(probes.linear_accuracy(features))
    assert [row["top1"] for row in rows] == expected
    row = rows[0]
    assert row["config"] == str(tiny_config)
    assert row["checkpoint"] == str(checkpoint)
    assert len(row["sha256"]) == 12
    assert (row["seed"], row["train_images"], row["test_images"]) == (0, 64, 32)
    assert row["settings"] == {"k": 3, "temperature": 0.1, "recalibrated": True}
    assert row["seconds"] > 0
    assert row["command"].startswith("snnssl probe ")
    assert f"{100 * expected[2]:.1f}" in capsys.readouterr().out


def test_every_start_has_rows_and_nothing_is_computed_twice(probe, monkeypatch, capsys):
    arguments = ("--probes", "knn", "semi-1pct", "--start", "pretrained", "random")
    rows = probe(*arguments, *SHORT)
    assert [(row["start"], row["probe"]) for row in rows] == [
        ("pretrained", "knn"),
        ("pretrained", "semi-1pct"),
        ("random", "knn"),
        ("random", "semi-1pct"),
    ]
    assert [row["sha256"] is None for row in rows] == [False, False, True, True]
    assert [row["train_images"] for row in rows] == [64, 10, 64, 10]
    assert rows[1]["settings"]["iterations"] == 2
    monkeypatch.setattr(TrainedProbe, "run", None)
    assert probe(*arguments, *SHORT) == rows
    assert capsys.readouterr().out.count("already") == 4


@pytest.mark.slow
def test_another_seed_or_other_options_make_another_row(probe):
    probe("--probes", "knn")
    probe("--probes", "knn", "--seed", "1")
    probe("--probes", "knn", "--no-recalibrate")
    rows = probe("--probes", "knn", "--cfg-options", "model.backbone.time_steps=2")
    assert [row["seed"] for row in rows] == [0, 1, 0, 0]
    assert [row["settings"]["recalibrated"] for row in rows] == [1, 1, 0, 1]
    assert rows[3]["options"] == {"model.backbone.time_steps": 2}


@pytest.mark.slow
def test_a_stopped_probe_says_so_and_keeps_its_rows(probe, monkeypatch):
    def stop(self):
        raise KeyboardInterrupt

    arguments = ("--probes", "knn", "semi-1pct", *SHORT)
    with monkeypatch.context() as patch:
        patch.setattr(TrainedProbe, "run", stop)
        with pytest.raises(SystemExit) as ended:
            probe(*arguments)
    assert ended.value.code == 130
    rows = probe("--probes", "knn", *SHORT)
    assert [row["probe"] for row in rows] == ["knn"]
    assert [row["probe"] for row in probe(*arguments)] == ["knn", "semi-1pct"]


def test_the_terminal_shows_bars_and_no_log(probe, capfd):
    probe("--probes", "semi-1pct", *SHORT)
    shown = capfd.readouterr().out
    for bar in ("training", "test"):
        assert f"pretrained: {bar}" in shown
    assert "2/2" in shown
    assert "Epoch(train)" not in shown
    assert len(shown.splitlines()) < 20


def pets(root, test=("cat", "dog"), labels=None):
    for split, names in (("train", ("cat", "dog")), ("test", test)):
        for index, name in enumerate(names):
            file = root / split / name / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            image = np.full((16, 16, 3), 200 * index, np.uint8)
            cv2.imwrite(str(file), image)
        if labels is not None:
            (root / f"{split}.txt").write_text("\n".join(labels))
    return root


def test_a_labelled_folder_is_probed(probe, tmp_path):
    root = pets(tmp_path / "pets", labels=["b", "a"])
    (row,) = probe("--probes", "linear", "--data", root)
    assert (row["data"], row["classes"], row["train_images"]) == (str(root), 2, 2)


@pytest.fixture
def refused(probe, tmp_path, capsys):
    """Run the command, which must stop before it computes; return its message."""

    def run(*arguments, **options):
        with pytest.raises(SystemExit) as stop:
            probe(*arguments, **options)
        assert not (tmp_path / "probe_results.json").exists()
        assert not list(tmp_path.glob("features/*"))
        return f"{stop.value} {capsys.readouterr().err}"

    return run


def test_a_checkpoint_without_a_backbone_is_refused(refused, tmp_path):
    file = tmp_path / "head.pth"
    torch.save({"state_dict": {"head.weight": torch.zeros(3)}}, file)
    message = refused(file=file)
    assert f"error: {file} " in message
    assert "Spikformer" in message


def test_a_config_without_a_backbone_is_refused(refused, tmp_path):
    file = tmp_path / "data.py"
    file.write_text("eval_train_dataloader = dict()\n")
    assert str(file) in refused(config=file)


def test_a_url_is_refused(refused):
    message = refused(file="https://example.org/model.pth")
    assert "https://example.org/model.pth" in message


def edited(tiny_config, **entries):
    cfg = Config.fromfile(tiny_config)
    for name, value in entries.items():
        cfg[name] = value
    cfg.dump(tiny_config)


def test_images_without_labels_are_refused(refused, tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    loader = cfg.eval_train_dataloader
    loader.dataset = dict(
        type="snnssl_mm.ImageFolder",
        data_root=str(pets(tmp_path / "pets")),
        with_label=False,
    )
    edited(tiny_config, eval_train_dataloader=loader)
    assert "label" in refused()


def test_training_without_augmentation_is_refused(refused, tiny_config):
    edited(tiny_config, labelled_pipeline=None)
    message = refused("--probes", "knn", "finetune")
    assert "labelled_pipeline" in message


@pytest.mark.parametrize(
    ("lines", "values"),
    [
        (["a", "b", "a"], ("3 lines", "2 images")),
        (["", "b"], ("Line 1 ",)),
    ],
)
def test_label_files_that_do_not_fit_are_refused(refused, tmp_path, lines, values):
    message = refused("--data", pets(tmp_path / "pets", labels=lines))
    assert all(value in message for value in values)


def test_a_label_file_that_is_missing_is_named(refused, tmp_path):
    root = pets(tmp_path / "pets", labels=["a", "b"])
    (root / "train.txt").unlink()
    assert "train.txt" in refused("--data", root)


def test_different_classes_are_refused(refused, tmp_path):
    root = pets(tmp_path / "pets", test=("cat", "fox"))
    assert "fox" in refused("--data", root)


def test_a_single_class_is_refused(refused, tmp_path):
    root = pets(tmp_path / "pets", labels=["a", "a"])
    assert "class" in refused("--data", root)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--k", "0"), ("--k", "2.5"), ("--temperature", "-0.1"), ("--temperature", "nan")],
)
def test_settings_out_of_range_are_refused(refused, option, value):
    message = refused(option, value)
    assert option in message
    assert f"got {value}" in message


@pytest.mark.parametrize("option", ["--out", "--cache"])
def test_outputs_that_cannot_be_written_are_refused(refused, tmp_path, option):
    (tmp_path / "file").write_text("in the way")
    message = refused(option, tmp_path / "file" / "rows.json")
    assert str(tmp_path / "file") in message
