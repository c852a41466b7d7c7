"""Simulated random recordings in memory, and a data set of them."""

from typing import ClassVar

import numpy as np
from made_recordings import made_recording
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from snnssl_mm.datasets import Recording
from snnssl_mm.probing.protocols import PROTOCOLS


def simulated(count=1000, height=12, width=16, duration=10_000, seed=0, start=5):
    """Return uniformly random events, with some at equal times."""
    return made_recording(count, height, width, seed, start, start + duration)


def fields(recording):
    """Return the events as spikingjelly takes them."""
    return {name: recording.events[name] for name in ("t", "x", "y", "p")}


def ordered(recording):
    """Return the events in an order of their own, to compare sets of events."""
    return np.sort(recording.events, order=("t", "x", "y", "p"))


@DATASETS.register_module(force=True)
class SimulatedRecordings(BaseDataset):
    """Recordings of two classes: events in the left, or in the right half."""

    METAINFO: ClassVar = {"classes": ("left", "right")}

    def __init__(self, number=16, split="train", **options):
        self.number, self.first_seed = number, 1000 * (split == "test")
        super().__init__(**options)

    def load_data_list(self):
        """Simulate the recordings, one class in turn with the other."""
        found = []
        for index in range(self.number):
            recording = simulated(400, 16, 8, seed=self.first_seed + index)
            events = recording.events
            events["x"] += 8 * (index % 2)
            recording = Recording(events, 16, 16)
            found.append(dict(recording=recording, gt_label=index % 2))
        return found


def write_events_config(file, root):
    """Write the main job, shrunk, on simulated recordings and a small network."""
    cfg = Config.fromfile(root / "configs" / "selfsup" / "spikingformer_ctl.py")
    view = [
        dict(type="snnssl_mm.EventShift"),
        dict(type="snnssl_mm.EventFrames", time_steps=4, size=(32, 32)),
    ]
    pack = dict(type="PackInputs")
    multi_view = dict(type="MultiView", num_views=2, transforms=[view])
    datasets = {
        "train": dict(number=32, pipeline=[multi_view, pack]),
        "eval_train": dict(number=32, pipeline=[view[-1], pack]),
        "eval_test": dict(number=16, pipeline=[view[-1], pack], split="test"),
    }
    for name, dataset in datasets.items():
        loader = cfg[f"{name}_dataloader"]
        loader.dataset = dict(type="SimulatedRecordings", **dataset)
        loader.batch_size = 16
    cfg.labelled_pipeline = [*view, pack]
    cfg.file_loading = None
    cfg.data_preprocessor = dict()
    cfg.merge_from_dict(
        {
            "model.backbone.arch": dict(
                embed_dims=16, depth=1, num_heads=2, mlp_ratio=1
            ),
            "model.backbone.in_channels": 2,
            "model.neck.in_channels": 16,
            "model.neck.hid_channels": 16,
            "model.neck.out_channels": 8,
            "train_cfg.max_epochs": 1,
            "param_scheduler": [],
            "default_hooks.logger.interval": 1,
            "probes": {name: dict(iterations=2, batch_size=16) for name in PROTOCOLS},
        }
    )
    cfg.dump(file)
    return file
