"""The demo's table: metrics of the last evaluation, means over the seeds."""

import json

from snnssl_mm.cli.demo import last_metrics, summarise


def write_log(work_dir, time, *rows):
    file = work_dir / time / "vis_data" / "scalars.json"
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_metrics_are_those_of_the_last_evaluation(tmp_path):
    boxes = {"coco/bbox_mAP": 0.1, "coco/bbox_mAP_50": 0.2, "coco/segm_mAP": 0.05}
    later = {"coco/bbox_mAP": 0.3, "coco/bbox_mAP_50": 0.5, "coco/segm_mAP": 0.25}
    write_log(tmp_path, "20260101_000000", dict(loss=1.0, step=1), boxes)
    write_log(tmp_path, "20260101_010000", later, dict(loss=0.5, step=9))
    expected = {"box AP": 0.3, "box AP50": 0.5, "mask AP": 0.25}
    assert last_metrics(tmp_path) == expected


def test_all_metrics_are_shares_of_one(tmp_path):
    write_log(tmp_path, "20260101_000000", {"mIoU": 62.5, "step": 12})
    assert last_metrics(tmp_path) == {"mIoU": 0.625}


def test_summary_keeps_what_only_some_rows_have():
    rows = [
        {"results": {"pretrained": {"knn": a, "mIoU": b}, "pixels": {"knn": 0.5}}}
        for a, b in ((0.8, 0.6), (0.9, 0.7))
    ]
    assert summarise(rows) == {
        "pretrained": {"knn": "85.0 ± 7.1", "mIoU": "65.0 ± 7.1"},
        "pixels": {"knn": "50.0 ± 0.0"},
    }
