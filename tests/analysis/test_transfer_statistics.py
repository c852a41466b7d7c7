"""Statistics and tables of a transfer suite, against sums written out here."""

from itertools import product

import numpy as np
import pytest
from scipy import stats
from transfer_rows import transfer_row

from snnssl_mm.analysis.transfer_statistics import (
    Measure,
    at_all_labels,
    compare,
    missing_rows,
    mixed_checkpoints,
    transfer_cells,
)
from snnssl_mm.analysis.transfer_table import transfer_tables


def scores(rows, task, metric, entry, fraction=1.0):
    """Return the scores of a cell in percent, by seed."""
    wanted = dict(task=task, entry=entry, fraction=fraction)
    return [
        100 * row["metrics"][metric]
        for row in sorted(rows, key=lambda row: row["seed"])
        if wanted.items() <= row.items()
    ]


def test_every_cell_has_mean_and_deviation_of_its_rows(suite_rows):
    cells = transfer_cells(suite_rows)
    assert len(cells) == 3 + 2 * 2 * 2
    for cell in cells:
        found = scores(suite_rows, *cell.measure, cell.entry, cell.fraction)
        assert cell.summary.mean == pytest.approx(np.mean(found))
        assert cell.summary.number == len(found)
        assert cell.labelled_images == 400 * cell.fraction
        if cell.entry != "pixels":
            assert cell.summary.deviation == pytest.approx(np.std(found, ddof=1))


def test_gain_is_the_paired_one_over_random(suite_rows):
    for one in compare(transfer_cells(suite_rows)):
        pair = [
            scores(suite_rows, *one.measure, entry, one.fraction)
            for entry in ("ctl", "random")
        ]
        assert one.gain.mean == pytest.approx(np.mean(pair[0]) - np.mean(pair[1]))
        if one.measure.task == "mask-rcnn":
            interval = stats.ttest_rel(*pair).confidence_interval(0.95)
            assert one.gain[1:3] == pytest.approx(interval)
        else:  # both rise by the same from seed to seed
            assert one.gain.method == "no spread"


def test_order_of_rows_changes_no_number(suite_rows):
    def numbers(rows):
        return {cell[:3]: cell.summary for cell in transfer_cells(rows)}

    reordered = numbers(suite_rows[::-1])
    assert reordered.keys() == numbers(suite_rows).keys()
    for key, summary in numbers(suite_rows).items():
        assert reordered[key] == pytest.approx(summary, nan_ok=True)


def test_largest_fraction_of_each_task_counts_as_all_labels():
    rows = [
        transfer_row("semi", "ctl", 0, 0.01, top1=0.3),
        transfer_row("semi", "ctl", 0, 0.1, top1=0.6),
        transfer_row("linear", "ctl", 0, 1.0, top1=0.9),
    ]
    kept = at_all_labels(compare(transfer_cells(rows)))
    assert [(one.measure.task, one.fraction) for one in kept] == [
        ("semi", 0.1),
        ("linear", 1.0),
    ]


def test_missing_cells_are_none_and_listed(suite_rows):
    rows = [
        row
        for row in suite_rows
        if not (row["task"] == "mask-rcnn" and row["entry"] == "random")
        and not (row["task"] == "knn" and row["entry"] == "ctl" and row["seed"] > 0)
    ]
    compared = compare(transfer_cells(rows))
    knn = next(one for one in compared if one.measure == Measure("knn", "top1"))
    assert knn.gain.method == "one seed"
    boxes = [one for one in compared if one.measure.task == "mask-rcnn"]
    assert [one.random for one in boxes] == [None] * 4
    assert [one.gain for one in boxes] == [None] * 4
    assert missing_rows(rows) == [
        ("knn", 1.0, "ctl", [1, 2]),
        ("mask-rcnn", 1.0, "random", [0, 1, 2]),
        ("mask-rcnn", 0.25, "random", [0, 1, 2]),
    ]
    assert missing_rows(suite_rows) == []


def test_baselines_without_a_checkpoint_are_shown(suite_rows):
    rows = [row for row in suite_rows if row["entry"] != "ctl"]
    compared = compare(transfer_cells(rows))
    assert all(one.checkpoint is None and one.random for one in compared)
    assert compared[0].pixels.summary.mean == pytest.approx(80)


def test_metrics_that_are_not_finite_are_missing():
    rows = [
        transfer_row("knn", "ctl", seed, top1=value)
        for seed, value in enumerate((0.5, float("nan"), None))
    ]
    (cell,) = transfer_cells(rows)
    assert cell.scores == {0: 50.0}


def test_a_repeated_row_replaces_the_former_one():
    rows = [transfer_row("knn", "ctl", 0, top1=value) for value in (0.1, 0.9)]
    (cell,) = transfer_cells(rows)
    assert cell.scores == {0: 90.0}


