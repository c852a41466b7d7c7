"""Predictions on image files by the inferencers of mmdet, mmseg and mmpretrain."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, FUNCTIONS, init_default_scope
from mmengine.structures import PixelData
from mmpretrain.visualization import UniversalVisualizer
from PIL import Image
from torch import Tensor

from snnssl_mm import compat
from snnssl_mm.analysis.predictions import reads_recordings
from snnssl_mm.checkpoints.loading import load_full_model, read_checkpoint
from snnssl_mm.datasets.image_check import examine, unusual_note
from snnssl_mm.datasets.image_files import find_images as find_images
from snnssl_mm.datasets.image_files import log_once
from snnssl_mm.datasets.loading import LoadIntactImage
from snnssl_mm.export.folding import fold_norms

MIN_SIDE = 320  # pixels of a drawn picture, so that text is legible
PSEUDO_COLLATE = {"type": "pseudo_collate"}  # mmengine's default
BLANK = 64  # side of the picture that shows which norm follows which convolution
MAX_SCORES = 5  # classes written per image


def require_own_names(images: list[Path]) -> None:
    """Refuse images with equal stems, whose results would share a file.

    Raises:
        ValueError: If two images have the same stem.
    """
    stem, times = Counter(file.stem for file in images).most_common(1)[0]
    if times > 1:
        raise ValueError(
            f"{images[0].parent} contains {times} images named {stem}, whose results "
            "would overwrite each other; rename them"
        )


class Inferencer:
    """Predicts on images; draws and writes the predictions, for a config of any scope.

    Images are always read by :class:`snnssl_mm.datasets.LoadIntactImage`, with its
    rules for 16-bit and transparent files.

    Args:
        cfg: Config of a detector (default scope mmdet), a segmentor (mmseg) or a
            classifier (mmpretrain); its test pipeline prepares the images.
        checkpoint: File or URL; all its weights must fit.
        out_dir: Folder for the results: pictures in ``vis``, predictions in ``pred``.
        score_thr: Lowest score of a drawn box; boxes of any score are written.
        device: Device such as ``'cpu'``; by default the GPU if there is one.
        fold: Whether batch norms are folded into the convolutions before them, see
            :mod:`snnssl_mm.export.folding`.

    Attributes:
        folded: Names of the norms that were folded.

    Raises:
        ValueError: If the config is for none of these tasks, the checkpoint does not
            fit, or the device is not available.
    """

    def __init__(
        self,
        cfg: Config,
        checkpoint: str,
        out_dir: Path,
        score_thr: float = 0.3,
        device: str | None = None,
        fold: bool = False,
    ) -> None:
        compat.apply()
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
                "images; for a pretrained backbone see snnssl draw --help"
            )
        require_device(device)
        cfg = cfg.copy()
        cfg.load_from = None
        name_loading_step(cfg.test_dataloader.dataset.pipeline)
        init_default_scope(self.scope)
        self.inferencer = builders[self.scope](cfg, device)
        load_full_model(self.inferencer.model, checkpoint)
        self.set_classes(class_meta(cfg, checkpoint))
        self.folded = self.fold() if fold else []
        self.out_dir, self.score_thr = out_dir, score_thr
        self.scores: list[float] = []
        self.load = LoadIntactImage()
        for name in ("vis", "pred"):
            (out_dir / name).mkdir(parents=True, exist_ok=True)

    def fold(self) -> list[str]:
        """Fold the batch norms that a prediction calls; return their names."""
        blank = np.zeros((BLANK, BLANK, 3), np.uint8)
        return fold_norms(
            self.inferencer.model,
            lambda: self.inferencer(blank, return_datasamples=True),
        )

    def set_classes(self, meta: dict[str, Any]) -> None:
        """Set the names and colours of the classes in the inferencer."""
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
        """Predict one image; draw and write the results."""
        picture = self.out_dir / "vis" / f"{image.stem}.png"
        file = self.out_dir / "pred" / image.stem
        pixels = self.load({"img_path": str(image)})["img"]  # BGR
        if self.scope == "mmpretrain":
            (sample,) = self.inferencer(pixels, return_datasamples=True)
            classes = self.inferencer.classes
            write_json(file, image, top_classes(sample.pred_score, classes))
            UniversalVisualizer().visualize_cls(
                np.ascontiguousarray(pixels[..., ::-1]),
                sample,
                classes=classes,
                resize=MIN_SIDE,
                draw_gt=False,
                out_file=str(picture),
            )
        elif self.scope == "mmdet":
            results = self.inferencer(pixels, return_datasamples=True)
            (sample,) = results["predictions"]
            write_json(file, image, self.inferencer.pred2dict(sample))
            self.scores += sample.pred_instances.scores.tolist()
            self.draw(pixels, sample, picture, pred_score_thr=self.score_thr)
        else:
            sample = self.inferencer(pixels, return_datasamples=True)
            labels = sample.pred_sem_seg.data[0].cpu().numpy()
            few = len(self.inferencer.model.dataset_meta["classes"]) <= 256
            labels = labels.astype(np.uint8 if few else np.uint16)
            Image.fromarray(labels).save(file.with_name(f"{image.stem}.png"))
            self.draw(pixels, sample, picture)

    def draw(self, pixels: np.ndarray, sample: Any, out: Path, **options: Any) -> None:
        """Draw a prediction over its image (BGR); small images are enlarged."""
        factor = math.ceil(MIN_SIDE / min(pixels.shape[:2]))
        pixels = pixels[..., ::-1].repeat(factor, axis=0).repeat(factor, axis=1)
        self.inferencer.visualizer.add_datasample(
            out.name,
            pixels,
            scale_prediction(sample.cpu(), factor),
            draw_gt=False,
            out_file=str(out),
            **options,
        )


def require_images(cfg: Config) -> None:
    """Refuse a config whose test pipeline reads recordings of events.

    Raises:
        ValueError: Names the commands that take recordings.
    """
    if reads_recordings(cfg):
        raise ValueError(
            "the config's test_dataloader reads recordings of events, but snnssl infer "
            "predicts on image files; use snnssl test for metrics, and snnssl draw "
            "predictions for pictures of a detector's or segmentor's results"
        )


def require_device(device: str | None) -> None:
    """Refuse a device on which torch cannot compute.

    Raises:
        ValueError: If the device is not available; it lists those that are.
    """
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        names = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
        raise ValueError(
            f"torch cannot compute on the device {device!r} here; expected one of: "
            f"{', '.join(names)}"
        ) from error


def name_loading_step(pipeline: Sequence[Any]) -> None:
    """Rename our loading step to the one that the inferencers search and replace."""
    for step in pipeline:
        if str(step["type"]).rpartition(".")[2] == "LoadIntactImage":
            step["type"] = "LoadImageFromFile"


def scale_prediction(sample: Any, factor: int) -> Any:
    """Scale a copy of a sample's boxes, masks or label map to an enlarged image."""
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


