"""Cache of features on the disk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm

from snnssl_mm.checkpoints import reading
from snnssl_mm.checkpoints.atomic_files import written_whole
from snnssl_mm.checkpoints.preprocessing import preprocessor_settings
from snnssl_mm.datasets.loading import DECODING
from snnssl_mm.probing.digests import samples_digest, settings_digest, weights_digest
from snnssl_mm.probing.features import (
    Arrays,
    LabelledFeatures,
    compute_features,
    flat_pixels,
    pooled_features,
    recalibrate,
)
from snnssl_mm.probing.labelled_images import EVAL_LOADERS, Loaders
from snnssl_mm.probing.probe_models import Model
from snnssl_mm.version import __version__


class CachedBackbone:
    """A backbone to be judged: its weights and its features, in files.

    Three files appear in the folder, each whole or not at all, when they are asked
    for: the backbone with its BatchNorm statistics, and the features of the training
    and of the test images. Their names hold a digest of everything that decides what
    is in them, so a change of any of it leads to other files.

    Args:
        start: What the weights are: ``'pretrained'`` or ``'random'``; begins the
            files' names and the progress bars' texts.
        cfg: Config of the pretraining.
        model: A DualPathSSL in eval mode; its BatchNorm statistics change.
        loaders: Of labelled training and test images.
        folder: Where the files are.
        recalibrate_bn: Whether the BatchNorm statistics are taken anew on the spiking
            path of the training images.

    Attributes:
        digest: Of the weights (all of the checkpoint that counts), the backbone's
            config, the data preprocessor, the images with their pipelines, the
            recalibration, the kind of device, the package's version and its rule of
            decoding.
    """

    def __init__(
        self,
        start: str,
        cfg: Config,
        model: Model,
        loaders: Loaders,
        folder: Path,
        recalibrate_bn: bool = True,
    ) -> None:
        self.start = start
        self.loaders = loaders
        self.folder = folder
        self.recalibrate_bn = recalibrate_bn
        self.model = revert_sync_batchnorm(model).eval()
        self.ready = False  # whether the model has the statistics of the file
        self.digest = self.digest_of(cfg)

    def digest_of(self, cfg: Config) -> str:
        """Hash everything on which the features depend."""
        backbone = {k: v for k, v in cfg.model.backbone.items() if k != "init_cfg"}
        return settings_digest(
            weights_digest(self.model.backbone),
            backbone,
            preprocessor_settings(cfg),
            [(cfg[name].dataset, cfg[name].batch_size) for name in EVAL_LOADERS],
            [samples_digest(loader.dataset) for loader in self.loaders],
            [self.recalibrate_bn, get_device(), __version__, DECODING],
        )

    def file(self, ending: str) -> Path:
        """Path of one of the files."""
        return self.folder / f"{self.start}-{self.digest}-{ending}"

    def backbone_file(self) -> Path:
        """Checkpoint of the backbone alone, with the statistics that evaluation uses.

        It is written if it is not there.
        """
        file = self.file("backbone.pth")
        if not file.exists():
            began = time.monotonic()
            if self.recalibrate_bn:
                text = f"{self.start}: BatchNorm statistics"
                recalibrate(self.model, self.loaders.train, text)
            with written_whole(file) as part:
                seconds = time.monotonic() - began
                state = self.model.backbone.state_dict()
                torch.save({"state_dict": state, "seconds": seconds}, part)
        return file

    def stored_backbone(self) -> dict[str, Any]:
        """What :meth:`backbone_file` holds."""
        file = self.backbone_file()
        with damage_named(file):
            found: dict[str, Any]
            found = reading.load_from_disk(file, "cpu", trusted=False)
        return found

    def ready_model(self) -> Model:
        """The model, its backbone having the statistics that evaluation uses."""
        if not self.ready:
            found = self.stored_backbone()
            self.model.backbone.load_state_dict(found["state_dict"])
            self.ready = True
        return self.model

    def features(self) -> LabelledFeatures:
        """Features and labels of the training and of the test images."""
        parts = (self.split("train"), self.split("test"))
        return LabelledFeatures(*(Arrays(p["features"], p["labels"]) for p in parts))

    def feature_seconds(self) -> float:
        """Seconds that statistics and features took when they were computed."""
        backbone = self.stored_backbone()["seconds"]
        parts = (self.split("train"), self.split("test"))
        return float(backbone + sum(float(part["seconds"]) for part in parts))

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Numbers of the backbone's layers and of its features' channels.

        Raises:
            ValueError: If the images have a time axis.
        """
        batch = next(iter(self.loaders.test))
        inputs = self.model.data_preprocessor(batch, training=False)["inputs"]
        if inputs.dim() != 4:
            raise ValueError(
                "probes that train a network take still images [N, 3, H, W], got "
                f"{tuple(inputs.shape)}; use the probes knn and linear"
            )
        with torch.no_grad():
            channels = self.model.extract_feat(inputs[:1])[-1].shape[1]
        return len(self.model.backbone.layer_names), int(channels)

    def split(self, name: str) -> dict[str, np.ndarray]:
        """Features ``[n, C]``, labels ``[n]`` and seconds of one split, by name."""
        file = self.file(f"{name}.npz")
        if not file.exists():
            model, began = self.ready_model(), time.monotonic()
            loader = getattr(self.loaders, name)
            text = f"{self.start}: features, {name}"
            features, labels = self.compute(model, loader, text)
            arrays: dict[str, Any] = {"features": features, "labels": labels}
            with written_whole(file) as part:
                np.savez(part, seconds=time.monotonic() - began, **arrays)
        with damage_named(file), np.load(file) as found:
            return {name: found[name] for name in ("features", "labels", "seconds")}

    def compute(self, model: Model, loader: Any, text: str) -> Arrays:
        """Features and labels of a loader's images."""
        return pooled_features(model, loader, text)


class CachedPixels(CachedBackbone):
    """The images themselves as features, the baseline that needs no network.

    Its model's data preprocessor counts, its weights do not.
    """

    def digest_of(self, cfg: Config) -> str:
        """Hash everything on which the pixels depend."""
        return settings_digest(
            preprocessor_settings(cfg),
            [cfg[name].dataset for name in EVAL_LOADERS],
            [samples_digest(loader.dataset) for loader in self.loaders],
            [__version__, DECODING],
        )

    def ready_model(self) -> Model:
        """The model as it is: no statistics matter."""
        return self.model

    def feature_seconds(self) -> float:
        """Seconds that reading the images took when it was done."""
        return sum(float(self.split(name)["seconds"]) for name in ("train", "test"))

    def compute(self, model: Model, loader: Any, text: str) -> Arrays:
        """Pixels and labels of a loader's images."""
        return compute_features(model, loader, flat_pixels, text)


@contextlib.contextmanager
def damage_named(file: Path) -> Iterator[None]:
    """Say what to do about a file of the cache that cannot be read.

    Raises:
        ValueError: It names the file.
    """
    try:
        yield
    except Exception as error:  # numpy and zipfile raise many kinds on any bytes
        raise ValueError(
            f"{file} cannot be read ({str(error)[:200] or type(error).__name__}); "
            "expected a file of the features' cache: remove it, and what was in it is "
            "computed again"
        ) from error