def test_checkpoints_of_one_name_are_seeds_of_one_method():
    rows = [
        {**transfer_row(task, "ctl", seed, top1=0.5), "sha256": f"sha{seed}"}
        for task, seed in product(("knn", "linear"), range(3))
    ]
    assert [cell.summary.number for cell in transfer_cells(rows)] == [3, 3]
    assert mixed_checkpoints(rows) == []
    rows[-1]["sha256"] = "retrained"
    assert mixed_checkpoints(rows) == ["ctl, seed 2: retrained, sha2"]


def test_equal_tasks_of_two_suites_are_not_mixed():
    rows = [
        {**transfer_row("knn", "ctl", 0, top1=score), "suite": suite}
        for suite, score in (("digits", 0.5), ("cells", 0.7))
    ]
    cells = {cell.measure.task: cell.scores for cell in transfer_cells(rows)}
    assert cells == {"digits: k-NN": {0: 50.0}, "cells: k-NN": {0: 70.0}}


def test_tables_show_the_numbers(suite_rows):
    full, fewer = transfer_tables(suite_rows)
    knn = dict(zip(full.head, full.rows[0], strict=True))
    assert knn["task"] == "k-NN"
    assert knn["pretrained"] == "91.0 ± 1.0"
    assert knn["random"] == "51.0 ± 1.0"
    assert knn["raw pixels"] == "80.0"
    assert knn["gain [95 % CI]"] == "+40.0"
    assert [row[:2] for row in full.rows[1:]] == [
        ["mask-rcnn", "box AP"],
        ["mask-rcnn", "mask AP"],
    ]
    box = dict(zip(fewer.head, fewer.rows[1], strict=True))
    assert (box["metric"], box["labels"]) == ("box AP", "100 (25 %)")
    pair = [
        scores(suite_rows, "mask-rcnn", "box AP", entry, 0.25)
        for entry in ("ctl", "random")
    ]
    low, high = stats.ttest_rel(*pair).confidence_interval(0.95)
    gain = np.mean(pair[0]) - np.mean(pair[1])
    assert box["gain [95 % CI]"] == f"{gain:+.1f} [{low:.1f}, {high:.1f}]"
    assert "raw pixels" not in fewer.head
    assert "checkpoint ctl" in full.caption


def test_table_of_eight_metrics_is_at_most_100_columns_wide():
    measures = [f"metric{i}" for i in range(8)]
    rows = [
        transfer_row("mask-rcnn", entry, s, **dict.fromkeys(measures, (s + 1) / 7 / d))
        for entry, s, d in product(("ctl", "random", "pixels"), range(3), (1, 2))
    ]
    (table,) = transfer_tables(rows)
    widths = [max(map(len, column)) for column in zip(*table.rows, strict=True)]
    widths = [
        max(width, len(name)) for width, name in zip(widths, table.head, strict=True)
    ]
    assert len(table.rows) == 8
    assert sum(widths) + 3 * len(widths) <= 100


def test_several_checkpoints_have_a_line_each(suite_rows):
    second = [{**r, "entry": "btl"} for r in suite_rows if r["entry"] == "ctl"]
    table = transfer_tables([*suite_rows, *second])[0]
    column = table.head.index("checkpoint")
    assert [row[column] for row in table.rows] == ["ctl", "btl"] * 3


def test_seeds_that_do_not_pair_are_marked(suite_rows):
    rows = [
        {**row, "seed": row["seed"] + 5} if row["entry"] == "random" else row
        for row in suite_rows
    ]
    table = transfer_tables(rows)[0]
    gains = [row[table.head.index("gain [95 % CI]")] for row in table.rows]
    assert all(gain.endswith("]†") for gain in gains)
    assert "Welch" in table.caption


def test_without_baselines_there_is_no_gain(suite_rows):
    table = transfer_tables([row for row in suite_rows if row["entry"] == "ctl"])[0]
    assert {"random", "raw pixels", "gain [95 % CI]"}.isdisjoint(table.head)
    assert "gain" not in table.caption
    assert "seeds 3. Mean" in table.caption


def test_no_rows_make_no_table():
    assert transfer_tables([]) == []


def test_numbers_of_labels_a_class_stand_below_all_labels():
    rows = [
        dict(
            transfer_row("linear", entry, 0, share, **{"top-1": score}),
            labelled_images=images,
        )
        for entry in ("ctl", "random")
        for share, images, score in (
            (10.0, 100, 0.5),
            (1.0, 1000, 0.9),
            (30.0, 300, 0.7),
        )
    ]
    compared = compare(transfer_cells(rows))
    assert [one.fraction for one in compared] == [1.0, 30.0, 10.0]
    assert [one.fraction for one in at_all_labels(compared)] == [1.0]
    labels = transfer_tables(rows)[1].rows
    assert [line[2] for line in labels] == [
        "1,000",
        "300 (30 a class)",
        "100 (10 a class)",
    ]
