"""The GPU script on a CPU: every part runs, and what is there is not measured again."""

import itertools
import json
import subprocess
import tarfile
from functools import partial
from pathlib import Path

import gpu_anatomy
import pytest
import torch
from gpu_parts import correctness, graphs, pretraining, variants
from gpu_parts.context import Context
from gpu_parts.predictions import PREDICTIONS, compared
from mmengine.config import Config
from results_tables import markdown
from rows.training_step import step

from snnssl_mm.checkpoints.loading import read_checkpoint
from snnssl_mm.models import attention, backbone, layers
from snnssl_mm.neurons import MixedNeuron
from snnssl_mm.recording.results_file import ResultsFile


@pytest.fixture
def context(tmp_path):
    return Context("cpu", True, tmp_path)


def results_in(folder):
    return ResultsFile(folder / "anatomy.json", gpu_anatomy.WHAT, ("part",))


def numbers(value):
    if isinstance(value, dict):
        return [n for inner in value.values() for n in numbers(inner)]
    return [value] if isinstance(value, (int, float)) else []


@pytest.mark.parametrize(
    ("part", "most"),
    [
        ("ceilings", None),
        ("host", None),
        ("steps", 1),
        ("variants", 2),
        ("kernels", 5),
        ("convolutions", None),
        ("small batches", None),
    ],
)
def test_part_runs_on_a_cpu(part, most, context, tmp_path):
    jobs = itertools.islice(gpu_anatomy.jobs_of(part, context), most)
    row = gpu_anatomy.run_part(part, jobs, results_in(tmp_path), float("inf"))
    assert not any(map(gpu_anatomy.failed, row["results"].values()))
    assert row["results"]
    assert row["left_out"] == []
    for job, value in row["results"].items():
        assert all(number >= 0 for number in numbers(value)), job
        assert numbers(value) or job == "versions"


def test_every_prediction_is_of_a_measurement():
    context = Context("cpu", False, Path())
    names = {
        part: [name for name, _ in gpu_anatomy.jobs_of(part, context)]
        for part in {prediction.part for prediction in PREDICTIONS}
    }
    for prediction in PREDICTIONS:
        assert prediction.job in names[prediction.part]


def test_predictions_come_first_and_stay(tmp_path):
    results = results_in(tmp_path)
    gpu_anatomy.predict(results)
    gpu_anatomy.run_part(
        "ceilings", iter([("copy", lambda: {"TB_s": 2.5})]), results, float("inf")
    )
    gpu_anatomy.predict(results)
    assert [row["part"] for row in results.rows] == ["predictions", "ceilings"]
    first, *others = compared(results.rows)
    assert (first["expected"], first["measured"]) == (3.0, 2.5)
    assert all(found["measured"] is None for found in others)
    text = markdown(tmp_path / "anatomy.json")
    assert "| 3 | 2.5 |" in text
    assert "| copy | 2.5 |" in text


def test_a_part_continues_repeats_failures_and_ends_in_time(tmp_path):
    ran = []

    def job(name, fails=False):
        ran.append(name)
        if fails:
            raise RuntimeError("out of memory")
        return {"ms": 1.0}

    clock = iter(range(100)).__next__
    jobs = [(name, partial(job, name, name == "b")) for name in "abc"]
    # The clock is read three times for each measurement.
    row = gpu_anatomy.run_part("steps", iter(jobs), results_in(tmp_path), 5, clock)
    assert ran == ["a", "b"]
    assert row["left_out"] == ["c"]
    assert gpu_anatomy.failed(row["results"]["b"])
    jobs[1] = ("b", partial(job, "b"))
    again = results_in(tmp_path)
    row = gpu_anatomy.run_part("steps", iter(jobs), again, float("inf"), clock)
    assert ran == ["a", "b", "b", "c"]
    assert row["results"] == {name: {"ms": 1.0} for name in "abc"}
    assert row["left_out"] == []
    assert not list(tmp_path.glob("*.part"))


def switches():
    return (
        *(backbone.channels_last, layers.is_idle_bias, MixedNeuron.fuses_norm),
        *(attention.multiplies_bf16, torch.backends.cudnn.benchmark),
    )


