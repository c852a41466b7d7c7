"""Data that do not fit the model raise a DataError before training."""

import json
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from downstream_tasks import TASKS
from mmengine.config import Config
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample

from snnssl_mm.checks.data import check_data
from snnssl_mm.checks.settings import class_counts, leaf_datasets
from snnssl_mm.datasets.data_error import DataError, check_class_counts
from snnssl_mm.engine import DataCheckHook
from snnssl_mm.probing import build_eval_model

FOREIGN = ("RBC", "WBC", "Platelets")


def edit_annotations(root, edit):
    file = root / "instances.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def rename_categories(root, names):
    def edit(content):
        for category, name in zip(content["categories"], names, strict=True):
            category["name"] = name

    edit_annotations(root, edit)


def spoil_mask(root, value, index=3):
    file = root / "maps" / f"{index}.png"
    labels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    labels[0, :40] = value
    cv2.imwrite(str(file), labels)


@pytest.mark.parametrize("name", TASKS)
def test_good_data_pass(job, name):
    check_data(job(name), ["train_dataloader", "val_dataloader", "test_dataloader"])


def test_foreign_annotations_with_the_default_classes(job, tmp_path):
    cfg = job("detection")
    rename_categories(tmp_path, FOREIGN)
    del cfg.train_dataloader.dataset["metainfo"]  # COCO's 80 then
    with pytest.raises(DataError) as error:
        check_data(cfg)
    text = str(error.value)
    for part in (
        "instances.json",
        "80 classes",
        "RBC, WBC, Platelets",
        "person, bicycle",
        f"metainfo=dict(classes={FOREIGN})",
        "train_dataloader.dataset",
        "num_classes=3",
    ):
        assert part in text


def test_one_unknown_category_among_known_ones(job, tmp_path):
    cfg = job("detection")
    rename_categories(tmp_path, ("person", "car", "drone"))
    del cfg.train_dataloader.dataset["metainfo"]
    with pytest.raises(DataError, match="drone"):
        check_data(cfg)


def test_classes_of_the_config_that_match_no_category(job, tmp_path):
    cfg = job("detection")
    rename_categories(tmp_path, FOREIGN)
    with pytest.raises(DataError, match="RBC, WBC, Platelets.*square, disc"):
        check_data(cfg)


def test_a_deliberate_selection_is_logged_with_what_it_leaves_out(job, capsys):
    cfg = job("detection")
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.metainfo = dict(classes=("square", "disc"))
    cfg.model.roi_head.bbox_head.num_classes = 2
    cfg.model.roi_head.mask_head.num_classes = 2
    assert "3 of 4 objects" in logged(cfg)[0]
    assert "1 of an unknown category" in logged(cfg)[0]


def test_classes_that_the_file_lacks_are_logged(job, tmp_path):
    cfg = job("detection")

    def edit(content):
        content["categories"] = content["categories"][:2]
        content["annotations"] = content["annotations"][:2]

    edit_annotations(tmp_path, edit)
    assert "1 of the 3 classes" in logged(cfg)[0]


def logged(cfg):
    import snnssl_mm.checks.data as module

    notes = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "say", notes.append)
        check_data(cfg)
    return notes


def test_order_of_classes_follows_the_file(job):
    """mmdet numbers categories as the file does, whatever metainfo says."""
    cfg = job("detection")
    cfg.train_dataloader.dataset.metainfo = dict(classes=("disc", "square", "bar"))
    with pytest.raises(DataError, match=r"square, disc, bar.*metainfo=dict"):
        check_data(cfg)


@pytest.mark.parametrize("head", ["bbox_head", "mask_head"])
def test_heads_and_classes_must_agree(job, head):
    cfg = job("detection")
    cfg.model.roi_head[head].num_classes = 80
    match = rf"model\.roi_head\.{head}\.num_classes=80.*train.* 3 classes"
    with pytest.raises(DataError, match=match):
        check_data(cfg)


