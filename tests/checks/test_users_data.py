"""Data as users have them: wrong data are refused with a message, odd data pass."""

import copy
import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine_state import forget_runs
from PIL import Image

from snnssl_mm.checks.data import check_data
from snnssl_mm.checks.evaluators import check_evaluator_files
from snnssl_mm.checks.preflight import build_loops, run_preflight
from snnssl_mm.datasets.data_error import DataError, PreflightError

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def edited(root, change, to="instances.json"):
    """Change every annotation of the file, or of a copy."""
    content = json.loads((root / "instances.json").read_text())
    for annotation, image in zip(
        content["annotations"], content["images"], strict=True
    ):
        change(annotation, image)
    (root / to).write_text(json.dumps(content))


def rewritten(root, change, to="instances.json"):
    """Change the content of the file, or of a copy."""
    content = json.loads((root / "instances.json").read_text())
    change(content)
    (root / to).write_text(json.dumps(content))


def without_masks(cfg):
    """Turn the job into a detector of boxes only."""
    for name in LOADERS:
        for transform in cfg[name].dataset.pipeline:
            transform.pop("with_mask", None)
    del cfg.model.roi_head.mask_head, cfg.model.roi_head.mask_roi_extractor


def check_all(cfg, root):
    """Run the complete pre-flight."""
    forget_runs()
    check_data(cfg)
    cfg.update(work_dir=str(root / "run"), log_level="ERROR")
    run_preflight(Runner.from_cfg(cfg))


def centred(annotation, image):
    x, y, w, h = annotation["bbox"]
    annotation["bbox"] = [x + w / 2, y + h / 2, w, h]


def halved(annotation, image):
    (points,) = annotation["segmentation"]
    annotation["segmentation"] = [[value / 2 for value in points]]


@pytest.mark.parametrize("change", [centred, halved])
def test_boxes_that_do_not_contain_their_polygons(job, tmp_path, lines, change):
    cfg = job("detection")
    edited(tmp_path, change)
    with pytest.raises(DataError, match="[34] of 4 boxes.*polygons"):
        check_data(cfg)
    without_masks(cfg)
    check_data(cfg)
    assert any("of 4 boxes" in one and "polygons" in one for one in lines)


def test_corners_are_detected_by_rounded_areas(job, tmp_path):
    cfg = job("detection")

    def change(annotation, image):
        x1, y1, x2, y2 = 5.3 + image["id"], 4.2, 14.9 + image["id"], 12.7
        area = round((x2 - x1) * (y2 - y1), 1)
        annotation.update(bbox=[x1, y1, x2, y2], area=area, segmentation=[])

    without_masks(cfg)
    edited(tmp_path, change)
    with pytest.raises(DataError, match=r"4 of 4 boxes.*\[x1, y1"):
        check_data(cfg)


def test_swapped_sides_are_not_attributed_to_exif(job, tmp_path):
    cfg = job("detection")
    edited(tmp_path, lambda a, i: i.update(width=48, height=64))
    with pytest.raises(DataError) as error:
        check_data(cfg)
    assert "EXIF" not in str(error.value)
    assert "width and height" in str(error.value)


@pytest.mark.parametrize("points", [[1, 2, 3, 4, 9, 9], [[[1, 2], [3, 4], [9, 9]]]])
def test_segmentations_matter_only_where_masks_are_used(job, tmp_path, points):
    cfg = job("detection")
    edited(tmp_path, lambda a, i: a.update(segmentation=points))
    with pytest.raises(DataError, match="segmentation="):
        check_data(cfg)
    without_masks(cfg)
    check_data(cfg)


def test_classes_that_are_left_out_need_no_masks(job, tmp_path):
    cfg = job("detection")
    cfg.val_evaluator.metric = ["bbox", "segm"]

    def change(content):
        content["categories"].append(dict(id=9, name="other"))
        box = dict(bbox=[2, 2, 9, 9], area=81)
        content["annotations"].append(dict(id=9, image_id=0, category_id=9, **box))

    rewritten(tmp_path, change)
    check_data(cfg)


def test_validation_may_load_polygons_that_it_does_not_evaluate(job, tmp_path):
    cfg = job("detection")
    edited(
        tmp_path,
        lambda a, i: a["id"] == 1 and a.update(segmentation=[[1, 1, 9, 9]]),
    )
    masks = dict(type="LoadAnnotations", with_bbox=True, with_mask=True)
    cfg.val_dataloader.dataset.pipeline.insert(1, masks)
    check_data(cfg)
    cfg.val_evaluator.metric = "segm"
    with pytest.raises(DataError, match="4 numbers"):
        check_data(cfg)


