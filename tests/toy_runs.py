"""Trainings of a fraction of a second, through mmengine's Runner."""

import random

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine_state import forget_runs
from torch import nn
from torch.utils.data import Dataset


class Stopped(Exception):
    pass


class Noise(Dataset):
    """Random images from each of the three random generators."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        drawn = [random.random(), np.random.rand(), torch.rand(1).item()]
        return {"inputs": torch.tensor([*drawn, float(index)])}


class Line(BaseModel):
    """A linear layer with dropout that records what it was trained on."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 2)
        self.seen = []
        self.stop_at = None

    def forward(self, inputs, mode):
        x = torch.stack(list(inputs))
        if mode == "predict":
            return [torch.rand(1)]  # a validation draws numbers, too
        self.seen.append(x)
        if len(self.seen) == self.stop_at:
            raise Stopped
        return {"loss": nn.functional.dropout(self.layer(x), 0.5).square().sum()}


class Score(BaseMetric):
    """Metric that improves with every call, or takes given values."""

    scores = None

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        Score.calls.append(1)
        return {"acc": float(len(Score.calls))}


Score.calls = []


def loader(workers=0, persistent=False, sampler="DefaultSampler"):
    return dict(
        dataset=Noise(),
        batch_size=2,
        num_workers=workers,
        persistent_workers=persistent,
        sampler=dict(type=sampler, shuffle=True),
    )


def toy_run(
    work_dir,
    train,
    train_cfg,
    checkpoint,
    hooks=(),
    validate=False,
    stop_at=None,
    model=None,
    **more,
):
    """Train; return the runner, also if it is stopped at a step."""
    forget_runs()
    model = model or Line()
    model.stop_at = stop_at
    validation = {}
    if validate:
        validation = dict(
            val_dataloader=loader(), val_cfg=dict(), val_evaluator=[Score()]
        )
    runner = Runner(
        model,
        str(work_dir),
        train_dataloader=train,
        train_cfg=train_cfg,
        optim_wrapper=dict(optimizer=dict(type="Adam", lr=0.1)),
        default_hooks=dict(
            checkpoint={"type": "snnssl_mm.AtomicCheckpointHook", **checkpoint}
        ),
        custom_hooks=list(hooks),
        log_level="ERROR",
        default_scope="mmengine",
        **{"randomness": dict(seed=0), **validation, **more},
    )
    try:
        runner.train()
    except Stopped:
        model.stopped = True
    return runner
