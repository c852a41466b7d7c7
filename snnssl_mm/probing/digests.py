"""Digests identifying the model, data and config behind a cached result."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from snnssl_mm.datasets.data_error import file_of, sample_info

MAX_FILES = 10_000  # evenly spread files whose size and time are read
LENGTH = 12  # hexadecimal digits, as in checkpoint names


def settings_digest(*settings: Any) -> str:
    """Hash configs, texts and numbers; the order of a dict does not matter."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def weights_digest(module: nn.Module) -> str:
    """Hash the bits of a module's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        values = tensor.detach().cpu().contiguous().flatten()
        digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:LENGTH]


def inputs_digest(cfg: Config, *datasets: Any) -> str:
    """Hash what a measurement depends on beside the weights: config and images."""
    return settings_digest(cfg.to_dict(), *map(samples_digest, datasets))


def samples_digest(dataset: Any) -> str:
    """Hash a dataset's images or recordings, and labels.

    Covers the pixels or events of those in memory, and the paths of files with the
    size and the time of the last change for at most 10,000 of them.

    Args:
        dataset: An mmengine dataset, or a subset of one.
    """
    digest = hashlib.sha256()
    every = max(1, -(-len(dataset) // MAX_FILES))  # rounded up
    for index in range(len(dataset)):
        sample = sample_info(dataset, index)
        digest.update(str(sample.get("gt_label")).encode())
        recording = sample.get("recording")
        pixels = sample.get("img") if recording is None else recording.events
        if isinstance(pixels, np.ndarray):
            digest.update(np.ascontiguousarray(pixels).tobytes())
            continue
        path = str(file_of(sample))
        digest.update(path.encode())
        for key in ("time_range", "read_args"):  # of recordings of events
            if key in sample:
                digest.update(repr(sample[key]).encode())
        if index % every == 0 and Path(path).is_file():
            stat = Path(path).stat()
            digest.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:LENGTH]