def test_annotations_of_no_category(job, tmp_path):
    cfg = job("detection")
    edit_annotations(tmp_path, lambda c: c["annotations"][0].update(category_id=9))
    with pytest.raises(DataError, match="category_id 9"):
        check_data(cfg)


def test_boxes_without_masks_for_a_mask_head(job, tmp_path):
    cfg = job("detection")
    edit_annotations(tmp_path, lambda c: c["annotations"][0].update(segmentation=[]))
    with pytest.raises(DataError, match="1 of 4 annotations.*segmentation"):
        check_data(cfg)


def test_file_that_is_no_annotation_file(job, tmp_path):
    cfg = job("detection")
    (tmp_path / "instances.json").write_text("[]")
    with pytest.raises(DataError, match="images.*annotations.*categories"):
        check_data(cfg)
    (tmp_path / "instances.json").write_text('{"images": [')
    with pytest.raises(DataError, match=r"instances\.json.*JSON"):
        check_data(cfg)


def test_image_that_the_annotations_name_is_missing(job, tmp_path):
    cfg = job("detection")
    (tmp_path / "images" / "2.png").unlink()
    with pytest.raises(DataError, match=r"1 of 4 .*images/2\.png"):
        check_data(cfg)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("detection", "instances.json"),
        ("detection", "images"),
        ("segmentation", "images"),
        ("segmentation", "maps"),
        ("classification", "images"),
        ("classification", "labels.txt"),
    ],
)
def test_missing_path_is_named(job, tmp_path, name, what):
    cfg = job(name)
    shutil.move(tmp_path / what, tmp_path / "elsewhere")
    match = rf"train_dataloader\.dataset.*{tmp_path / what}"
    with pytest.raises(DataError, match=match):
        check_data(cfg)


def test_datasets_inside_wrappers_are_found():
    inner = dict(type="CocoDataset", pipeline=[])
    other = dict(type="VOCDataset")
    wrapped = dict(
        type="RepeatDataset",
        dataset=dict(type="ConcatDataset", datasets=[inner, other]),
    )
    mixed = dict(type="MultiImageMixDataset", dataset=wrapped)
    assert list(leaf_datasets(mixed, "x")) == [
        ("x.dataset.dataset.datasets[0]", inner),
        ("x.dataset.dataset.datasets[1]", other),
    ]
    assert list(leaf_datasets(None, "x")) == []


def test_wrapped_dataset_is_checked(job, tmp_path):
    cfg = job("detection")
    rename_categories(tmp_path, FOREIGN)
    inner = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(
        type="RepeatDataset", times=2, dataset=dict(inner)
    )
    with pytest.raises(DataError, match="RBC"):
        check_data(cfg)


def test_heads_are_found_at_any_depth():
    box, mask = dict(num_classes=7), dict(num_classes=8)
    model = dict(
        rpn_head=dict(num_classes=1),
        roi_head=dict(bbox_head=[box, box], mask_head=mask),
        auxiliary_head=[dict(type="STDCHead", num_classes=2)],
    )
    assert dict(class_counts(model)) == {
        "model.roi_head.bbox_head[0].num_classes": 7,
        "model.roi_head.bbox_head[1].num_classes": 7,
        "model.roi_head.mask_head.num_classes": 8,
    }


def test_label_beyond_the_classes(job, tmp_path):
    cfg = job("segmentation")
    spoil_mask(tmp_path, 7)
    with pytest.raises(DataError) as error:
        check_data(cfg)
    for part in ("maps/3.png", "label 7,", "3 classes", "reduce_zero_label=True"):
        assert part in str(error.value)
    spoil_mask(tmp_path, 255)  # ignored
    check_data(cfg)


def test_masks_that_count_from_one_fit_with_reduce_zero_label(job, tmp_path):
    cfg = job("segmentation")
    for index in range(4):
        spoil_mask(tmp_path, 3, index)
    with pytest.raises(DataError, match="label 3,"):
        check_data(cfg)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.reduce_zero_label = True
    check_data(cfg)
    spoil_mask(tmp_path, 4)
    with pytest.raises(DataError, match=r"label 3,.*reduce_zero_label.* 4\b"):
        check_data(cfg)


