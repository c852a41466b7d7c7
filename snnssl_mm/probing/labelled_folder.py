"""Folder of labelled images that replaces the images of a config."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from snnssl_mm.checkpoints.preprocessing import loads_file, read_as_files
from snnssl_mm.probing.evaluation_pipeline import add_eval_loaders
from snnssl_mm.probing.labelled_images import EVAL_LOADERS

SPLITS = ("train", "test")


def with_labelled_folder(cfg: Config, folder: Path) -> Config:
    """Return a copy of a config whose labelled images are those of a folder.

    The folder has ``{train,test}/<class>/*``, or images directly inside ``train`` and
    ``test`` with their classes in ``train.txt`` and ``test.txt``, see
    :class:`snnssl_mm.datasets.ImageFolder`. The images pass the config's evaluation
    pipeline. If that expects images in memory, the config's ``file_loading`` comes
    first, and the channels are exchanged, since files are read as BGR.

    Raises:
        FileNotFoundError: If a part of the folder is missing.
        ValueError: If the config has no pipeline for labelled images, or does not say
            how files are loaded.
    """
    require_splits(folder)
    cfg = copy.deepcopy(cfg)
    add_eval_loaders(cfg, EVAL_LOADERS)
    loading = loading_steps(cfg)
    for split, name in zip(SPLITS, EVAL_LOADERS, strict=True):
        labels = folder / f"{split}.txt"
        cfg[name].dataset = dict(
            type="snnssl_mm.ImageFolder",
            data_root=str(folder),
            data_prefix=split,
            label_file=labels.name if labels.exists() else "",
            test_mode=True,
            pipeline=[*loading, *cfg[name].dataset.get("pipeline", [])],
        )
    if loading:
        read_as_files(cfg)
        if cfg.get("labelled_pipeline"):
            cfg.labelled_pipeline = [*loading, *cfg.labelled_pipeline]
    return cfg


def require_splits(folder: Path) -> None:
    """Refuse a folder without ``train`` and ``test``, or with only one label file.

    Raises:
        FileNotFoundError: If a folder or a label file is missing.
    """
    for split in SPLITS:
        if not (folder / split).is_dir():
            raise FileNotFoundError(
                f"{folder / split} is not a folder; expected {folder}/train/<class>/* "
                f"and {folder}/test/<class>/*"
            )
    found = [split for split in SPLITS if (folder / f"{split}.txt").exists()]
    if len(found) == 1:
        (missing,) = set(SPLITS) - set(found)
        raise FileNotFoundError(
            f"{folder} has the label file {found[0]}.txt, but no {missing}.txt; write "
            "one class per line there, or sort the images into one folder per class"
        )


def loading_steps(cfg: Config) -> list[Any]:
    """Return the transforms that must precede the config's pipeline for files.

    Raises:
        ValueError: If the pipeline expects images in memory and the config has no
            ``file_loading``.
    """
    pipeline = cfg[EVAL_LOADERS[0]].dataset.get("pipeline") or []
    if pipeline and loads_file(pipeline[0]):
        return []
    if not cfg.get("file_loading"):
        raise ValueError(
            "the config's images are in memory, and it does not define how files are "
            "loaded; set file_loading=[...] to the steps that load and resize a file, "
            "as configs/_base_/datasets/digit_scenes.py does"
        )
    return list(cfg.file_loading)