def test_ids_of_two_types_are_distinguished(job, tmp_path):
    cfg = job("detection")
    edited(tmp_path, lambda a, i: a.update(image_id=str(a["image_id"])))
    with pytest.raises(DataError, match="'0'.* 0:"):
        check_data(cfg)
    rewritten(tmp_path, lambda c: c)
    cfg = job("detection")
    rewritten(tmp_path, lambda c: [k.update(id=str(k["id"])) for k in c["categories"]])
    with pytest.raises(DataError, match="category_id 1.*'1'"):
        check_data(cfg)


def test_odd_ids_duplicates_and_crowds_are_reported(job, tmp_path, lines):
    cfg = job("detection")

    def change(annotation, image):
        annotation["id"] -= 1
        annotation["iscrowd"] = int(image["id"] == 3)
        if image["id"] == 1:
            image["file_name"] = "0.png"

    edited(tmp_path, change)
    check_data(cfg)
    for part in ("id 0", "first 0.png", "iscrowd=1"):
        assert any(part in one for one in lines), part


@pytest.mark.parametrize("name", ["disc ", "Disc", "DISC-"])
def test_classes_that_are_almost_the_categories(job, tmp_path, name):
    cfg = job("detection")
    rewritten(tmp_path, lambda content: content["categories"][1].update(name=name))
    with pytest.raises(DataError, match=f"'{name}'.*'disc'"):
        check_data(cfg)


def test_crowds_are_numbers(job, tmp_path):
    cfg = job("detection")
    edited(tmp_path, lambda a, i: a.update(iscrowd="0"))
    with pytest.raises(DataError, match="iscrowd='0'"):
        check_data(cfg)
    edited(tmp_path, lambda a, i: a.update(iscrowd=False))
    check_data(cfg)


@pytest.mark.parametrize(
    "name", ["0.PNG", "0.jpg", "images\\0.png", "0.png.png", "images/0.png"]
)
def test_an_existing_file_of_a_similar_name_is_suggested(job, tmp_path, name):
    cfg = job("detection")
    edited(tmp_path, lambda a, i: i["id"] == 0 and i.update(file_name=name))
    with pytest.raises(DataError) as error:
        check_data(cfg)
    assert f"{tmp_path / 'images' / '0.png'} " in str(error.value)


def saved_anew(root, suffix, change=None):
    """Store the images in another format; change the bytes of the third."""
    for index in range(4):
        file = root / "images" / f"{index}.png"
        with Image.open(file) as image:
            image.convert("RGB").save(file.with_suffix(suffix))
    third = root / "images" / f"2{suffix}"
    if change:
        third.write_bytes(change(third.read_bytes()))
    edited(root, lambda a, i: i.update(file_name=f"{i['id']}{suffix}"))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_truncated_files_are_named(job, tmp_path, suffix):
    cfg = job("detection")
    saved_anew(tmp_path, suffix, lambda content: content[: len(content) // 2])
    with pytest.raises(DataError, match=rf"1 of 4 .*2\{suffix}"):
        check_data(cfg)


def test_bytes_after_the_end_are_harmless(job, tmp_path):
    cfg = job("detection")
    saved_anew(tmp_path, ".jpg", lambda content: content + bytes(99))
    check_data(cfg)


def test_properties_that_opencv_does_not_preserve_are_reported(job, tmp_path, lines):
    cfg = job("detection")
    rng = np.random.default_rng(0)
    clear = np.full((48, 64, 4), 255, np.uint8)
    clear[:, :9, 3] = 0
    for index, pixels in enumerate(
        (
            rng.integers(0, 4096, (48, 64, 3)).astype(np.uint16),
            rng.integers(0, 65536, (48, 64, 3)).astype(np.uint16),  # the upper 8 do
            clear,
            np.full((48, 64, 4), 255, np.uint8),  # opaque
        )
    ):
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), pixels)
    check_data(cfg, ["train_dataloader"])
    warnings = [one for one in lines if "LoadIntactImage" in one]
    assert len(warnings) == 2
    assert any("1 of 4" in one and "12 bits" in one for one in warnings)
    assert any("1 of 4" in one and "transparent" in one for one in warnings)
    lines.clear()
    cfg.train_dataloader.dataset.pipeline[0] = dict(type="snnssl_mm.LoadIntactImage")
    check_data(cfg, ["train_dataloader"])
    assert not any("LoadIntactImage" in one for one in lines)


def painted(root, change, suffix=".png"):
    """Change the label maps."""
    for index in range(4):
        file = root / "maps" / f"{index}.png"
        labels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        file.unlink()
        cv2.imwrite(str(file.with_suffix(suffix)), change(labels))