def test_segmentor_head_with_other_classes(job):
    cfg = job("segmentation")
    cfg.model.decode_head.num_classes = 19
    with pytest.raises(DataError, match=r"decode_head\.num_classes=19.*train"):
        check_data(cfg)


def test_masks_that_are_no_label_maps(job, tmp_path):
    cfg = job("segmentation")
    file = tmp_path / "maps" / "1.png"
    cv2.imwrite(str(file), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(DataError, match=r"maps/1\.png.*\(48, 64, 3\)"):
        check_data(cfg)
    file.write_text("no picture")
    with pytest.raises(DataError, match=r"maps/1\.png"):
        check_data(cfg)
    file.unlink()
    with pytest.raises(DataError, match=r"maps/1\.png"):
        check_data(cfg)


def test_folder_without_images(job):
    cfg = job("segmentation")
    cfg.train_dataloader.dataset.img_suffix = ".jpg"
    with pytest.raises(DataError, match=r"0 of 0 images.*img_suffix"):
        check_data(cfg)


def batch(value):
    sample = SegDataSample(metainfo=dict(seg_map_path="maps/9.png"))
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[0, 1, 1] = value
    from mmengine.structures import PixelData

    sample.gt_sem_seg = PixelData(data=labels)
    return dict(data_samples=[sample])


@pytest.mark.parametrize("mode", ["train", "val", "test"])
def test_every_batch_of_a_segmentor_is_checked(mode):
    hook = DataCheckHook()
    check = getattr(hook, f"before_{mode}_iter")
    check(None, 0, batch(7))  # not a segmentor: nothing to check
    hook.classes = (3, 255)
    check(None, 0, batch(2))
    check(None, 0, batch(255))
    with pytest.raises(DataError, match=r"maps/9\.png.*label 7,.* 3 classes"):
        check(None, 0, batch(7))


def test_every_batch_of_a_classifier_is_checked(task):
    cfg = Config.fromfile(task("classification").config)
    hook = DataCheckHook()
    hook.before_run(SimpleNamespace(model=build_eval_model(cfg)))
    classes, _ = hook.classes
    sample = DataSample(metainfo=dict(img_path="a.jpg")).set_gt_label(classes - 1)
    hook.before_train_iter(None, 0, dict(data_samples=[sample]))
    sample.set_gt_label(classes)
    with pytest.raises(DataError, match=rf"a\.jpg.*label {classes}\b"):
        hook.before_train_iter(None, 0, dict(data_samples=[sample]))


def test_hidden_folder_that_mmpretrain_uses_as_a_class():
    with pytest.raises(DataError, match=r"\.git"):
        check_class_counts({"head.num_classes": 2}, [".git", "a", "b"], "train")


def test_training_and_validation_number_the_classes_alike(job, tmp_path):
    """mmdet leaves no gap for a category that one of the files lacks."""
    cfg = job("detection")
    shutil.copy(tmp_path / "instances.json", tmp_path / "validation.json")

    def leave_out_the_first(content):
        content["categories"] = content["categories"][1:]
        first = content["annotations"][0]["category_id"]
        content["annotations"] = [
            a for a in content["annotations"] if a["category_id"] != first
        ]

    edit_annotations(tmp_path, leave_out_the_first)
    cfg.val_dataloader.dataset.ann_file = "validation.json"
    with pytest.raises(DataError, match="train_dataloader.*val_dataloader.*square"):
        check_data(cfg)


def test_only_a_test_may_lack_annotations(job, tmp_path):
    cfg = job("detection")
    edit_annotations(tmp_path, lambda content: content.pop("annotations"))
    check_data(cfg, ["test_dataloader"])  # such as COCO's test-dev
    with pytest.raises(DataError, match="annotations"):
        check_data(cfg)
