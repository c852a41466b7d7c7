"""Projects: configs that compose, whatever the labels, and fit the time."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.probing.labelled_images import class_count, eval_loaders
from snnssl_mm.projects import measure, new_project
from snnssl_mm.projects.new import quiet, seen_from
from snnssl_mm.projects.plan import Machine, first_plan, fit, minutes_for
from snnssl_mm.projects.survey import survey


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Write a project without measuring; return its configs by name."""

    def write(root, labels=None, seconds=0.5, **options):
        monkeypatch.setattr(measure, "step_seconds", lambda file: seconds)
        said = []
        new_project(root, tmp_path / "project", labels, say=said.append, **options)
        files = (tmp_path / "project").glob("*.py")
        return {file.stem: Config.fromfile(file) for file in files}

    return write


def test_without_labels_there_is_pretraining_only(project, photos, tmp_path):
    configs = project(photos())
    assert set(configs) == {"common", "pretrain"}
    assert configs["pretrain"].eval_train_dataloader is None
    assert "--data FOLDER" in (tmp_path / "project" / "README.md").read_text()


@pytest.mark.parametrize(
    ("minutes", "words"), [(0.01, "1 epoch of 21 iter"), (1, "3 epochs of 21 iter")]
)
def test_lengths_agree_in_number(project, photos, tmp_path, minutes, words):
    project(photos(), minutes=minutes)
    assert f"# {words}" in (tmp_path / "project" / "pretrain.py").read_text()


def test_warnings_of_libraries_are_not_shown(recwarn):
    with quiet():
        warnings.warn("avg_non_ignore", UserWarning, stacklevel=1)
    assert not recwarn.list


def test_the_last_commands_draw_predictions(project, photos, coco_file, tmp_path):
    root = photos("my photos")
    project(root, coco_file(root, outlines=True))
    text = (tmp_path / "project" / "README.md").read_text()
    commands = text.split("```")[1].splitlines()
    assert [line.split()[:3] for line in commands[-2:]] == [
        ["snnssl", "infer", "detect.py"],
        ["snnssl", "infer", "segment.py"],
    ]
    assert "'../my photos' --out drawn/detect" in commands[-2]


def test_images_beside_a_project_are_named_from_it(tmp_path):
    project = tmp_path / "a" / "project"
    assert seen_from(project, tmp_path / "a" / "photos") == "../photos"
    assert seen_from(project, tmp_path / "photos") == str(tmp_path / "photos")


def test_labels_without_a_probe_are_not_denied(project, photos, tmp_path):
    root = photos()
    (tmp_path / "masks").mkdir()
    for file in root.iterdir():
        Image.open(file).convert("L").point(lambda v: v > 99).save(
            tmp_path / "masks" / file.name
        )
    project(root, tmp_path / "masks")
    text = (tmp_path / "project" / "README.md").read_text()
    assert "These labels allow no probe" in text
    assert "There are no labels" not in text


def test_the_time_for_enough_iterations_is_said(photos, coco_file):
    root = photos()
    plan = first_plan(survey(root, coco_file(root)), Machine(2))
    seconds = {"pretrain": 30.0, "detect": 1.0}
    fit(plan, seconds, 5)
    minutes = minutes_for(plan, "pretrain", 200)
    for given, enough in ((minutes - 1, False), (minutes + 1, True)):
        fit(plan, seconds, given)
        training = plan.lengths["pretrain"]
        assert (training.epochs * training.iterations >= 200) == enough


def test_everything_shares_backbone_and_preprocessing(project, photos, coco_file):
    root = photos()
    configs = project(root, coco_file(root, outlines=True))
    assert set(configs) == {"common", "pretrain", "probe", "detect", "segment"}
    common = configs["common"]
    for name in ("pretrain", "detect", "segment"):
        model = configs[name].model
        shared = {key: model.backbone[key] for key in common.backbone}
        assert shared == common.backbone
        pixels = model.get("data_preprocessor") or configs[name].data_preprocessor
        assert [pixels.mean, pixels.std] == [common.pixels.mean, common.pixels.std]
        assert pixels.get("to_rgb") or pixels.get("bgr_to_rgb")


def test_every_config_trains(project, photos, coco_file, tmp_path, monkeypatch):
    """One step each, as the measurement takes it, after the folder was moved."""
    step_seconds = measure.step_seconds
    root = photos()
    names = set(project(root, coco_file(root, outlines=True))) - {"common", "probe"}
    (tmp_path / "project").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    for name in names:
        assert step_seconds(tmp_path / "moved" / f"{name}.py", steps=0) > 0


