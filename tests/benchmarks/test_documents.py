"""README and docs: tables come from the results files, the README's code runs."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, VISUALIZERS, init_default_scope
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def test_tables_are_those_of_the_results_files(run_benchmark):
    run_benchmark("update_readme.py", "--check")


def test_changed_numbers_are_noticed(run_benchmark, monkeypatch):
    changed = re.sub(r"(\| pretrained \| )\d+", r"\g<1>99", README)
    assert changed != README
    monkeypatch.setattr(Path, "read_text", read_with(changed, Path.read_text))
    with pytest.raises(SystemExit, match=r"README\.md"):
        run_benchmark("update_readme.py", "--check")


def read_with(changed, read_text):
    return lambda path, *a: changed if path.name == "README.md" else read_text(path, *a)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_it_names_exist(page):
    named = re.findall(
        r"(?:configs|docs|tools|benchmarks|tests)/[\w/.-]+\.(?:py|json|png|md|sh)",
        page.read_text(),
    )
    assert len(named) > 1
    assert [name for name in set(named) if not (ROOT / name).exists()] == []


def test_library_example_runs():
    (code,) = re.findall(r"```python\n(import torch.*?)```", README, re.DOTALL)
    namespace = {}
    exec(code, namespace)
    assert namespace["spikes"].unique().tolist() in ([0.0], [1.0], [0.0, 1.0])
    assert namespace["loss"] > 0


def test_model_zoo_example_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(from snnssl_mm.apis.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("my_images").mkdir()
    for index in range(2):
        image = np.full((20, 30 + index, 3), 80 * index, np.uint8)
        cv2.imwrite(f"my_images/{index}.png", image)
    namespace = {}
    exec(code, namespace)
    assert namespace["features"].shape == (2, 64)
    assert len(namespace["spikes"]) == 10


@pytest.fixture
def examples(tmp_path):
    """The configs that the README shows."""
    configs = []
    for code in re.findall(r"```python\n(_base_.*?)```", README, re.DOTALL):
        file = tmp_path / f"mine{len(configs)}.py"
        file.write_text(code.replace("configs/", f"{ROOT}/configs/"))
        configs.append(Config.fromfile(file))
    return configs


def test_own_images_example_inherits(examples):
    names = [cfg.train_dataloader.dataset.get("data_root") for cfg in examples]
    assert examples[names.index("my_images")].eval_train_dataloader is None


def test_tensorboard_example_writes_what_tensorboard_reads(examples, tmp_path):
    (cfg,) = (cfg for cfg in examples if len(cfg.visualizer.vis_backends) == 2)
    init_default_scope(cfg.default_scope)
    settings = dict(cfg.visualizer, save_dir=str(tmp_path), name="tensorboard")
    visualizer = VISUALIZERS.build(settings)
    visualizer.add_scalars({"firing_rate/stem.stages.0": 0.25}, step=3)
    visualizer.close()
    events = EventAccumulator(str(tmp_path / "vis_data")).Reload()
    (scalar,) = events.Scalars("firing_rate/stem.stages.0")
    assert (scalar.step, scalar.value) == (3, 0.25)


def test_own_detector_example_fits_together(examples):
    (cfg,) = (cfg for cfg in examples if cfg.default_scope == "mmdet")
    init_default_scope("mmdet")
    model = MODELS.build(cfg.model)
    with torch.no_grad():
        maps = model.extract_feat(torch.zeros(1, 3, 64, 64))
    assert [m.shape[-1] for m in maps] == [16, 8, 4, 2, 1]
