"""Predictions on image files by the inferencers of mmdet, mmseg and mmpretrain."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.structures import PixelData
from PIL import Image

from snnssl_mm.checkpoints import load_whole_model, read_checkpoint
from snnssl_mm.datasets.image_folder import check_image

SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
MIN_SIDE = 256  # of a drawn picture, in pixels: text needs it
MAX_SCORES = 5  # classes of a picture that are written down


def find_images(path: Path) -> list[Path]:
    """Images of a folder (not of its sub-folders) or the one file, in order.

    Raises:
        ValueError: If there are none.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist; give an image or a folder of images")
    if path.is_file():
        return [path]
    images = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not images:
        raise ValueError(f"{path} holds no images ({', '.join(sorted(SUFFIXES))})")
    return images


def require_own_names(images: list[Path]) -> None:
    """Refuse images of which two would be drawn to one file.

    Raises:
        ValueError: It names them.
    """
    stem, times = Counter(file.stem for file in images).most_common(1)[0]
    if times > 1:
        raise ValueError(
            f"{images[0].parent} holds {times} images called {stem}, whose results "
            "would overwrite each other; rename them"
        )


class Inferencer:
    """One image in, a drawn picture and a prediction out, for a config of any scope.

    Args:
        cfg: Config of a detector (default scope mmdet), a segmentor (mmseg) or a
            classifier (mmpretrain); its test pipeline prepares the images.
        checkpoint: File or URL; all its weights must fit.
        out_dir: Pictures go to ``vis``, predictions to ``pred`` in it.
        score_thr: Lowest score of a box that is drawn; all are written down.
        device: Such as ``'cpu'``; a GPU where there is one by default.

    Raises:
        ValueError: If the config is for none of these tasks, or the checkpoint does
            not fit.
    """

    def __init__(
        self,
        cfg: Config,
        checkpoint: str,
        out_dir: Path,
        score_thr: float = 0.3,
        device: str | None = None,
    ) -> None:
        self.scope = cfg.get("default_scope")
        builders = {
            "mmdet": detection_inferencer,
            "mmseg": segmentation_inferencer,
            "mmpretrain": classification_inferencer,
        }
        if self.scope not in builders or cfg.get("test_dataloader") is None:
            raise ValueError(
                "the config has no test_dataloader of mmdet, mmseg or mmpretrain "
                f"(default_scope={self.scope!r}), whose pipeline would prepare the "
                "images; for a pretrained backbone see tools/visualization"
            )
        cfg = cfg.copy()
        cfg.load_from = None
        init_default_scope(self.scope)
        self.inferencer = builders[self.scope](cfg, device)
        load_whole_model(self.inferencer.model, checkpoint)
        self.set_classes(class_meta(cfg, checkpoint))
        self.out_dir, self.score_thr = out_dir, score_thr
        for name in ("vis", "pred"):
            (out_dir / name).mkdir(parents=True, exist_ok=True)

    def set_classes(self, meta: dict[str, Any]) -> None:
        """Tell the inferencer the names and colours of the classes."""
        if self.scope == "mmpretrain":
            self.inferencer.classes = meta["classes"]
            return
        self.inferencer.model.dataset_meta = meta
        if self.scope == "mmdet":
            palette = meta["palette"] or "random"
            self.inferencer.visualizer.dataset_meta = {**meta, "palette": palette}
        else:
            self.inferencer.visualizer.set_dataset_meta(**meta)

    def __call__(self, image: Path) -> None:
        """Predict, draw and write one image's results."""
        picture = self.out_dir / "vis" / f"{image.stem}.png"
        file = self.out_dir / "pred" / image.stem
        if self.scope == "mmpretrain":
            options = dict(show_dir=str(picture.parent), resize=MIN_SIDE)
            (found,) = self.inferencer(str(image), **options)
            write_json(file, image, top_classes(found, self.inferencer.classes))
        elif self.scope == "mmdet":
            results = self.inferencer(str(image), return_datasamples=True)
            (sample,) = results["predictions"]
            write_json(file, image, self.inferencer.pred2dict(sample))
            self.draw(image, sample, picture, pred_score_thr=self.score_thr)
        else:
            sample = self.inferencer(str(image), return_datasamples=True)
            labels = sample.pred_sem_seg.data[0].cpu().numpy()
            few = len(self.inferencer.model.dataset_meta["classes"]) <= 256
            labels = labels.astype(np.uint8 if few else np.uint16)
            Image.fromarray(labels).save(file.with_name(f"{image.stem}.png"))
            self.draw(image, sample, picture)

    def draw(self, image: Path, sample: Any, out: Path, **options: Any) -> None:
        """Draw a prediction over its image; a small one is enlarged for the text."""
        pixels = mmcv.imread(str(image), channel_order="rgb")
        factor = math.ceil(MIN_SIDE / min(pixels.shape[:2]))
        pixels = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
        self.inferencer.visualizer.add_datasample(
            image.name,
            pixels,
            enlarged(sample.cpu(), factor),
            draw_gt=False,
            out_file=str(out),
            **options,
        )