def test_masks_of_16_bits_may_hold_small_numbers(job, tmp_path):
    cfg = job("segmentation")
    painted(tmp_path, lambda labels: labels.astype(np.uint16))
    check_data(cfg)
    painted(tmp_path, lambda labels: labels * 256)
    with pytest.raises(DataError, match=r"\d\.png.*8.bit"):
        check_data(cfg)


def test_lossy_masks_are_reported(job, tmp_path, lines):
    cfg = job("segmentation")
    for name in LOADERS:
        cfg[name].dataset.seg_map_suffix = ".jpg"
    painted(tmp_path, lambda labels: labels * 0 + 1, ".jpg")
    cfg.model.decode_head.num_classes = 3
    with pytest.raises(DataError, match=r"train_dataloader.*class 0, 2\b"):
        check_data(cfg)
    check_data(cfg, ["val_dataloader"])
    assert any("JPEG" in one for one in lines)
    (tmp_path / "maps" / "0.jpg").rename(tmp_path / "maps" / "0.png")
    cv2.imwrite(str(tmp_path / "maps" / "0.jpg"), np.full((48, 64), 99, np.uint8))
    with pytest.raises(DataError, match="label 99.*PNG"):
        check_data(cfg)


def test_unused_files_in_a_folder_are_counted(job, tmp_path, lines):
    cfg = job("segmentation")
    images = tmp_path / "images"
    (images / "0.png").rename(images / "0.PNG")
    with Image.open(images / "3.png") as image:
        image.convert("RGB").save(images / "3.jpg")
    (images / "3.png").unlink()
    check_data(cfg, ["train_dataloader"])
    assert any("2 of 4 images of" in one and ".PNG" in one for one in lines)
    assert any("2 of 4 images of" in one and "maps" in one for one in lines)


def test_labels_that_differ_by_one_in_two_splits_are_reported(job, tmp_path, lines):
    cfg = job("segmentation")
    cfg.train_dataloader.dataset.reduce_zero_label = True
    check_data(cfg)
    assert any("reduce_zero_label" in one for one in lines)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("\ufeff0.png 0", r"labels\.txt.*byte order mark"),
        ("0.png 0\n1.png\t1", r"Line 2 .*labels\.txt.*\btab\b"),
        ("0.png 0\n\n1.png 1", r"Line 2 .*labels\.txt"),
        ("0.png 0\n\n", r"Line 2 .*labels\.txt"),
        ("0.png square", r"Line 1 .*labels\.txt.*'0\.png square"),
        ("0.png 1\n1.png 3", r"1 of 2 images.* 0 to 2\b.*1\.png.* 3\b.* from 0\b"),
        ("0.png 0\n1.png 3", r"1 of 2 images.* 0 to 2\b.*1\.png.* 3\b"),
    ],
)
def test_lists_of_labels(job, tmp_path, text, match):
    cfg = job("classification")
    (tmp_path / "labels.txt").write_text(text, "utf-8")
    with pytest.raises(DataError, match=match):
        check_data(cfg)


def test_lists_of_images_with_blanks_and_umlauts_pass(job, tmp_path):
    cfg = job("classification")
    rows = []
    for index in range(4):
        name = f"Grün {index} ö.png"
        (tmp_path / "images" / f"{index}.png").rename(tmp_path / "images" / name)
        rows.append(f"{name} {index % 3}\r\n")
    (tmp_path / "labels.txt").write_bytes("".join(rows).encode())
    check_data(cfg)


def test_class_that_no_image_has_is_reported(job, tmp_path, lines):
    cfg = job("classification")
    (tmp_path / "labels.txt").write_text("0.png 0\n1.png 1\n")
    check_data(cfg)
    assert any("warning" in one and "label 2" in one for one in lines)


def test_an_evaluators_images_are_those_of_the_validation(job, tmp_path, lines):
    cfg = job("detection")
    cfg.val_evaluator.ann_file = str(tmp_path / "evaluated.json")

    def without_the_third(content):
        del content["images"][2], content["annotations"][2]

    rewritten(tmp_path, without_the_third, to="evaluated.json")
    with pytest.raises(DataError, match=r"evaluated\.json.*1 of the 4 images.*id 2\b"):
        check_data(cfg)
    cfg.val_dataloader.dataset.ann_file = "evaluated.json"
    cfg.val_evaluator.ann_file = str(tmp_path / "instances.json")
    check_data(cfg)
    assert any("val_evaluator" in one and " 1 " in one for one in lines)


