"""Jobs: one for each task, fraction, entry and seed; digests decide what is known."""

import json

import pytest
from mmengine.config import Config

from snnssl_mm.recording.results_file import ResultsFile
from snnssl_mm.transfer.entries import Entry, Weights
from snnssl_mm.transfer.jobs import (
    JOB,
    KEY,
    ROW,
    comparable_rows,
    expand,
    longest_first,
)
from snnssl_mm.transfer.suites import SuiteError

METRICS = {"AP": "coco/bbox_mAP"}
A, B = Weights("a.pth", "aaa"), Weights("b.pth", "bbb")
CTL = Entry("ctl", (A, B, A))
ENTRIES = [CTL, Entry("random"), Entry("pixels")]
CFG = Config(dict(model=dict(backbone=dict(type="B")), lr=1.0))


@pytest.fixture
def jobs_of(suite_of):
    """Return a function that expands a suite of a probe and a detector."""

    def make(entries=ENTRIES, lr=1.0, metrics=METRICS, seeds=(5, 6, 7)):
        suite = suite_of(
            knn=dict(probe="knn", fractions=[0.5, 1]),
            boxes=dict(config="a.py", metrics=metrics),
        )
        boxes = Config(dict(CFG, lr=lr))
        return expand(suite, entries, seeds, {"knn": CFG, "boxes": boxes})

    return make


@pytest.fixture
def results(tmp_path):
    return ResultsFile(tmp_path / "rows.json", "transfer", KEY)


def row(job, **more):
    return {**job.key, "digest": job.digest, "metrics": {"AP": 0.5}, **more}


def test_a_job_for_each_task_fraction_entry_and_seed(jobs_of):
    jobs = jobs_of()
    keys = {tuple(job.key.values()) for job in jobs}
    assert len(keys) == len(jobs) == 2 * 3 * 3 + 2 * 3, "pixels have no detector"
    used = {(j.seed, j.weights.sha256) for j in jobs if j.entry == "ctl"}
    assert used == {(5, "aaa"), (6, "bbb"), (7, "aaa")}
    assert {job.cfg.randomness.seed for job in jobs} == {5, 6, 7}
    assert len({job.digest for job in jobs}) == len(jobs)
    assert len({job.folder("w") for job in jobs}) == len(jobs)


@pytest.mark.parametrize("given", range(1, 5))
def test_one_checkpoint_or_one_for_each_seed(jobs_of, given):
    made = tuple(Weights(f"{index}.pth", f"{index}") for index in range(given))
    entries = [Entry("ctl", made), Entry("btl", (A,)), Entry("random")]
    seeds = (5, 6, 5, 7)  # three
    if given not in (1, 3):
        with pytest.raises(SuiteError, match="ctl"):
            jobs_of(entries, seeds=seeds)
        return
    jobs = jobs_of(entries, seeds=seeds)
    assert len({tuple(job.key.values()) for job in jobs}) == len(jobs)
    used = {job.weights for job in jobs if job.entry == "ctl"}
    assert used == set(made), "none is left out"
    assert {job.seed for job in jobs if job.weights == A} == {5, 6, 7}


def test_other_settings_or_weights_change_the_digest(jobs_of):
    def boxes(**changes):
        jobs = jobs_of(**changes)
        return {
            j.entry: j.digest for j in jobs if j.task.name == "boxes" and j.seed == 5
        }

    before = boxes()
    assert boxes() == before
    moved = Entry("ctl", (Weights("elsewhere.pth", "aaa"),))
    assert boxes(entries=[moved])["ctl"] == before["ctl"]
    other = Entry("ctl", (Weights("a.pth", "ccc"),))
    assert boxes(entries=[other])["ctl"] != before["ctl"]
    changed = boxes(lr=2.0)
    assert all(changed[entry] != before[entry] for entry in before)
    assert boxes(metrics={"other": "name"}) == before, "no training for a column"


