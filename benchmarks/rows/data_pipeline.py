"""Data pipelines of the configs: pairs of views per second on one core."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from harness import Case, Run, Side
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmpretrain.registry import TRANSFORMS
from mmpretrain.utils import register_all_modules

TITLE = "data pipeline, pairs of views on one core"
ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs" / "_base_" / "datasets"


class Size(NamedTuple):
    """Which recipe, on images of which size; whether these are JPEG files."""

    config: str
    images: int
    height: int
    width: int
    files: bool


def photographs(size: Size) -> list[dict[str, Any]]:
    """Make smooth random images, as arrays or as JPEGs of about ImageNet's size."""
    generator = np.random.default_rng(0)
    records = []
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for index in range(size.images):
        coarse = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        image = cv2.resize(
            coarse, (size.width, size.height), interpolation=cv2.INTER_CUBIC
        )
        noise = generator.normal(0, 12, image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
        record: dict[str, Any] = {"gt_label": 0}
        if size.files:
            file = folder / f"{index}.jpg"
            cv2.imwrite(str(file), image)
            records.append({**record, "img_path": str(file)})
        else:
            shape = image.shape[:2]
            records.append(
                {**record, "img": image, "img_shape": shape, "ori_shape": shape}
            )
    return records


def loading(size: Size) -> Run:
    """Make a batch of pairs as a data loader's worker does, on one thread."""
    register_all_modules(init_default_scope=True)
    config = Config.fromfile(CONFIGS / size.config)
    transforms = config.train_dataloader.dataset.pipeline
    pipeline: Callable[[dict[str, Any]], Any] = Compose(
        [TRANSFORMS.build(transform) for transform in transforms]
    )
    records = photographs(size)

    def run() -> Any:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(0)
        np.random.seed(0)  # noqa: NPY002  (what the transforms draw from)
        try:
            return default_collate([pipeline(dict(record)) for record in records])
        finally:
            cv2.setNumThreads(threads)

    return run


def cases(device: str, quick: bool) -> list[Case]:
    """The demo's scenes, CIFAR-10's recipe and ImageNet's."""
    number = 2 if quick else 32
    sizes = {
        "16x16, digit scenes in memory": Size("digit_scenes.py", number, 16, 16, False),
        "32x32, CIFAR-10 in memory": Size("cifar10_32.py", number, 32, 32, False),
        "224x224, JPEGs of 500x375": Size("imagenet_224.py", number, 375, 500, True),
    }
    return [
        Case(
            name,
            {"ours": Side(loading, memory=False)},
            size,
            budget_s=4,
            items=(size.images, "pairs"),
            headline=True,
        )
        for name, size in sizes.items()
    ]