def test_every_form_of_an_evaluator_is_run(job, tmp_path, lines):
    cfg = job("detection")
    metric = cfg.val_evaluator
    cfg.val_evaluator = dict(type="Evaluator", metrics=[metric])
    check_all(cfg, tmp_path)
    assert any("(CocoMetric)" in one for one in lines)
    cfg = job("detection")
    one = cfg.val_dataloader.dataset
    cfg.val_dataloader.dataset = dict(
        type="ConcatDataset", datasets=[one, copy.deepcopy(one)]
    )
    cfg.val_evaluator = dict(
        type="MultiDatasetsEvaluator",
        metrics=[metric, copy.deepcopy(metric)],
        dataset_prefixes=["a", "b"],
    )
    check_all(cfg, tmp_path)
    edited(tmp_path, lambda a, i: a.pop("iscrowd"))
    with pytest.raises(DataError, match="4 of 4 .*iscrowd"):
        check_data(cfg)


def test_images_with_more_objects_than_coco_counts(job, tmp_path):
    cfg = job("detection")

    def crowded(content):
        content["annotations"] = [
            dict(
                id=1 + 250 * image["id"] + index,
                image_id=image["id"],
                category_id=1,
                bbox=[index % 25 * 2.5, index // 25 * 4.5, 2.4, 4.4],
                area=10,
                iscrowd=0,
            )
            for image in content["images"]
            for index in range(250)
        ]

    rewritten(tmp_path, crowded, to="validation.json")
    cfg.val_dataloader.dataset.ann_file = "validation.json"
    cfg.val_evaluator.ann_file = str(tmp_path / "validation.json")
    check_all(cfg, tmp_path)


def test_evaluators_that_read_no_boxes_are_not_checked(tmp_path):
    file = tmp_path / "panoptic.json"
    file.write_text(json.dumps(dict(images=[], annotations=[dict(segments_info=[])])))
    for kind in ("CocoPanopticMetric", "mmdet.COCOCaptionMetric"):
        settings = Config(dict(metric=dict(type=kind, ann_file=str(file)))).metric
        assert check_evaluator_files(settings, "val", {1}, None) == []


def test_parts_of_a_concatenation_number_the_classes_alike(job, tmp_path):
    cfg = job("detection")

    def without_the_first(content):
        del content["categories"][0]
        content["annotations"] = [
            a for a in content["annotations"] if a["category_id"] > 1
        ]

    rewritten(tmp_path, without_the_first, to="other.json")
    one = cfg.train_dataloader.dataset
    other = copy.deepcopy(one)
    other.ann_file = "other.json"
    cfg.train_dataloader.dataset = dict(type="ConcatDataset", datasets=[other, one])
    with pytest.raises(DataError, match=r"datasets\[0\] .*datasets\[1\].*square"):
        check_data(cfg)


@pytest.mark.parametrize("metric", ["bbox", "segm"])
def test_sizes_may_be_floats(job, tmp_path, metric):
    cfg = job("detection")
    cfg.val_evaluator.metric = metric
    edited(tmp_path, lambda a, i: i.update(width=64.0, height=48.0))
    check_all(cfg, tmp_path)


def test_ids_that_pycocotools_cannot_count(job, tmp_path):
    cfg = job("detection")
    edited(tmp_path, lambda a, i: a.update(id=f"a{a['id']}"))
    with pytest.raises(DataError, match="'a1'"):
        check_data(cfg)


@pytest.mark.parametrize(
    ("part", "change", "match"),
    [
        ("train_dataloader", dict(persistent_workers=True), "train_dataloader"),
        ("val_dataloader", dict(prefetch_factor=4), "val_dataloader"),
        ("val_evaluator", dict(metric="mask"), "val_evaluator.*mask"),
        ("val_evaluator", dict(format_only=True), "val_evaluator.*outfile_prefix"),
    ],
)
def test_loaders_and_evaluators_that_cannot_be_built(
    job, tmp_path, part, change, match
):
    cfg = job("detection")
    cfg[part].update(change)
    cfg.update(work_dir=str(tmp_path / "run"), log_level="ERROR")
    with pytest.raises(PreflightError, match=match) as error:
        build_loops(Runner.from_cfg(cfg))
    assert "--no-preflight" not in str(error.value)


def test_segmentation_without_class_names_is_not_evaluated(job, tmp_path):
    cfg = job("segmentation")
    for name in LOADERS:
        del cfg[name].dataset["metainfo"]
    with pytest.raises(DataError, match=r"val_dataloader.*classes.* 3 names"):
        check_data(cfg)


def test_wrong_settings_are_not_attributed_to_the_files(job, tmp_path):
    cfg = job("segmentation")
    cfg.train_dataloader.dataset.pipeline[1].reduce_zero_label = True
    with pytest.raises(DataError, match="4 of 4 .*transforms"):
        check_data(cfg)