class ModelOnly:
    """Steps of an inferencer of mmdet or mmseg that build only the model.

    mmdet would build the test dataset for its palette, and mmengine would search the
    registry of functions in a scope that has none, with a warning.
    """

    def _load_weights_to_model(self, model: Any, checkpoint: None, cfg: Config) -> None:
        """Set no classes; weights and classes are those of the checkpoint, later."""
        model.dataset_meta = {}

    def _init_collate(self, cfg: Config) -> Any:
        """Return the function that makes batches."""
        settings = dict(cfg.test_dataloader.get("collate_fn") or PSEUDO_COLLATE)
        return partial(FUNCTIONS.get(settings.pop("type")), **settings)


def detection_inferencer(cfg: Config, device: str | None) -> Any:
    """Build mmdet's inferencer without weights."""
    from mmdet.apis import DetInferencer

    kind = type("ModelOnlyDetInferencer", (ModelOnly, DetInferencer), {})
    return kind(cfg, device=device, show_progress=False)


def segmentation_inferencer(cfg: Config, device: str | None) -> Any:
    """Build mmseg's inferencer without weights."""
    from mmseg.apis import MMSegInferencer

    kind = type("ModelOnlySegInferencer", (ModelOnly, MMSegInferencer), {})
    return kind(cfg, device=device, show_progress=False)


def classification_inferencer(cfg: Config, device: str | None) -> Any:
    """Build mmpretrain's inferencer without weights."""
    from mmengine.device import get_device
    from mmpretrain import ImageClassificationInferencer
    from mmpretrain.utils import progress

    progress.disable_progress_bar = True  # the command shows one bar for all images
    return ImageClassificationInferencer(
        cfg, pretrained=False, device=device or get_device()
    )


def class_meta(cfg: Config, checkpoint: str) -> dict[str, Any]:
    """Return names and colours of the classes, from the checkpoint or test dataset.

    For a checkpoint without classes, the inferencers would use COCO's or Cityscapes'.
    """
    meta = read_checkpoint(checkpoint).get("meta") or {}
    found = meta.get("dataset_meta") or {}
    settings = {**cfg.test_dataloader.dataset, "lazy_init": True, "pipeline": []}
    if not found.get("classes"):
        found = DATASETS.build(settings).metainfo
    return {key: found.get(key) for key in ("classes", "palette")}


def top_classes(scores: Tensor, classes: Sequence[str] | None) -> dict[str, Any]:
    """Return the classes with the highest scores of an image."""
    order = scores.argsort(descending=True)[:MAX_SCORES].tolist()
    names: Sequence[Any] = classes or range(len(scores))
    return {
        "labels": order,
        "classes": [names[label] for label in order],
        "scores": [float(scores[label]) for label in order],
    }


def split_readable(images: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Split images into readable files and the faults of the others.

    The log counts 16-bit and transparent images.
    """
    found = {image: examine(str(image), decoded=True) for image in images}
    if note := unusual_note(found.values(), decoded=True):
        log_once(note)
    readable = [image for image, one in found.items() if one.fault is None]
    return readable, [one.fault for one in found.values() if one.fault]
