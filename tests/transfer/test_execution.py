"""A job leaves its row; metrics are from 0 to 1."""

import json

import pytest
from mmengine.config import Config
from mmengine_state import forget_runs

from snnssl_mm.engine.hooks.curve_hook import read_curve
from snnssl_mm.transfer.execution import scaled, train
from snnssl_mm.transfer.suites import Metric, SuiteError

METRICS = {"AP": Metric("coco/bbox_mAP", 1.0), "mIoU": Metric("mIoU", 0.01)}


def test_metrics_by_column_from_zero_to_one():
    found = {"coco/bbox_mAP": 0.25, "mIoU": 62.5, "other": 3}
    assert scaled(found, METRICS) == {"AP": 0.25, "mIoU": 0.625}
    assert scaled({}, METRICS) == {"AP": 0.0, "mIoU": 0.0}, "a detector found nothing"
    assert scaled({"coco/bbox_mAP": -1.0, "mIoU": 0}, METRICS)["AP"] == 0


@pytest.mark.parametrize("found", [{"coco/segm_mAP": 0.5}, {"coco/bbox_mAP": 50.0}])
def test_metrics_that_are_not_there_or_in_percent(found):
    with pytest.raises(SuiteError, match=next(iter(found))):
        scaled(found, {"AP": METRICS["AP"]})


def test_a_training_without_an_evaluation_has_no_metrics(task, weights, tmp_path):
    cfg = Config.fromfile(task("segmentation").config)
    cfg.train_cfg.val_begin = cfg.train_cfg.max_iters + 1
    forget_runs()
    about = {"row": {"checkpoint": str(weights(cfg.filename))}}
    with pytest.raises(SuiteError):
        train(about, cfg, tmp_path)
    assert (tmp_path / "last_checkpoint").exists(), "it was trained"


def test_evaluations_that_a_resumed_run_repeated_count_once(tmp_path):
    rows = [
        dict(seconds=s, step=n, metrics={"mIoU": float(s)})
        for s, n in ((1, 10), (2, 20), (3, 20), (4, 30))
    ]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "evaluations.jsonl").write_text("\n".join([*lines, '{"step": 4']))
    curve = read_curve(tmp_path)
    assert [(row["step"], row["seconds"]) for row in curve] == [
        (10, 1),
        (20, 3),
        (30, 4),
    ]
    assert read_curve(tmp_path / "none") == []