def test_objects_are_cut_out_for_the_probe(project, photos, coco_file):
    root = photos()
    cfg = project(root, coco_file(root))["probe"]
    loaders = eval_loaders(cfg)
    assert class_count(loaders) == 2
    assert [len(loader.dataset) for loader in loaders] == [20, 4]
    (inputs,) = {sample.shape for sample in next(iter(loaders.test))["inputs"]}
    assert inputs[1:] == (cfg.view[0].scale,) * 2


def test_classes_are_probed(project, photos):
    root = photos(folder="a cat", count=10)
    photos(folder="dog", count=10)
    loaders = eval_loaders(project(root)["probe"])
    assert class_count(loaders) == 2
    assert [len(loader.dataset) for loader in loaders] == [16, 4]
    labels = [loaders.train.dataset.get_data_info(i) for i in range(16)]
    assert all(("cat" in row["img_path"]) == (row["gt_label"] == 0) for row in labels)


def test_rare_classes_of_masks_count_more(project, photos, tmp_path):
    root = photos()
    pixels = np.zeros((32, 40), np.uint8)
    pixels[:4, :4] = 255
    (tmp_path / "masks").mkdir()
    for index in range(12):
        Image.fromarray(pixels).save(tmp_path / "masks" / f"{index:02d}.png")
    head = project(root, tmp_path / "masks")["segment"].model.decode_head
    common, rare = head.loss_decode.class_weight
    assert head.num_classes == 2
    assert rare / common == pytest.approx((1264 / 16) ** 0.5, rel=0.1)


def test_small_sets_have_long_epochs_and_lines_that_come_often(project, photos):
    cfg = project(photos(), seconds=1.0)["pretrain"]
    loader = cfg.train_dataloader
    iterations = loader.dataset.times * 12 // loader.batch_size
    assert iterations >= 20
    assert cfg.default_hooks.logger.interval * 1.0 <= 30
    assert cfg.default_hooks.logger.interval <= iterations


@pytest.mark.parametrize("minutes", [5, 40, 200])
def test_the_time_is_kept(photos, coco_file, minutes):
    root = photos(size=(640, 480))
    plan = first_plan(survey(root, coco_file(root)), Machine(2))
    fit(plan, {"pretrain": 1.6, "detect": 0.5}, minutes)
    assert sum(training.minutes for training in plan.lengths.values()) <= minutes


def test_larger_machines_get_larger_networks(photos):
    found = survey(photos(size=(640, 480)))
    small, large = (first_plan(found, Machine(8, gpu)) for gpu in (0, 40 * 10**9))
    assert small.crop < large.crop
    assert small.channels < large.channels
    assert (small.stem, large.stem) == ("imagenet", "imagenet")
    assert first_plan(survey(photos("tiny")), Machine(8)).stem == "cifar"


@pytest.mark.parametrize("size", [33, 4])
def test_sizes_that_the_stem_cannot_take_are_refused(photos, size):
    with pytest.raises(ValueError, match=f"--size {size}"):
        first_plan(survey(photos()), Machine(2), size)


def test_too_few_images_are_refused(photos):
    with pytest.raises(ValueError, match=r"\b3\b.*\b8\b"):
        first_plan(survey(photos(count=3)), Machine(2))


@pytest.mark.parametrize("name", ["thesis.tex", "common.py"])
def test_other_peoples_folders_are_left_alone(project, photos, tmp_path, name):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / name).touch()
    with pytest.raises(FileExistsError):
        project(photos())


def test_a_project_does_not_mix_with_its_images_and_labels(
    project, photos, coco_file, tmp_path
):
    root = photos()
    with pytest.raises(ValueError, match="--out"):
        new_project(root, root / "work_dirs" / "project")
    project(root, coco_file(root))
    with pytest.raises(ValueError, match="train.json.*--out"):
        project(root, tmp_path / "project" / "train.json")


def test_a_project_that_is_written_again_keeps_nothing_of_the_former(
    project, photos, coco_file, tmp_path
):
    root = photos()
    project(root, coco_file(root))
    classes = [dict(id=3, name="a"), dict(id=7, name="b")]
    project(root, coco_file(root, categories=classes))
    names = {path.name for path in tmp_path.glob("project/objects/*/*")}
    assert names == {"a", "b"}
    for file in (tmp_path / "photos").glob("*"):
        file.touch()
    assert "detect" not in project(photos("plain"))


