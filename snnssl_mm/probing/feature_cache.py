"""Cache of features on disk."""

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
from torch import Tensor

from snnssl_mm.checkpoints import reading
from snnssl_mm.checkpoints.atomic_files import open_atomically
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
    """Backbone under evaluation, with its weights and features cached in files.

    Three files are written on first use, atomically: the backbone with its BatchNorm
    statistics, the features of the training images and those of the test images. The
    file names contain a digest of everything that determines the contents, so a change
    leads to new files.

    Args:
        start: Kind of weights, ``'pretrained'`` or ``'random'``; prefix of file names
            and progress bars.
        cfg: Config of the pretraining.
        model: A DualPathSSL in eval mode; its BatchNorm statistics change.
        loaders: Loaders of labelled training and test images.
        folder: Folder of the files.
        recalibrate_bn: Whether to re-estimate the BatchNorm statistics on the spiking
            path, from the training images.

    Attributes:
        digest: Digest of the backbone's weights and config, the data preprocessor, the
            images with their pipelines, the recalibration, the kind of device, the
            package's version and the version of its decoding rules.
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
        self.ready = False  # whether the model has the statistics from the file
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
        """Return the path of one of the files."""
        return self.folder / f"{self.start}-{self.digest}-{ending}"

    def backbone_file(self) -> Path:
        """Return the checkpoint of the backbone with its evaluation statistics.

        The file is written if it does not exist.
        """
        file = self.file("backbone.pth")
        if not file.exists():
            began = time.monotonic()
            if self.recalibrate_bn:
                text = f"{self.start}: BatchNorm statistics"
                recalibrate(self.model, self.loaders.train, text)
            with open_atomically(file) as part:
                seconds = time.monotonic() - began
                state = self.model.backbone.state_dict()
                torch.save({"state_dict": state, "seconds": seconds}, part)
        return file

    def stored_backbone(self) -> dict[str, Any]:
        """Read the checkpoint of :meth:`backbone_file`."""
        file = self.backbone_file()
        with explain_damage(file):
            found: dict[str, Any]
            found = reading.load_from_disk(file, "cpu", trusted=False)
        return found

    def ready_model(self) -> Model:
        """Return the model with the BatchNorm statistics used in evaluation."""
        if not self.ready:
            found = self.stored_backbone()
            self.model.backbone.load_state_dict(found["state_dict"])
            self.ready = True
        return self.model

    def features(self) -> LabelledFeatures:
        """Return features and labels of the training and test images."""
        parts = (self.split("train"), self.split("test"))
        return LabelledFeatures(*(Arrays(p["features"], p["labels"]) for p in parts))

    def feature_seconds(self) -> float:
        """Return the seconds that computing statistics and features took."""
        backbone = self.stored_backbone()["seconds"]
        parts = (self.split("train"), self.split("test"))
        return float(backbone + sum(float(part["seconds"]) for part in parts))

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Number of layers of the backbone and of channels of its features.

        Raises:
            ValueError: If layers have no depth.
        """
        layers = getattr(self.model.backbone, "layer_names", None)
        if layers is None:
            raise ValueError(
                "probes that train a network need a SpikingBackbone, whose layers "
                f"have a depth, got {type(self.model.backbone).__name__}; use the "
                "probes knn and linear"
            )
        with torch.no_grad():
            channels = self.model.extract_feat(self.first_inputs)[-1].shape[1]
        return len(layers), int(channels)

    @cached_property
    def first_inputs(self) -> Tensor:
        """First test image ``[1, C, H, W]`` or clip ``[T, 1, C, H, W]``, prepared."""
        batch = next(iter(self.loaders.test))
        inputs = self.model.data_preprocessor(batch, training=False)["inputs"]
        first: Tensor = inputs.narrow(-4, 0, 1)
        return first

    def split(self, name: str) -> dict[str, np.ndarray]:
        """Return features ``[n, C]``, labels ``[n]`` and seconds of a split by name."""
        file = self.file(f"{name}.npz")
        if not file.exists():
            model, began = self.ready_model(), time.monotonic()
            loader = getattr(self.loaders, name)
            text = f"{self.start}: features, {name}"
            features, labels = self.compute(model, loader, text)
            arrays: dict[str, Any] = {"features": features, "labels": labels}
            with open_atomically(file) as part:
                np.savez(part, seconds=time.monotonic() - began, **arrays)
        with explain_damage(file), np.load(file) as found:
            return {key: found[key] for key in ("features", "labels", "seconds")}

    def compute(self, model: Model, loader: Any, text: str) -> Arrays:
        """Compute features and labels of a loader's images."""
        return pooled_features(model, loader, text)


class CachedPixels(CachedBackbone):
    """Pixels of the images as features: the baseline without a network.

    Only the model's data preprocessor is used.
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
        """Return the model as it is, since pixels need no statistics."""
        return self.model

    def feature_seconds(self) -> float:
        """Return the seconds that reading the images took."""
        return sum(float(self.split(name)["seconds"]) for name in ("train", "test"))

    def compute(self, model: Model, loader: Any, text: str) -> Arrays:
        """Read pixels and labels of a loader's images."""
        return compute_features(model, loader, flat_pixels, text)


@contextlib.contextmanager
def explain_damage(file: Path) -> Iterator[None]:
    """Turn errors of reading a cache file into one that says what to do.

    Raises:
        ValueError: If the file cannot be read.
    """
    try:
        yield
    except Exception as error:  # damaged bytes make numpy and zipfile raise any kind
        raise ValueError(
            f"{file} cannot be read ({str(error)[:200] or type(error).__name__}); "
            "expected a file of the feature cache: remove it, and it is computed again"
        ) from error
