"""Before the first job: what does not fit is named with its task."""

import pytest
from mmengine.config import Config

from snnssl_mm.transfer.readiness import require_ready
from snnssl_mm.transfer.suites import SuiteError

METRICS = {"mIoU": "mIoU"}


@pytest.fixture
def check(task, suite_of, tiny_config):
    """Return a function that checks a segmentor and a probe, with changes."""

    def run(entries, probe="knn", **changes):
        seg = task("segmentation").config
        suite = suite_of(
            seg=dict(config=str(seg), metrics=METRICS), probe=dict(probe=probe)
        )
        configs = {"seg": Config.fromfile(seg), "probe": Config.fromfile(tiny_config)}
        for key, value in changes.items():
            name, _, rest = key.partition("__")
            configs[name].merge_from_dict({rest.replace("__", "."): value})
        names = {key.partition("__")[0] for key in changes} or {"seg", "probe"}
        require_ready([t for t in suite.tasks if t.name in names], configs, entries)

    return run


def test_what_fits_passes(check, weights, entries_of, task):
    file = weights(task("segmentation").config)
    check(entries_of(ctl=file), seg__seed=0)
    check(entries_of(), seg__train_cfg__val_begin=2, probe__seed=0)


def test_a_checkpoint_of_another_architecture(check, weights, entries_of, task):
    file = weights(task("segmentation").config)
    with pytest.raises(SuiteError, match=r"task probe .*checkpoint ctl: .*tensors"):
        check(entries_of(ctl=file), probe__model__backbone__arch__embed_dims=32)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (dict(seg__train_dataloader__dataset__data_root="/nowhere"), "/nowhere"),
        (dict(seg__val_evaluator=None), "val_evaluator"),
        (dict(seg__train_cfg__val_begin=3), "val_begin"),
        (dict(seg__model__backbone__time_steps=0), "time_steps"),
        (dict(seg__model__type="EncoderDecoderr"), "EncoderDecoder"),
        (dict(seg__model__neck__in_channels=[4, 8, 16, 17]), "neck"),
        (dict(probe__eval_test_dataloader=None), "eval_test_dataloader"),
        (dict(probe__labelled_pipeline=None, probe="finetune"), "labelled_pipeline"),
        (dict(probe__probes=dict(finetune=dict(lr=-1)), probe="finetune"), "lr=-1"),
    ],
)
def test_faults_name_the_task(check, entries_of, changes, named):
    with pytest.raises(SuiteError, match=rf"task (seg|probe) \(.*\): .*{named}"):
        check(entries_of(), **changes)


def test_no_checkpoint_at_all(check, entries_of, tmp_path):
    file = tmp_path / "notes.pth"
    file.write_text("notes")
    with pytest.raises(SuiteError, match=str(file)):
        check(entries_of(ctl=file), seg__seed=0)