def enlarged(sample: Any, factor: int) -> Any:
    """Fit a sample's boxes, masks or label map, in place, to an enlarged image."""
    sample = sample.clone()
    if "pred_sem_seg" in sample:
        labels = sample.pred_sem_seg.data
        grown = labels.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
        sample.pred_sem_seg = PixelData(data=grown)
    if "pred_instances" in sample:
        found = sample.pred_instances
        found.bboxes = found.bboxes * factor
        if "masks" in found:
            grown = found.masks.repeat_interleave(factor, -2)
            found.masks = grown.repeat_interleave(factor, -1)
    return sample


def write_json(file: Path, image: Path, prediction: dict[str, Any]) -> None:
    """Write a prediction and the name of its image to ``file`` with ``.json``."""
    text = json.dumps({"image": str(image), **prediction})
    file.with_name(f"{file.name}.json").write_text(text + "\n")


def detection_inferencer(cfg: Config, device: str | None) -> Any:
    """Build mmdet's inferencer without weights."""
    from mmdet.apis import DetInferencer

    return DetInferencer(cfg, device=device, show_progress=False)


def segmentation_inferencer(cfg: Config, device: str | None) -> Any:
    """Build mmseg's inferencer without weights."""
    from mmseg.apis import MMSegInferencer

    return MMSegInferencer(cfg, device=device, show_progress=False)


def classification_inferencer(cfg: Config, device: str | None) -> Any:
    """Build mmpretrain's inferencer without weights."""
    from mmengine.device import get_device
    from mmpretrain import ImageClassificationInferencer
    from mmpretrain.utils import progress

    progress.disable_progress_bar = True  # one bar for all images is the tool's
    return ImageClassificationInferencer(
        cfg, pretrained=False, device=device or get_device()
    )


def class_meta(cfg: Config, checkpoint: str) -> dict[str, Any]:
    """Names and colours of the classes: the checkpoint's, else the test dataset's.

    The inferencers take those of COCO or Cityscapes when a checkpoint has none.
    """
    meta = read_checkpoint(checkpoint).get("meta") or {}
    found = meta.get("dataset_meta") or {}
    settings = {**cfg.test_dataloader.dataset, "lazy_init": True, "pipeline": []}
    if not found.get("classes"):
        found = DATASETS.build(settings).metainfo
    return {key: found.get(key) for key in ("classes", "palette")}


def top_classes(prediction: dict[str, Any], classes: Any) -> dict[str, Any]:
    """The best classes of an image with their scores."""
    scores = prediction["pred_scores"]
    order = np.argsort(-scores)[:MAX_SCORES].tolist()
    names = classes or list(range(len(scores)))
    return {
        "labels": order,
        "classes": [names[label] for label in order],
        "scores": [float(scores[label]) for label in order],
    }


def split_readable(images: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Images that can be decoded, and a sentence for each that cannot."""
    faults = {image: check_image(str(image), decode=True) for image in images}
    readable = [image for image, fault in faults.items() if fault is None]
    return readable, [fault for fault in faults.values() if fault]
