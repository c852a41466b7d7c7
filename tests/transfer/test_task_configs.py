"""Fractions of labels: nested, seeded, the same number of iterations."""

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from snnssl_mm.datasets.labelled_fraction import distinct_samples
from snnssl_mm.transfer.suites import SuiteError
from snnssl_mm.transfer.task_configs import job_config, random_start, task_config

METRICS = {"AP": "coco/bbox_mAP"}


@pytest.fixture
def images(task, suite_of):
    """Return a function: the training images of a task with a fraction."""

    def build(name, fraction, seed=0, wrap=None):
        made = task(name)
        (one,) = suite_of(t=dict(config=str(made.config), metrics=METRICS)).tasks
        cfg = Config.fromfile(made.config)
        if wrap:
            cfg.train_dataloader.dataset = wrap(cfg.train_dataloader.dataset)
        cfg = job_config(one, cfg, seed, fraction)
        init_default_scope(cfg.default_scope)
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        paths = [dataset.get_data_info(i)["img_path"] for i in range(len(dataset))]
        return paths, distinct_samples(dataset)

    return build


@pytest.mark.parametrize("name", ["detection", "segmentation"])
def test_few_images_are_repeated_to_the_full_length(images, name):
    full, number = images(name, 1.0)
    assert number == len(set(full)) == 4
    nested = set()
    for fraction, kept in ((0.1, 1), (0.5, 2), (0.75, 3)):
        paths, number = images(name, fraction)
        assert number == len(set(paths)) == kept
        assert len(paths) == len(full)
        counts = np.unique(paths, return_counts=True)[1]
        assert counts.max() - counts.min() <= 1
        assert nested < set(paths) < set(full)
        nested = set(paths)


def test_the_seed_draws(images):
    drawn = {frozenset(images("detection", 0.5, seed)[0]) for seed in range(8)}
    assert len(drawn) > 1
    assert images("detection", 0.5, 3) == images("detection", 0.5, 3)


def test_classes_keep_an_image_each(images):
    paths, number = images("classification", 0.01)
    assert number == 3  # images 0 to 3 have the classes 0, 1, 2, 0
    assert {path[-5] for path in paths} in ({*"012"}, {*"123"})
    assert len(paths) == 4


def test_wrapped_datasets_are_reduced_inside(images):
    def wrap(inner):
        return dict(type="RepeatDataset", times=3, dataset=inner)

    paths, number = images("segmentation", 0.5, wrap=wrap)
    assert (len(paths), number) == (12, 2)


def test_probes_take_the_fraction_of_their_protocol(suite_of):
    probes = dict(few=dict(probe="semi-10pct"), all=dict(probe="finetune"))
    for task, share in zip(suite_of(**probes).tasks, (0.05, 0.5), strict=True):
        cfg = job_config(task, Config(dict()), 3, 0.5)
        assert cfg.probes[task.probe].fraction == pytest.approx(share)
        assert cfg.randomness.seed == 3
        cfg = job_config(task, Config(dict()), 3, 10)
        assert cfg.probes[task.probe].fraction == 10  # labels a class


def test_options_for_all_tasks_and_for_one(suite_of):
    one, two = suite_of(
        a=dict(config="a.py", metrics=METRICS, options={"x.y": 1}),
        b=dict(config="a.py", metrics=METRICS),
    ).tasks
    options = {"z": 2, "b:x.y": 5}
    cfg = Config(dict(x=dict(y=0)))
    assert task_config(one, cfg, options).to_dict() == dict(x=dict(y=1), z=2)
    assert task_config(two, cfg, options).to_dict() == dict(x=dict(y=5), z=2)
    assert cfg.x.y == 0


def test_data_replaces_the_root_in_loaders_and_evaluators(suite_of):
    (task,) = suite_of(a=dict(config="a.py", metrics=METRICS)).tasks
    cfg = Config(
        dict(
            data_root="data/coco/",
            val_dataloader=dict(dataset=dict(data_root="data/coco/", x="data/coco2")),
            val_evaluator=[dict(ann_file="data/coco/annotations/val.json")],
        )
    )
    moved = task_config(task, cfg, {}, "/mine")
    assert moved.val_dataloader.dataset == dict(data_root="/mine/", x="data/coco2")
    assert moved.val_evaluator[0].ann_file == "/mine/annotations/val.json"
    with pytest.raises(SuiteError, match="data_root"):
        task_config(task, Config(dict(x=1)), {}, "/mine")


def test_a_random_start_keeps_other_initialisers():
    xavier = dict(type="Xavier", layer="Conv2d")
    pretrained = dict(type="Pretrained", checkpoint="a.pth")
    model = dict(pretrained="b.pth", backbone=dict(init_cfg=pretrained))
    cfg = Config(dict(load_from="c.pth", model=model))
    start = random_start(cfg)
    assert start.load_from is None
    assert start.model.pretrained is None
    assert start.model.backbone.init_cfg is None
    cfg.model.backbone.init_cfg = xavier
    assert random_start(cfg).model.backbone.init_cfg == xavier