@pytest.mark.parametrize("name", ["o'neil", 'the "best"', "größe 1, {{x}}"])
def test_folders_of_any_name_are_written_and_read(photos, tmp_path, monkeypatch, name):
    monkeypatch.setattr(measure, "step_seconds", lambda file: 0.5)
    root = photos(f"{name}/photos", folder="a cat")
    photos(f"{name}/photos", folder="a dog")
    new_project(root, tmp_path / name / "project", say=lambda line: None)
    cfg = Config.fromfile(tmp_path / name / "project" / "pretrain.py")
    assert [len(loader.dataset) for loader in eval_loaders(cfg)] == [20, 4]


def test_objects_of_deep_images_are_cut_out_as_networks_see_them(
    tmp_path, coco_file, project
):
    (tmp_path / "deep").mkdir()
    for index in range(12):
        pixels = np.full((32, 40), 2000, np.uint16)
        Image.fromarray(pixels).save(tmp_path / "deep" / f"{index:02d}.png")
    project(tmp_path / "deep", coco_file(tmp_path / "deep"))
    cut = sorted(tmp_path.glob("project/objects/train/*/*.png"))
    assert np.asarray(Image.open(cut[0])).mean() > 100  # of 12 bits, not of 16


def test_sizes_that_an_exporter_left_out_are_read_from_the_images(
    project, photos, coco_file
):
    root = photos()
    file = coco_file(root, outlines=True)
    content = json.loads(file.read_text())
    for row in content["images"]:
        del row["width"], row["height"]
    file.write_text(json.dumps(content))
    assert "segment" in project(root, file)


def test_polygons_that_cannot_be_drawn_are_named(project, photos, coco_file):
    root = photos()
    file = coco_file(root, outlines=True)
    content = json.loads(file.read_text())
    content["annotations"][5]["segmentation"] = [[1, 2]]
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"annotation 5\b"):
        project(root, file)


def test_labels_that_no_training_could_use_are_refused(project, photos, coco_file):
    root = photos()
    file = coco_file(root)
    content = json.loads(file.read_text())
    for row in content["annotations"]:
        x, y, width, height = row["bbox"]
        row["bbox"] = [x, y, x + width, y + height]
    file.write_text(json.dumps(content))
    with pytest.raises(DataError):
        project(root, file)


def test_missing_operators_are_named_and_nothing_else_stops(
    photos, coco_file, tmp_path, monkeypatch
):
    def step_seconds(file):
        if file.stem == "detect":
            raise ModuleNotFoundError("No module named 'mmcv._ext'")
        return 0.5

    monkeypatch.setattr(measure, "step_seconds", step_seconds)
    root, said = photos(), []
    new_project(root, tmp_path / "out", coco_file(root), say=said.append)
    assert any("python -m snnssl_mm.setup_mmcv" in line for line in said)
    assert (tmp_path / "out" / "detect.py").exists()


def test_iterations_are_those_of_images_with_objects(project, photos, coco_file):
    """mmdet leaves out the others: 3 of 60 images have objects for training."""
    root = photos(count=60)
    content = json.loads(coco_file(root, count=60).read_text())
    rows = [row for row in content["annotations"] if row["image_id"] % 15 == 0]
    cfg = project(root, coco_file(root, count=60, annotations=rows))["detect"]
    loader = measure.train_loader(cfg)
    assert len(loader.dataset) == 3 * cfg.train_dataloader.dataset.times
    assert len(loader) >= 20
    planned = max(schedule.end for schedule in cfg.param_scheduler)
    assert planned == len(loader) * cfg.train_cfg.max_epochs


def test_annotations_without_objects_leave_pretraining(project, photos, coco_file):
    root = photos()
    content = json.loads(coco_file(root).read_text())
    rows = [row | dict(bbox=[0, 0, 0, 0]) for row in content["annotations"]]
    configs = project(root, coco_file(root, annotations=rows))
    assert set(configs) == {"common", "pretrain"}


CALL = """
import sys
from pathlib import Path
from snnssl_mm.projects import measure, new_project

measure.step_seconds = lambda file: 0.5
new_project(Path(sys.argv[1]), Path(sys.argv[2]), minutes=1)
"""


def test_python_needs_no_preparation(photos, tmp_path):
    """Everything that the command line prepares is prepared in a fresh process."""
    out = tmp_path / "project"
    command = [sys.executable, "-W", "ignore", "-c", CALL, str(photos()), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (out / "pretrain.py").exists()
