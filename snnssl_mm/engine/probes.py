"""How good frozen features are: k-NN and a linear classifier, by scikit-learn."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import Runner
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.data import DataLoader, SequentialSampler

from snnssl_mm.checkpoints import load_whole_model

Arrays = tuple[np.ndarray, np.ndarray]
Model = Any  # a DualPathSSL; nn.Module hides the types of its children


class Loaders(NamedTuple):
    """Data loaders of labelled training and test images."""

    train: DataLoader
    test: DataLoader


class LabelledFeatures(NamedTuple):
    """Features ``[n, C]`` and labels ``[n]`` of a training and a test set."""

    train: Arrays
    test: Arrays


def prepared_inputs(model: Model, loader: Iterable[Any]) -> Iterable[Any]:
    """Yield ``(inputs, labels)`` of a labelled loader, normalised, on the device."""
    for batch in loader:
        data = model.data_preprocessor(batch, training=False)
        labels = [int(sample.gt_label) for sample in data["data_samples"]]
        yield data["inputs"], labels


@torch.no_grad()
def collect(
    model: Model, loader: Iterable[Any], features_of: Callable[[Tensor], Tensor]
) -> Arrays:
    """Compute ``features_of(inputs)`` ``[N, C]`` over a labelled loader."""
    features, labels = [], []
    for inputs, batch_labels in prepared_inputs(model, loader):
        features.append(features_of(inputs).float().cpu().numpy())
        labels += batch_labels
    return np.concatenate(features), np.array(labels)


@torch.no_grad()
def recalibrate(model: Model, loader: Iterable[Any]) -> None:
    """Take the backbone's BatchNorm statistics anew, on the spiking path.

    In training they average over the spiking and the analog path; evaluation sees
    only the former. The new ones are averages over all batches of ``loader``.
    """
    model.eval()
    model.backbone.train()  # batch statistics, while the neurons stay on path 'spike'
    norms = [m for m in model.backbone.modules() if isinstance(m, _NormBase)]
    norms = [norm for norm in norms if norm.training]  # not what is frozen
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    for inputs, _ in prepared_inputs(model, loader):
        model.extract_feat(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def labelled_features(
    model: Model, loaders: Loaders, recalibrate_bn: bool = True
) -> LabelledFeatures:
    """Spiking-path features: mean over time and space of the backbone's last map.

    Args:
        model: A DualPathSSL, left as it was.
        loaders: Of labelled training and test images.
        recalibrate_bn: Whether to take the BatchNorm statistics anew first.
    """
    model = revert_sync_batchnorm(copy.deepcopy(model)).eval()
    if recalibrate_bn:
        recalibrate(model, loaders.train)

    def pooled(inputs: Tensor) -> Tensor:
        return model.extract_feat(inputs)[-1].mean(dim=(-2, -1))

    return LabelledFeatures(*(collect(model, loader, pooled) for loader in loaders))


def raw_pixels(model: Model, loaders: Loaders) -> LabelledFeatures:
    """The images as features, averaged down to at most 32 x 32: no network at all."""

    def pixels(inputs: Tensor) -> Tensor:
        height, width = (min(side, RAW_SIDE) for side in inputs.shape[-2:])
        frames = inputs.flatten(0, -4)  # of clips; images have no axis to join
        return adaptive_avg_pool2d(frames, (height, width)).reshape(len(inputs), -1)

    return LabelledFeatures(*(collect(model, loader, pixels) for loader in loaders))


RAW_SIDE = 32
MAX_PROBE_SAMPLES = 50_000
EVAL_LOADERS = ("eval_train_dataloader", "eval_test_dataloader")


def has_labelled_images(cfg: Config) -> bool:
    """Whether a config names labelled training and test images."""
    return all(cfg.get(name) is not None for name in EVAL_LOADERS)


def eval_loaders(cfg: Config) -> Loaders:
    """Build a config's ``eval_train_dataloader`` and ``eval_test_dataloader``.

    Args:
        cfg: Config; of datasets larger than its ``max_probe_samples`` (50,000 if it
            has none), so many samples are taken, evenly spread.

    Every process gets all samples: who calls this decides which one computes.

    Raises:
        ValueError: If the config has no labelled images, or training and test images
            have different classes.
    """
    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    if not has_labelled_images(cfg):
        raise ValueError(
            f"the config has no labelled images; set {' and '.join(EVAL_LOADERS)} as "
            "configs/_base_/datasets/digit_scenes.py does"
        )
    max_samples = cfg.get("max_probe_samples", MAX_PROBE_SAMPLES)
    loaders = []
    for name in EVAL_LOADERS:
        settings = copy.deepcopy(cfg[name])
        dataset = DATASETS.build(settings.dataset)
        if len(dataset) > max_samples:
            chosen = np.linspace(0, len(dataset) - 1, max_samples).astype(int)
            dataset = dataset.get_subset(chosen.tolist())
        settings.dataset = dataset
        settings.sampler = SequentialSampler(dataset)
        loaders.append(Runner.build_dataloader(settings, seed=0))
    classes = [set(loader.dataset.metainfo.get("classes") or ()) for loader in loaders]
    if classes[0] != classes[1]:
        raise ValueError(
            "training and test images have different classes, so their labels do not "
            f"mean the same; only in one of them: {sorted(classes[0] ^ classes[1])[:5]}"
        )
    return Loaders(*loaders)


def build_model(cfg: Config) -> Model:
    """Build a config's model and data preprocessor on the device, in eval mode."""
    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    settings = {"data_preprocessor": cfg.get("data_preprocessor"), **cfg.model}
    return MODELS.build(copy.deepcopy(settings)).to(get_device()).eval()


def load_model(cfg: Config, checkpoint: str) -> Model:
    """Build a config's model with the weights of a checkpoint; all must fit.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape.
    """
    model = build_model(cfg)
    load_whole_model(model, checkpoint)
    return model


def random_init_model(cfg: Config) -> Model:
    """Build the config's model with fresh weights of the run's seed.

    Global random state is left as it is.
    """
    cfg = copy.deepcopy(cfg)
    cfg.model.backbone.init_cfg = None  # may name pretrained weights
    with torch.random.fork_rng():
        torch.manual_seed(cfg.get("randomness", {}).get("seed") or 0)
        model = build_model(cfg)
        model.init_weights()
    return model


def knn_accuracy(
    features: LabelledFeatures, k: int = 20, temperature: float = 0.07
) -> float:
    """Top-1 accuracy of a weighted k-NN: cosine similarity, weight exp(s / T).

    Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
    Discrimination", CVPR 2018.

    Args:
        features: Of the training set (the neighbours) and the test set.
        k: Number of neighbours, at most the size of the training set.
        temperature: T of the weights.
    """
    classifier = KNeighborsClassifier(
        min(k, len(features.train[1])),
        weights=lambda distance: np.exp((1 - distance) / temperature),
        metric="cosine",
    )
    return float(classifier.fit(*features.train).score(*features.test))


def linear_accuracy(features: LabelledFeatures, max_iter: int = 500) -> float:
    """Top-1 accuracy of logistic regression on standardised features."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=max_iter))
    return float(probe.fit(*features.train).score(*features.test))
