"""CIFAR-10 pretraining for the time that is left, its checkpoint and its probes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from harness import digits
from learners import Size
from rows.training_step import step

from gpu_parts.context import TINY, Context, Jobs, step_ms
from snnssl_mm.checkpoints.publishing import publish
from snnssl_mm.checkpoints.resuming import recorded_checkpoint
from snnssl_mm.cli.shared.children import PROGRAM

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "benchmarks" / "configs" / "cifar10_jpeg_gpu.py"
DRY_CONFIG = ROOT / "configs" / "selfsup" / "spikformer_ctl_5e.py"
ITERATIONS = 195
"""Of an epoch of 50,000 images, 256 at once."""

PROBE_S = 60.0
"""Kept for loading the checkpoint, features of 60,000 images, and the probes."""

MIX = 0.6
"""Cost of the schedule compared with T = 4 on both paths: 80 % of it have T = 2."""

OUTSIDE = 1.35
EPOCH_S = 3.0
START_S = 25.0
"""Time outside the steps: a factor for hooks and data, starting workers, starting."""


def epochs_within(seconds: float, step_s: float, iterations: int = ITERATIONS) -> int:
    """Number of epochs that fit; 0 if two do not, which the schedule needs."""
    epoch = iterations * step_s * MIX * OUTSIDE + EPOCH_S
    epochs = int((seconds - PROBE_S - START_S) / epoch)
    return epochs if epochs >= 2 else 0


def config_text(base: Path, epochs: int, images: Path | None, workers: int) -> str:
    """Write a config: the base's with a schedule of ``epochs``, without monitors.

    Args:
        base: Config that is inherited.
        epochs: Number of epochs; 1 of them warms up.
        images: Folder of the images; None for the base's.
        workers: Processes that load images.
    """
    data = "" if images is None else f"data_root={str(images)!r}"
    loaders = [
        f"{name}_dataloader = dict(num_workers={workers}, dataset=dict({data}))"
        for name in ("train", "eval_train", "eval_test")
    ]
    return "\n".join(
        [
            f"_base_ = {str(base)!r}",
            *loaders,
            f"train_cfg = dict(max_epochs={epochs})",
            "param_scheduler = [",
            "    dict(type='LinearLR', start_factor=1e-3, end=1,",
            "         convert_to_iter_based=True),",
            f"    dict(type='CosineAnnealingLR', begin=1, end={max(2, epochs)},",
            "         eta_min=1e-6, convert_to_iter_based=True)]",
            "default_hooks = dict(health=None, knn=None, linear_probe=None)",
            "",
        ]
    )


def image_folder(given: Path | None, folder: Path) -> Path | None:
    """Return the folder of images; unpack a tar file into ``folder``.

    Raises:
        ValueError: If ``given`` is neither.
    """
    if given is None or given.is_dir():
        return given
    if not given.is_file():
        raise ValueError(
            f"{given} is not there; give CIFAR-10 as JPEGs by --images: a folder with "
            "{train,test}/<class>/*.jpg, or a tar file of them"
        )
    with tarfile.open(given) as archive:
        archive.extractall(folder, filter="data")
    trains = [found for found in folder.rglob("train") if found.is_dir()]
    if not trains:
        raise ValueError(f"{given} has no folder train/<class>")
    return trains[0].parent


def child(*arguments: object, until: float, log: Path) -> bool:
    """Run ``snnssl``, at most until a time; return whether it ended well."""
    seconds = max(1.0, until - time.monotonic())
    command = [*PROGRAM, *map(str, arguments)]
    with log.open("a") as file:
        try:
            done = subprocess.run(
                command, timeout=seconds, stdout=file, stderr=file, check=False
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


def pieces(file: Path, mib: float) -> list[Path]:
    """Split a file that is larger than ``mib`` MiB; ``cat`` joins the pieces again."""
    size = int(mib * 2**20)
    content = file.read_bytes()
    if len(content) <= size:
        return [file]
    parts = [content[i : i + size] for i in range(0, len(content), size)]
    names = [file.with_name(f"{file.name}.{i}") for i in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        name.write_bytes(part)
    file.unlink()
    return names


def step_seconds(context: Context) -> float:
    """Seconds of a step of Spikformer-4-384 with 256 images, in bf16."""
    size = Size("4-384", "cifar", 32, 256, context.device, autocast=torch.bfloat16)
    if context.tiny:
        size = size._replace(arch=TINY, images=2, projector=32)
    run = step("dual", size, fused=True)
    for _ in range(3):
        run()
    return step_ms(run, context.device) / 1e3


def pretrain(context: Context) -> dict[str, Any]:
    """Pretrain for the time that is left, publish the backbone, probe it.

    Raises:
        ValueError: If images are missing, or the time is too short.
        RuntimeError: If the training left no checkpoint; has the end of its log.
    """
    work = Path(tempfile.mkdtemp())
    try:
        return pretrain_in(work, context)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def pretrain_in(work: Path, context: Context) -> dict[str, Any]:
    """Pretrain in the folder ``work``; see :func:`pretrain`."""
    if context.images is None and not context.tiny:
        raise ValueError("no images; give CIFAR-10 as JPEGs by --images")
    images = image_folder(context.images, work / "images")
    step_s = step_seconds(context)
    epochs = 1 if context.tiny else epochs_within(context.left(), step_s)
    if not epochs:
        raise ValueError(f"{context.left():.0f} s are too few for two epochs")
    workers = 0 if context.tiny else max(1, min(10, (os.cpu_count() or 2) - 2))
    base = DRY_CONFIG if context.tiny else CONFIG
    config, log = work / "pretraining.py", work / "log.txt"
    config.write_text(config_text(base, epochs, images, workers))
    start = time.monotonic()
    training = work / "run"
    where = ("--work-dir", training, "--no-preflight")
    done = child("train", config, *where, until=context.until - PROBE_S, log=log)
    seconds = time.monotonic() - start
    checkpoint = recorded_checkpoint(training)
    if not checkpoint:
        raise RuntimeError(f"no checkpoint; the log ends: {log.read_text()[-1500:]}")
    name = "cifar10" if images else "digits"
    published = publish(checkpoint, name, context.folder, backbone_only=True)
    probes = work / "probes.json"
    options = ("--probes", "knn", "linear", "--start", "pretrained", "random")
    asked = (config, checkpoint, *options, "--out", probes)
    child("probe", *asked, until=context.until, log=log)
    rows = json.loads(probes.read_text())["rows"] if probes.exists() else []
    return {
        "images": "CIFAR-10 (JPEG)" if images else "digit scenes",
        "epochs": epochs,
        "finished": done,
        "last_checkpoint": Path(checkpoint).name,
        "train_seconds": digits(seconds),
        "step_s": step_s,
        "config": config.read_text().splitlines()[1:],
        "files": [file.name for file in pieces(published, 15)],
        "top1": {f"{row['probe']}, {row['start']}": row["top1"] for row in rows},
        "log": [] if done and rows else log.read_text().splitlines()[-20:],
    }


def jobs(context: Context) -> Jobs:
    """One pretraining."""
    yield "pretraining", partial(pretrain, context)
