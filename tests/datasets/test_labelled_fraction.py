"""The part of a dataset that keeps its labels."""

import json
from collections import Counter
from itertools import pairwise

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope

from snnssl_mm.datasets.labelled_fraction import draw_fraction

SIZES = {"a": 40, "b": 20, "c": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("classes")
    for name, size in SIZES.items():
        (root / name).mkdir()
        for index in range(size):
            cv2.imwrite(str(root / name / f"{index:02}.png"), np.zeros((4, 4, 3)))
    return root


@pytest.fixture
def draw(folder):
    """Build the dataset; return the paths of its images."""
    init_default_scope("mmpretrain")

    def build(fraction=0.1, seed=0, **options):
        config = dict(type="CustomDataset", data_root=str(folder), **options)
        dataset = DATASETS.build(
            dict(
                type="snnssl_mm.LabelledFraction",
                fraction=fraction,
                seed=seed,
                dataset=config,
            )
        )
        samples = [dataset.get_data_info(i) for i in range(len(dataset))]
        return [sample["img_path"] for sample in samples]

    return build


@pytest.mark.parametrize(
    ("fraction", "sizes"),
    [(0.1, (4, 2, 1)), (0.5, (20, 10, 1)), (1, (40, 20, 1)), (1e-6, (1, 1, 1))],
)
def test_each_class_keeps_its_share_and_at_least_one(draw, fraction, sizes):
    kept = draw(fraction)
    assert len(set(kept)) == len(kept)
    counts = Counter(path.split("/")[-2] for path in kept)
    assert counts == dict(zip(SIZES, sizes, strict=True))


def test_the_seed_decides_and_less_is_a_part_of_more(draw):
    assert draw(seed=1) == draw(seed=1)
    assert draw(seed=1) != draw(seed=2)
    assert set(draw(0.1, seed=1)) < set(draw(0.5, seed=1))


def test_samples_are_drawn_from_all_of_a_class(draw):
    often = Counter(path for seed in range(12) for path in draw(0.5, seed=seed))
    first_class = [often[path] for path in often if "/a/" in path]
    assert len(first_class) == SIZES["a"]
    assert max(first_class) < 12


def test_samples_load_with_the_pipeline_of_the_dataset(folder):
    init_default_scope("mmpretrain")
    config = dict(
        type="CustomDataset",
        data_root=str(folder),
        pipeline=[dict(type="LoadImageFromFile"), dict(type="PackInputs")],
    )
    dataset = DATASETS.build(
        dict(type="snnssl_mm.LabelledFraction", fraction=0.1, dataset=config)
    )
    labels = [int(dataset[i]["data_samples"].gt_label) for i in range(len(dataset))]
    assert Counter(labels) == {0: 4, 1: 2, 2: 1}
    assert dataset.metainfo["classes"] == tuple(SIZES)


def test_a_number_above_one_is_that_of_each_class(draw):
    with pytest.raises(ValueError, match=r"class 2 has 1 .* 10 of"):
        draw(10)  # class c has a single image


def test_numbers_and_fractions_are_parts_of_each_other():
    labels = np.repeat([0, 1, 2], [20, 25, 30])
    drawn = [set(draw_fraction(labels, share, 3)) for share in (5, 0.5, 15, 1)]
    for smaller, larger in pairwise(drawn):
        assert smaller < larger
    assert [Counter(labels[sorted(one)].tolist()) for one in (drawn[0], drawn[2])] == [
        {0: number, 1: number, 2: number} for number in (5, 15)
    ]


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5, 10.5])
def test_a_fraction_out_of_range_is_refused(draw, fraction):
    with pytest.raises(ValueError, match=f"fraction.*{fraction}"):
        draw(fraction)


def test_unlabelled_images_are_refused(draw):
    with pytest.raises(ValueError, match="0 of CustomDataset"):
        draw(with_label=False)


def test_several_labels_a_sample_are_refused(tmp_path):
    init_default_scope("mmpretrain")
    samples = [dict(img_path="0.png", gt_label=[0, 1])]
    file = tmp_path / "two.json"
    file.write_text(json.dumps(dict(metainfo={}, data_list=samples)))
    config = dict(type="MultiLabelDataset", ann_file=str(file))
    with pytest.raises(ValueError, match=r"MultiLabelDataset.*\[0, 1\]"):
        DATASETS.build(
            dict(type="snnssl_mm.LabelledFraction", fraction=0.5, dataset=config)
        )
