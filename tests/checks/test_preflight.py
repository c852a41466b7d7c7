"""Faults that would stop a training later, or spoil it silently, stop it at once."""

import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from downstream_tasks import TASKS
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine_state import forget_runs
from PIL import Image
from pycocotools import mask as coco_mask
from simulated_recordings import write_events_config
from toy_runs import toy_run

from snnssl_mm.checks.coco import decode_run_lengths
from snnssl_mm.checks.data import check_data
from snnssl_mm.checks.preflight import run_preflight
from snnssl_mm.datasets.data_error import DataError, PreflightError
from snnssl_mm.engine import DataCheckHook

ROOT = Path(__file__).parents[2]
TRAIN, VAL = "train_dataloader.dataset", "val_dataloader.dataset"


def built(cfg, root):
    """Build the config's runner."""
    forget_runs()
    cfg.update(work_dir=str(root / "run"), log_level="ERROR")
    runner = Runner.from_cfg(cfg)
    runner.train_loop, runner.val_loop  # noqa: B018  (they build the data)
    return runner


def edited(root, change, file="instances.json", to=None):
    """Change every annotation of a file, or of a copy."""
    content = json.loads((root / file).read_text())
    for image, annotation in zip(
        content["images"], content["annotations"], strict=True
    ):
        change(annotation, image)
    (root / (to or file)).write_text(json.dumps(content))


def boxes_as_corners(annotation, image):
    x, y, w, h = annotation["bbox"]
    annotation["bbox"] = [x, y, x + w, y + h]


def any_corners(annotation, image):
    mask = dict(size=[48, 64], counts=[48 * 64])
    annotation.update(bbox=[30, 20, 60, 44], area=9, segmentation=mask)


def enlarged(annotation, image):
    annotation["bbox"] = [4 * value for value in annotation["bbox"]]


def run_lengths_of_another_size(annotation, image):
    annotation["segmentation"] = dict(size=[10, 10], counts=[100])


def packed_run_lengths_of_fewer_pixels(annotation, image):
    mask = coco_mask.encode(np.asfortranarray(np.eye(48, 60, dtype=np.uint8)))
    annotation["segmentation"] = dict(size=[48, 64], counts=mask["counts"].decode())


