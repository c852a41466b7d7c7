"""How images are looked at where a config has no labelled ones of its own."""

from pathlib import Path

import pytest
from mmengine.config import Config

from snnssl_mm.probing.evaluation_pipeline import crop_size, evaluation_pipeline

CONFIGS = Path(__file__).parents[2] / "configs"
LOAD, PACK = dict(type="LoadImageFromFile"), dict(type="PackInputs")


def config(*view, wrapped=False, **entries):
    views = dict(type="MultiView", num_views=2, transforms=[list(view)])
    dataset = dict(type="ImageFolder", pipeline=[LOAD, views, PACK])
    if wrapped:
        dataset = dict(type="RepeatDataset", times=3, dataset=dataset)
    return Config(dict(train_dataloader=dict(dataset=dataset), **entries))


@pytest.mark.parametrize(
    "name", ["image_folder", "image_folder_32", "digit_scenes", "imagenet_224"]
)
def test_the_configs_own_steps_are_taken(name):
    cfg = Config.fromfile(CONFIGS / "_base_" / "datasets" / f"{name}.py")
    own = cfg.get("eval_pipeline") or [*cfg.file_loading, PACK]
    assert evaluation_pipeline(cfg) == own


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("own", [None, [LOAD, dict(type="CenterCrop", crop_size=32)]])
def test_the_size_is_that_of_the_training(wrapped, own):
    crop = dict(type="snnssl_mm.OpenCVRandomResizedCrop", scale=96)
    cfg = config(crop, wrapped=wrapped, eval_pipeline=own)
    assert crop_size(evaluation_pipeline(cfg)) == 96


def test_oblong_crops_stay_oblong():
    cfg = config(dict(type="RandomResizedCrop", scale=(64, 96)))
    _, resize, crop, _ = evaluation_pipeline(cfg)
    assert (resize["scale"], crop["crop_size"]) == (96, (64, 96))


def test_a_config_that_tells_nothing_is_refused():
    with pytest.raises(ValueError, match="eval_pipeline"):
        evaluation_pipeline(config(dict(type="RandomFlip")))