@pytest.mark.parametrize("name", variants.VARIANTS)
def test_variants_compute_the_same_step(name, context, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    size = context.steps()["tiny, fp32"]
    variant = variants.VARIANTS[name]
    options = {k: v for k, v in variant.options.items() if k != "capturable"}
    before = switches()
    with variant.change():
        loss = step("dual", size, **options)()
        assert (switches() != before) == isinstance(variant.change, partial)
    assert switches() == before
    torch.testing.assert_close(loss, step("dual", size)(), rtol=1e-3, atol=0)


def test_captured_run_is_repeated_on_a_cpu():
    calls = itertools.count()
    replay = graphs.captured(lambda: next(calls), "cpu", number=4)
    assert replay() == 6  # three to warm up, then four
    assert replay() == 10


def test_graph_holds_the_runs_after_the_warm_up(monkeypatch):
    class Recorder:
        def capture(self, step):
            result = step()
            return lambda: result

    monkeypatch.setattr(graphs, "CUDAGraphs", Recorder)
    calls = itertools.count()
    replay = graphs.captured(lambda: next(calls), "cuda", number=4)
    assert replay() == replay() == 6  # three to warm up, then four
    assert next(calls) == 7


def test_graph_and_eager_steps_agree(context):
    found = correctness.graph_against_eager(context)
    assert found["relative_difference"] == 0


def test_outcome_of_the_tests_is_counted():
    found = correctness.outcome(0, "...\n12 passed, 3 skipped, 7 deselected in 2.1s\n")
    assert found == {"exit_code": 0, "passed": 12, "skipped": 3, "deselected": 7}
    found = correctness.outcome(1, "E wrong\n1 failed, 2 passed in 2.1s")
    assert (found["failed"], found["passed"]) == (1, 2)
    assert found["output"].startswith("E wrong")


def test_epochs_fill_the_time():
    fit = pretraining.epochs_within
    assert fit(60, 0.07) == 0
    epochs = fit(400, 0.07)
    assert epochs > 10
    assert fit(400, 0.035) > epochs
    assert fit(800, 0.07) > 2 * epochs
    used = pretraining.PROBE_S + pretraining.START_S + pretraining.EPOCH_S * epochs
    used += pretraining.ITERATIONS * 0.07 * pretraining.MIX * epochs
    assert 0.7 * 400 < used < 400


@pytest.mark.parametrize("base", [pretraining.CONFIG, pretraining.DRY_CONFIG])
def test_config_has_the_schedule_and_the_images(base, tmp_path):
    file = tmp_path / "config.py"
    file.write_text(pretraining.config_text(base, 12, Path("some/images"), 3))
    cfg = Config.fromfile(file)
    assert cfg.train_cfg.max_epochs == 12
    assert [s.end for s in cfg.param_scheduler] == [1, 12]
    for name in ("train", "eval_train", "eval_test"):
        loader = cfg[f"{name}_dataloader"]
        assert loader.dataset.data_root == "some/images"
        assert loader.num_workers == 3
    assert cfg.default_hooks.knn is None
    assert cfg.default_hooks.path_schedule.stages


def test_images_may_be_a_folder_or_a_tar_file(tmp_path):
    image = tmp_path / "cifar" / "train" / "cat" / "1.jpg"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"image")
    with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "cifar", "cifar")
    given = pretraining.image_folder(tmp_path / "cifar", tmp_path)
    assert given == tmp_path / "cifar"
    found = pretraining.image_folder(tmp_path / "cifar.tar.gz", tmp_path / "out")
    assert (found / "train" / "cat" / "1.jpg").read_bytes() == b"image"
    with pytest.raises(ValueError, match="--images"):
        pretraining.image_folder(tmp_path / "absent", tmp_path)


def test_large_file_is_split_into_pieces(tmp_path):
    file = tmp_path / "net.pth"
    content = bytes(range(256)) * 10
    file.write_bytes(content)
    assert pretraining.pieces(file, 1) == [file]
    parts = pretraining.pieces(file, 1000 / 2**20)
    assert b"".join(part.read_bytes() for part in parts) == content
    assert len(parts) == 3
    assert not file.exists()


@pytest.mark.parametrize("finishes", [True, False])
def test_pretraining_brings_back_weights_and_probes(finishes, context, monkeypatch):
    commands = []

    def run(command, timeout, stdout, **_):
        *_, kind = itertools.takewhile(lambda word: word != str(command[4]), command)
        commands.append(kind)
        if kind == "train":
            folder = Path(command[command.index("--work-dir") + 1])
            folder.mkdir()
            state = {"backbone.weight": torch.ones(2)}
            torch.save({"state_dict": state, "meta": {}}, folder / "epoch_1.pth")
            (folder / "last_checkpoint").write_text(str(folder / "epoch_1.pth"))
            if not finishes:
                raise subprocess.TimeoutExpired(command, timeout)
        else:
            rows = [{"probe": "knn", "start": "pretrained", "top1": 0.5}]
            out = Path(command[command.index("--out") + 1])
            out.write_text(json.dumps({"rows": rows}))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(pretraining.subprocess, "run", run)
    found = pretraining.pretrain(context)
    assert commands == ["train", "probe"]
    assert found["finished"] is finishes
    assert found["top1"] == {"knn, pretrained": 0.5}
    (file,) = found["files"]
    assert "backbone.weight" in read_checkpoint(context.folder / file)["state_dict"]


def test_pretraining_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match="--images"):
        pretraining.pretrain(Context("cpu", False, tmp_path))


def test_command_writes_and_continues_a_file(tmp_path, run_benchmark):
    arguments = ("--dry", "--parts", "ceilings", "--out", tmp_path)
    run_benchmark("gpu_anatomy.py", *arguments)
    file = tmp_path / "gpu_anatomy_dry.json"
    before = json.loads(file.read_text())
    assert [row["part"] for row in before["rows"]] == ["predictions", "ceilings"]
    run_benchmark("gpu_anatomy.py", *arguments)
    after = json.loads(file.read_text())
    assert after["rows"][-1]["results"] == before["rows"][-1]["results"]
    before["machine"]["processor"] = "another"
    file.write_text(json.dumps(before))
    with pytest.raises(SystemExit, match="--out"):
        run_benchmark("gpu_anatomy.py", *arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_command_needs_a_gpu_unless_dry(tmp_path, run_benchmark):
    with pytest.raises(SystemExit, match="--dry"):
        run_benchmark("gpu_anatomy.py", "--out", tmp_path)