FAULTS = {
    "no area": (lambda a, i: a.update(area=0), "0 of 4 objects.*4 of area <= 0"),
    "negative area": (lambda a, i: a.update(area=-5), "4 of area <= 0"),
    "thin": (lambda a, i: a.update(bbox=[9, 9, 0.5, 9]), "4 less than 1 pixel"),
    "outside": (lambda a, i: a.update(bbox=[900, 9, 9, 9]), "4 outside their image"),
    "corners": (boxes_as_corners, r"4 of 4 boxes.*\[x1, y1"),
    "corners of any area": (any_corners, r"\d of 4 boxes.*\[x1, y1"),
    "larger images": (enlarged, r"2 of 2 boxes.*64 x 48"),
    "no masks": (lambda a, i: a.pop("segmentation"), "4 of 4 .*segmentation"),
    "crowds": (lambda a, i: a.update(iscrowd=1), "iscrowd=1"),
    "lines": (lambda a, i: a.update(segmentation=[[1, 1, 9, 9]]), "4 of 4 .*4 numbers"),
    "packed": (packed_run_lengths_of_fewer_pixels, r"2880 pixels.*\[48, 64\]"),
    "RLE": (run_lengths_of_another_size, r"\[10, 10\].*\[48, 64\]"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_annotations_that_cannot_be_learnt_are_refused(job, tmp_path, fault):
    cfg = job("detection")
    change, match = FAULTS[fault]
    edited(tmp_path, change)
    with pytest.raises(DataError, match=match):
        check_data(cfg)


def test_packed_run_lengths_are_those_that_pycocotools_packed():
    rng = np.random.default_rng(0)
    for _ in range(20):
        height, width = rng.integers(1, 90, 2)
        mask = rng.random((height, width)) > rng.random()
        pixels = mask.flatten(order="F")
        ends = np.flatnonzero(np.diff(pixels)) + 1
        runs = np.diff([0, *[0] * bool(pixels[0]), *ends, pixels.size])
        packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert decode_run_lengths(packed["counts"].decode()).tolist() == runs.tolist()


def test_dropped_annotations_are_counted_by_reason(job, tmp_path, lines):
    cfg = job("detection")
    edited(tmp_path, lambda a, i: a.update(area=0) if a["id"] == 1 else None)
    cfg.train_dataloader.dataset.filter_cfg = dict(filter_empty_gt=True, min_size=32)
    check_data(cfg)
    assert any("3 of 4 objects" in one and "1 of area <= 0" in one for one in lines)
    cfg.train_dataloader.dataset.filter_cfg = dict(min_size=49)  # they have 48 x 64
    with pytest.raises(DataError, match=r"0 of 4 images.*filter_cfg={'min_size': 49}"):
        check_data(cfg)


def test_one_box_that_exceeds_its_image_is_a_warning(job, tmp_path, lines):
    cfg = job("detection")
    edited(tmp_path, lambda a, i: enlarged(a, i) if a["id"] == 1 else None)
    check_data(cfg)
    assert any("warning" in one and "1 of 4 boxes" in one for one in lines)


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader"])
@pytest.mark.parametrize("turned", [True, False])
def test_images_of_another_size_than_annotated(job, tmp_path, loader, turned):
    cfg = job("detection")
    edited(tmp_path, lambda a, i: None, to="other.json")
    cfg[loader].dataset.update(ann_file="other.json", data_prefix=dict(img="others/"))
    (tmp_path / "others").mkdir()
    for file in sorted((tmp_path / "images").glob("*.png")):
        exif = Image.Exif()
        exif[0x0112] = 6
        with Image.open(file) as image:
            options = dict(exif=exif, format="JPEG") if turned else dict(format="PNG")
            other = image if turned else image.resize((32, 24))
            other.save(tmp_path / "others" / file.name, **options)
    cure = "48 x 64 .*EXIF" if turned else "32 x 24 "
    with pytest.raises(DataError, match=rf"4 of 4 .*{loader}.*{cure}"):
        check_data(cfg)
    if turned:  # stored pixels, as annotated
        pipeline = cfg[loader].dataset.pipeline
        pipeline[0].update(color_type="color_ignore_orientation")
        check_data(cfg)


@pytest.mark.parametrize("name", ["detection", "segmentation"])
def test_rotated_images_whose_size_does_not_show_it(job, tmp_path, lines, name):
    cfg = job(name)

    def turn(index, orientation):
        file = tmp_path / "images" / f"{index}.png"
        exif = Image.Exif()
        exif[0x0112] = orientation
        with Image.open(file) as image:
            stored = image.copy() if orientation < 5 else image.transpose(5)
        stored.save(file, exif=exif)

    turn(1, 3)
    check_data(cfg)
    assert any("1 of 4 images" in one and "EXIF" in one for one in lines)
    lines.clear()
    turn(2, 6)  # annotated as shown, so the others are, too
    check_data(cfg)
    assert not any("EXIF" in one for one in lines)


def test_rounded_sizes_pass(job, tmp_path):
    cfg = job("detection")
    edited(tmp_path, lambda a, i: i.update(width=65, height=47))
    check_data(cfg)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_file_that_is_no_image_is_named(job, tmp_path, name, content):
    cfg = job(name)
    (tmp_path / "images" / "2.png").write_bytes(content)
    why = "empty" if not content else "2.png"
    with pytest.raises(DataError, match=rf"1 of 4 .*2\.png.*{why}"):
        check_data(cfg)


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader"])
def test_label_maps_of_another_size_than_the_images(job, tmp_path, loader):
    cfg = job("segmentation")
    (tmp_path / "half").mkdir()
    for file in (tmp_path / "maps").glob("*.png"):
        cv2.imwrite(str(tmp_path / "half" / file.name), np.zeros((24, 32), np.uint8))
    cfg[loader].dataset.data_prefix.seg_map_path = "half"
    with pytest.raises(DataError, match=rf"{loader}.*64 x 48 .*half.*32 x 24"):
        check_data(cfg)


def test_class_that_hides_behind_the_ignored_label(job, tmp_path, lines):
    cfg = job("segmentation")

    def repainted(values):
        for index in range(4):
            labels = np.full((48, 64), values[0], np.uint8)
            labels[9:20, 9:20] = values[index % len(values)]
            labels[20:30, 20:30] = 255
            cv2.imwrite(str(tmp_path / "maps" / f"{index}.png"), labels)

    repainted([0])
    with pytest.raises(DataError, match="class 1, 2, .*4 .*255"):
        check_data(cfg)
    repainted([0, 1])
    check_data(cfg)
    assert any("class 2, " in one and "255" in one for one in lines)
    repainted([0, 1])
    cfg.train_dataloader.dataset.update(reduce_zero_label=True)
    cfg.train_dataloader.dataset.pipeline[1].update(reduce_zero_label=True)
    with pytest.raises(DataError, match="reduce_zero_label=True"):
        check_data(cfg)


def test_evaluator_files_are_read_as_the_evaluation_will(job, tmp_path):
    cfg = job("detection")
    for change, metric, match in (
        (lambda a, i: a.pop("iscrowd"), ["bbox"], r"4 of 4 .*ted\.json.*iscrowd"),
        (lambda a, i: a.pop("segmentation"), ["bbox", "segm"], "4 of 4.*segmentation"),
        (lambda a, i: a.update(segmentation=[[1, 1, 5, 5]]), "segm", "4 numbers"),
    ):
        edited(tmp_path, change, to="evaluated.json")
        ann_file = str(tmp_path / "evaluated.json")
        cfg.val_evaluator.update(metric=metric, ann_file=ann_file)
        with pytest.raises(DataError, match=match):
            check_data(cfg)


def test_folder_of_fewer_classes_than_the_head(job, tmp_path):
    cfg = job("classification")
    cfg.model.head.num_classes = 10
    with pytest.raises(DataError, match=r"model\.head\.num_classes=10.* 3 classes"):
        check_data(cfg)


@pytest.mark.parametrize("name", TASKS)
def test_good_job_passes_and_is_described(job, tmp_path, lines, name):
    cfg = job(name)
    if name == "detection":
        cfg.val_evaluator.metric = ["bbox", "segm"]
    check_data(cfg)
    runner = built(cfg, tmp_path)
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    states = random.getstate(), torch.get_rng_state()
    run_preflight(runner)
    assert states[0] == random.getstate()
    assert torch.equal(states[1], torch.get_rng_state())
    assert all(p.grad is None for p in runner.model.parameters())
    for key, tensor in runner.model.state_dict().items():
        assert torch.equal(tensor, before[key]), key
    assert any(one.startswith(f"{TRAIN}: 4 of 4 images") for one in lines)
    assert any("loss" in one for one in lines)
    assert any("validation images" in one for one in lines)


def test_evaluator_that_would_fail_after_an_epoch(job, tmp_path):
    cfg = job("classification")
    cfg.val_evaluator.topk = (1, 5)
    with pytest.raises(PreflightError, match=r"val_evaluator.*\(1, 5\)"):
        run_preflight(built(cfg, tmp_path))


def test_masks_are_evaluated_of_a_model_without(job, tmp_path):
    cfg = job("detection")
    cfg.val_evaluator.metric = ["bbox", "segm"]
    del cfg.model.roi_head.mask_head, cfg.model.roi_head.mask_roi_extractor
    with pytest.raises(PreflightError, match="val_evaluator.*'segm'"):
        run_preflight(built(cfg, tmp_path))


def test_evaluator_that_reads_other_annotations(job, tmp_path):
    cfg = job("detection")
    edited(tmp_path, lambda a, i: a.update(bbox=[0, 40, 5, 5]), to="evaluated.json")
    cfg.val_evaluator.ann_file = str(tmp_path / "evaluated.json")
    with pytest.raises(PreflightError, match="val_evaluator.* 0 of 2 "):
        run_preflight(built(cfg, tmp_path))


def test_last_batch_that_the_loss_refuses(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.train_dataloader.update(batch_size=63, drop_last=False)  # of 64
    with pytest.raises(PreflightError, match="drop_last=True.* 1 training image"):
        run_preflight(built(cfg, tmp_path))
    cfg.train_dataloader.drop_last = True
    run_preflight(built(cfg, tmp_path))


def test_classifiers_of_clips_need_the_time_axis_first(tmp_path):
    cfg = Config.fromfile(write_events_config(tmp_path / "events.py", ROOT))
    stock = dict(type="ClsDataPreprocessor")
    cfg.train_dataloader.dataset.pipeline = cfg.labelled_pipeline
    cfg.model = dict(
        type="ImageClassifier",
        data_preprocessor=stock,
        backbone=cfg.model.backbone,
        neck=dict(type="GlobalAveragePooling"),
        head=dict(type="LinearClsHead", num_classes=2, in_channels=16),
    )
    with pytest.raises(PreflightError, match=r"\(16, 4, 2, 32, 32\).*ClipData"):
        run_preflight(built(cfg, tmp_path))
    cfg.model.data_preprocessor = dict(
        type="snnssl_mm.ClipDataPreprocessor", data_preprocessor=stock
    )
    cfg.experiment_name = "wrapped"
    run_preflight(built(cfg, tmp_path))


def test_later_stages_of_the_schedule_are_run(tmp_path, lines):
    """T must divide the 4 frames; dual needs two halves, also in the last batch."""
    cfg = Config.fromfile(write_events_config(tmp_path / "events.py", ROOT))

    def staged(*later):
        stages = [dict(train_path="analog", train_time_steps=2), *later]
        schedule = dict(type="snnssl_mm.PathScheduleHook", stages=stages)
        cfg.default_hooks.path_schedule = schedule
        runner = built(cfg, tmp_path)
        lines.clear()
        run_preflight(runner)
        return [line for line in lines if "loss" in line]

    with pytest.raises(PreflightError, match="train_time_steps=3 must divide"):
        staged(dict(begin=0.8, train_time_steps=3))
    same = dict(begin=0.2, train_path="analog")
    longer = dict(begin=0.8, train_time_steps=4)
    assert len(staged()) == len(staged(same)) == 1
    assert len(staged(same, longer)) == 2


def test_loss_that_is_not_finite_before_the_first_step(job, tmp_path):
    runner = built(job("classification"), tmp_path)
    with torch.no_grad():
        runner.model.head.fc.bias.fill_(float("nan"))
    with pytest.raises(PreflightError, match=r"loss.*\.png"):
        run_preflight(runner)


@pytest.mark.parametrize(
    ("name", "key", "value", "layer"),
    [
        ("classification", "head.in_channels", 17, "head.fc"),
        ("detection", "neck.in_channels", [16, 32, 64, 65], "neck"),
        ("detection", "neck.num_outs", 4, "rpn_head"),
        ("detection", "rpn_head.in_channels", 3, "rpn_head"),
        ("detection", "roi_head.mask_head.in_channels", 3, "roi_head.mask_head"),
        ("segmentation", "decode_head.in_channels", [3] * 4, "decode_head"),
        ("segmentation", "backbone.out_indices", (1, 2, 3), "neck"),
        ("segmentation", "backbone.time_readout", "none", r"neck\b.*SpikingNeck"),
        ("spiking_detection", "backbone.time_readout", "mean", r"neck\b.*'none"),
        ("spiking_detection", "neck.time_readout", "mean", r"rpn_head\b.*'none"),
    ],
)
def test_layer_that_fails_is_named(job, tmp_path, name, key, value, layer):
    cfg = job(name)
    cfg.merge_from_dict({f"model.{key}": value})
    with pytest.raises(PreflightError, match=rf"model\.{layer}\b"):
        run_preflight(built(cfg, tmp_path))


def test_transform_that_fails_is_named_with_its_image(job, tmp_path, monkeypatch):
    def fail(self, results):
        raise KeyError("flip")

    cfg = job("classification")
    monkeypatch.setattr("mmpretrain.datasets.transforms.PackInputs.transform", fail)
    match = r"train_dataloader.*0\.png.*KeyError: 'flip'"
    with pytest.raises(PreflightError, match=match):
        run_preflight(built(cfg, tmp_path))


@pytest.mark.parametrize("loop", ["epochs", "iterations"])
def test_training_ends_with_the_same_bits(tmp_path, loop):
    """Train with and without pre-flight, with random model and data."""
    from toy_runs import loader

    train_cfg = (
        dict(by_epoch=True, max_epochs=2)
        if loop == "epochs"
        else dict(by_epoch=False, max_iters=3, val_interval=9)
    )
    ends = []
    for hooks in ([], [DataCheckHook(files=False)]):
        runner = toy_run(
            tmp_path / str(len(hooks)),
            loader(),
            train_cfg,
            dict(interval=99, save_last=False),
            hooks=hooks,
            validate=True,
        )
        ends.append(runner.model.state_dict())
    for key, tensor in ends[0].items():
        assert torch.equal(tensor, ends[1][key])