def test_a_row_counts_while_its_digest_and_metrics_do(jobs_of, results):
    job = next(job for job in jobs_of() if job.task.name == "boxes")
    assert job.find(results) is None
    results.append(row(job))
    assert job.find(results)["metrics"] == {"AP": 0.5}
    outdated = next(j for j in jobs_of(lr=2.0) if j.key == job.key)
    assert outdated.find(results) is None
    more = next(j for j in jobs_of(metrics={**METRICS, "x": "y"}) if j.key == job.key)
    assert more.find(results) is None
    results.append(row(outdated))
    assert len(results.rows) == 1
    assert job.find(results) is None


@pytest.mark.parametrize(
    ("then", "now", "counts"),
    [
        ("coco/bbox_mAP", "coco/bbox_mAP", True),
        ("coco/bbox_mAP", ("coco/bbox_mAP", 1), True),
        ("coco/bbox_mAP", "coco/bbox_mAP_50", False),
        ("mIoU", ("mIoU", 1.0), False),
    ],
)
def test_a_row_counts_while_its_metrics_are_read_alike(
    jobs_of, results, tmp_path, then, now, counts
):
    old, new = (
        next(job for job in jobs_of(metrics={"AP": value}) if job.task.name == "boxes")
        for value in (then, now)
    )
    folder = old.write(tmp_path, 2, "snnssl transfer")
    assert folder == new.folder(tmp_path), "the training is kept"
    left = {**json.loads((folder / JOB).read_text())["row"], "metrics": {"AP": 0.5}}
    (folder / ROW).write_text(json.dumps(left))
    results.append(left)
    for job, expected in ((old, True), (new, counts)):
        assert (job.find(results) is not None) == expected
        assert (job.finished(tmp_path) is not None) == expected
    del left["metric_keys"]  # as in earlier versions
    assert new.accepts(left)


def test_rows_of_other_settings_are_not_compared(jobs_of, results):
    jobs = [job for job in jobs_of() if job.task.name == "boxes"]
    former = [job for job in jobs_of(lr=2.0) if job.task.name == "boxes"]
    kept = [
        row(jobs[0], entry="btl", settings=jobs[0].settings),
        row(jobs[0], seed=8, settings=jobs[0].settings),
        row(jobs[0], entry="of an earlier version"),
        row(jobs[0], task="not run now", settings="other"),
    ]
    left_out = [
        row(jobs[0], entry="sim", settings=former[0].settings),
        row(former[1], settings=former[1].settings),  # its job is still to be done
    ]
    for one in (row(jobs[0], settings=jobs[0].settings), *kept, *left_out):
        results.append(one)
    found, others = comparable_rows(jobs, results)
    assert [one["entry"] for one in found] == [jobs[0].entry]
    assert others == kept


def test_a_row_in_the_folder_counts_if_it_is_the_jobs(jobs_of, tmp_path):
    first, second = [job for job in jobs_of() if job.task.name == "boxes"][:2]
    folder = first.write(tmp_path, 2, "snnssl transfer")
    assert folder == first.folder(tmp_path)
    assert Config.fromfile(folder / "config.py").lr == 1.0
    assert first.finished(tmp_path) is None
    (folder / ROW).write_text(json.dumps(row(second)))
    assert first.finished(tmp_path) is None
    (folder / ROW).write_text(json.dumps(row(first)))
    assert first.finished(tmp_path)["metrics"] == {"AP": 0.5}


def test_probes_that_share_features_are_one_process(jobs_of, results):
    groups = longest_first(jobs_of(), results)
    frozen = [group for group in groups if group[0].task.frozen]
    # Two checkpoints, three random networks, the pixels of all seeds.
    assert sorted(len(group) for group in frozen) == [2, 2, 2, 2, 4, 6]
    assert all(len(group) == 1 for group in groups if group not in frozen)


def test_the_longest_come_first(jobs_of, results):
    jobs = jobs_of(entries=ENTRIES[1:], seeds=[0])
    assert longest_first(jobs, results)[0][0].task.name == "boxes"
    for job in jobs:
        results.append(row(job, seconds=100 if job.task.name == "knn" else 1))
    assert longest_first(jobs, results)[0][0].task.name == "knn"
