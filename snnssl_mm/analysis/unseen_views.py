"""Two pretraining views of unseen images."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import SequentialSampler

from snnssl_mm.checkpoints.preprocessing import loads_file, source_of
from snnssl_mm.checks.data import check_data, silent
from snnssl_mm.recording.two_views import Collate


class Views(NamedTuple):
    """Arguments of ``two_view_batches``.

    Attributes:
        dataset: Dataset whose samples are two views of an image.
        collate: Collate function.
        images: ``'unseen'`` or ``'training'``.
    """

    dataset: Any
    collate: Collate
    images: str


def unseen_views(cfg: Config) -> Views:
    """Apply the pretraining's views to a config's unseen images.

    Args:
        cfg: Config with ``train_dataloader``, whose pipeline is used, and
            ``eval_test_dataloader``, whose images are used. Without the latter, as for
            a folder without classes, the training images are used.

    Raises:
        ValueError: If the config has no training pipeline, or images are missing.
    """
    train, test = cfg.get("train_dataloader"), cfg.get("eval_test_dataloader")
    pipeline = source_of(train).get("pipeline")
    if train is None or not pipeline:
        raise ValueError(
            "the config has no views of training images; use a pretraining config, "
            "such as configs/selfsup/spikformer_ctl.py"
        )
    name = "train_dataloader" if test is None else "eval_test_dataloader"
    with silent():
        check_data(cfg, [name])
    init_default_scope(cfg.get("default_scope") or "mmengine")
    settings = copy.deepcopy(source_of(cfg[name]))
    own = settings["pipeline"]
    settings["pipeline"] = [*missing_loading(own, pipeline), *pipeline]
    dataset = DATASETS.build(settings)
    loader = Runner.build_dataloader(
        dict(
            batch_size=1,
            dataset=dataset,
            sampler=SequentialSampler(dataset),
            collate_fn=copy.deepcopy(
                train.get("collate_fn", dict(type="pseudo_collate"))
            ),
        ),
        seed=0,
    )
    collate: Any = loader.collate_fn
    return Views(dataset, collate, "training" if test is None else "unseen")


def missing_loading(own: Sequence[Any], views: Sequence[Any]) -> list[Any]:
    """Return the loading transforms that views of images in memory lack for files.

    Args:
        own: Pipeline of the dataset whose images are used.
        views: Pipeline of the training.

    Returns:
        Transforms of ``own`` before the packing, if it reads files and ``views`` does
        not; otherwise none.
    """
    if not own or not loads_file(own[0]) or loads_file(views[0]):
        return []
    return [step for step in own if "Pack" not in str(step["type"])]
