"""Sample of a config's evaluation images, as pictures and as inputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from snnssl_mm.analysis.dataset_pictures import to_picture
from snnssl_mm.analysis.images import NetworkImage


class SampleImages(NamedTuple):
    """Some images as pictures and as inputs, with their labels.

    Attributes:
        pictures: RGB, uint8 ``[H, W, 3]`` each; of clips, the mean over time.
        inputs: The same images, prepared for the network, ``[N, C, H, W]`` or
            ``[T, N, C, H, W]``.
        labels: Their classes, integers ``[N]``.
        classes: Names of the classes.
    """

    pictures: list[np.ndarray]
    inputs: Tensor
    labels: np.ndarray
    classes: tuple[str, ...]

    def single(self, index: int) -> NetworkImage:
        """Return one of the images."""
        return NetworkImage(self.pictures[index], self.inputs.narrow(-4, index, 1))


def sample_images(model: Any, loader: DataLoader, number: int) -> SampleImages:
    """Take images of as many classes as possible, the first of each class in turn.

    Args:
        model: Model with a ``data_preprocessor`` of mmpretrain.
        loader: Loader of labelled images, whose pipeline ends with PackInputs.
        number: Largest number of images.
    """
    dataset: Any = loader.dataset
    labels = [int(dataset.get_data_info(i)["gt_label"]) for i in range(len(dataset))]
    seen: dict[int, int] = {}
    turns = []
    for label in labels:
        turns.append(seen.get(label, 0))
        seen[label] = turns[-1] + 1
    chosen = np.lexsort((labels, turns))[:number]
    samples = [dataset[int(index)] for index in chosen]
    raw = torch.stack([sample["inputs"] for sample in samples])
    batch = {"inputs": raw, "data_samples": [s["data_samples"] for s in samples]}
    prepared = model.data_preprocessor(batch, training=False)["inputs"]
    bgr = getattr(model.data_preprocessor, "_channel_conversion", False)
    flat = raw.float().mean(1) if raw.dim() == 5 else raw  # clips: mean over time
    pictures = [to_picture(image, bgr) for image in flat]
    names = dataset.metainfo.get("classes") or sorted(map(str, set(labels)))
    return SampleImages(pictures, prepared, np.array(labels)[chosen], tuple(names))
