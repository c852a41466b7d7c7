"""Plan of a project: network, crops, batches and epochs for the data and machine."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import Any

import torch

from snnssl_mm.projects.survey import Survey

MIN_IMAGES = 8
MIN_EPOCH = 20  # iterations; images are repeated, so that log lines are frequent
FEW_ITERATIONS = 200  # below this, pretraining learns little: use smaller crops
LINE_SECONDS = 15  # between two lines of the log
LEAST_OBJECT = 20  # pixels of a median object of the smallest class, after resizing
SHARES = {"pretrain": 2, "detect": 1, "segment": 1}  # shares of the time
PASSES = {"pretrain": 1000, "detect": 36, "segment": 80}  # largest number per image
LARGE_GPU = 10e9  # bytes


@dataclass
class Machine:
    """Machine for the trainings.

    Attributes:
        cores: Processor cores that this process may use.
        gpu_memory: Bytes of memory of the first GPU; 0 without a GPU.
    """

    cores: int
    gpu_memory: int = 0

    @classmethod
    def here(cls) -> Machine:
        """Describe this machine."""
        affinity = getattr(os, "sched_getaffinity", None)  # not on every system
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        memory = 0
        if torch.cuda.is_available():
            memory = torch.cuda.get_device_properties(0).total_memory
        return cls(cores, memory)

    def words(self) -> str:
        """Return the description as text."""
        gpu = (
            f", a GPU with {self.gpu_memory / 2**30:.0f} GiB" if self.gpu_memory else ""
        )
        return f"{self.cores} cores{gpu or ', no GPU'}"


@dataclass
class Length:
    """Length of a training.

    Attributes:
        batch: Images per batch.
        times: Number of repetitions of each image per epoch.
        iterations: Iterations per epoch.
        epochs: Number of epochs.
        interval: Iterations between lines of the log.
        seconds: Measured seconds per step; 0 if not measured.
    """

    batch: int
    times: int
    iterations: int
    epochs: int = 1
    interval: int = 10
    seconds: float = 0.0

    @property
    def minutes(self) -> float:
        """Expected duration, including start-up and evaluations."""
        return (1.1 * self.epochs * self.iterations * self.seconds + 20) / 60


@dataclass
class Plan:
    """Sizes of the configs of a project.

    Attributes:
        arch: ``arch`` of the Spikformer.
        channels: Channels of its last map.
        stem: ``'imagenet'`` or ``'cifar'``.
        crop: Side of the pretraining's crops in pixels.
        crop_share: Smallest and largest share of an image that a crop covers.
        long_side: Longer side of the images for detection and segmentation, in pixels.
        lengths: Length of each training by the name of its config.
        workers: Processes that load images.
        lr: Learning rate of the pretraining.
        width: Channels of the necks and heads downstream.
    """

    arch: str | dict[str, int]
    channels: int
    stem: str
    crop: int
    crop_share: tuple[float, float]
    long_side: int
    lengths: dict[str, Length]
    workers: int
    lr: float
    width: int

    @property
    def stride(self) -> int:
        """Divisor of the sides of crops."""
        return 16 if self.stem == "imagenet" else 4

    @property
    def out_indices(self) -> tuple[int, ...]:
        """Indices of the maps for detection and segmentation."""
        return (0, 1, 2, 3) if self.stem == "imagenet" else (1, 2, 3)

    @property
    def map_channels(self) -> list[int]:
        """Channels of these maps."""
        dims = self.channels
        every = [dims // 4, dims // 2, dims, dims]
        return [every[index] for index in self.out_indices]

    @property
    def strides(self) -> list[int]:
        """Strides of these maps."""
        return [4, 8, 16, 32] if self.stem == "imagenet" else [2, 4, 8]


def length(images: int, batch: int) -> Length:
    """Return the length of an epoch; few images are repeated."""
    batch = max(1, min(batch, 2 ** int(math.log2(images))))
    times = max(1, math.ceil(MIN_EPOCH * batch / images))
    return Length(batch, times, times * images // batch)


def possible_trainings(survey: Survey) -> list[str]:
    """Return the trainings that the labels allow."""
    tasks = ["pretrain"]
    if survey.labels.coco:
        tasks.append("detect")
    if survey.labels.masks:
        tasks.append("segment")
    return tasks


def first_plan(survey: Survey, machine: Machine, size: int | None = None) -> Plan:
    """Choose everything but the number of epochs.

    Args:
        survey: Survey of the images and labels.
        machine: Machine for the trainings.
        size: Side of the crops in pixels; chosen if None.

    Raises:
        ValueError: If there are too few images, or the stem cannot take the size.
    """
    count, gpu = len(survey.train), machine.gpu_memory
    if count < MIN_IMAGES:
        raise ValueError(
            f"{survey.root} has {count} training images; expected {MIN_IMAGES} or "
            "more, since the loss compares images: add images"
        )
    side = min(survey.width, survey.height)
    stem = "imagenet" if (size or side) >= 64 and side >= 96 else "cifar"
    stride = 16 if stem == "imagenet" else 4
    if size is not None and (size % stride or size < 4 * stride):
        raise ValueError(
            f"--size {size} does not suit images of {survey.width}x{survey.height} "
            f"pixels; expected a multiple of {stride} from {4 * stride} on"
        )
    most = (224 if gpu else 96) if stem == "imagenet" else (64 if gpu else 32)
    crop = size or max(16, min(most, side // stride * stride))
    arch: str | dict[str, int]
    if gpu:
        arch, channels = ("8-512", 512) if count > 50_000 else ("4-384", 384)
    else:
        channels, depth = (128, 2) if stem == "imagenet" else (64, 1)
        arch = dict(embed_dims=channels, depth=depth, num_heads=4)
    objects = bool(survey.labels.classes)
    scenes = not objects and side >= 2 * crop
    batch = 32 if not gpu else 256 if gpu > LARGE_GPU else 64
    batches = {"pretrain": batch, "detect": 16 if gpu > LARGE_GPU else 4}
    batches["segment"] = batches["detect"]
    labelled = {"pretrain": count}
    if survey.labels.coco:
        labelled["detect"] = survey.labels.coco.annotated()
    labelled["segment"] = len(survey.labels.masks)
    return Plan(
        arch=arch,
        channels=channels,
        stem=stem,
        crop=crop,
        crop_share=(0.05, 0.4) if scenes else (0.2, 1.0),
        long_side=long_side(survey, gpu > 0),
        lengths={
            t: length(labelled[t], batches[t]) for t in possible_trainings(survey)
        },
        workers=max(1, min(8, machine.cores - 1 if gpu else machine.cores // 2)),
        lr=1e-3 if gpu else 5e-3,
        width=256 if gpu else 64,
    )


def long_side(survey: Survey, gpu: bool) -> int:
    """Choose the longer side of downstream images so that small objects stay visible.

    Images are not enlarged. Without objects, the smallest usual size for such a machine
    is used.
    """
    sides = [640, 800, 1024, 1344] if gpu else [256, 320, 416, 512]
    longest = max(survey.width, survey.height)
    coco = survey.labels.coco
    smallest = LEAST_OBJECT * longest / sides[0]
    if coco:
        smallest = coco.smallest_object_side()
    wanted = [side for side in sides if smallest * side / longest >= LEAST_OBJECT]
    return min(wanted[0] if wanted else sides[-1], max(32, 32 * round(longest / 32)))


def fit(plan: Plan, seconds: dict[str, float], minutes: float) -> None:
    """Set the number of epochs so that all trainings together take ``minutes``.

    Args:
        plan: The plan; changed in place.
        seconds: Measured duration of a step of each training.
        minutes: Time for all trainings together.
    """
    total = sum(SHARES[name] for name in plan.lengths)
    for name, training in plan.lengths.items():
        training.seconds = seconds.get(name, 0.0)
        most = PASSES[name] / training.times
        if training.seconds:
            budget = 60 * minutes * SHARES[name] / total - 20
            steps = max(1.0, budget / 1.1 / training.seconds)
            training.epochs = max(1, min(int(steps / training.iterations), int(most)))
            every = round(LINE_SECONDS / training.seconds)
            training.interval = max(1, min(every, 50, training.iterations // 2))
        else:
            training.epochs = 12


def minutes_for(plan: Plan, name: str, iterations: int) -> float:
    """Return the time for all trainings in which one gets so many iterations."""
    training = plan.lengths[name]
    epochs = math.ceil(iterations / training.iterations)
    total = sum(SHARES[name] for name in plan.lengths)
    return replace(training, epochs=epochs).minutes * total / SHARES[name]


def shrink_crops(plan: Plan) -> bool:
    """Reduce the crops if possible; tell whether it was possible."""
    crop = plan.crop * 2 // 3 // plan.stride * plan.stride
    if crop < 4 * plan.stride:
        return False
    plan.crop = crop
    return True


def power_of_two(value: float, least: int, most: int) -> int:
    """Round down to a power of two within limits."""
    return int(min(most, max(least, 2 ** math.floor(math.log2(max(value, 1))))))


def anchors(survey: Survey, plan: Plan) -> dict[str, Any]:
    """Choose the detector's anchor sizes for the resized objects, in strides."""
    coco = survey.labels.coco
    if coco is None:
        return {}
    scale = plan.long_side / max(survey.width, survey.height)
    side = coco.smallest_object_side() * min(scale, 1.0)
    retina = plan.strides[1] if plan.stem == "imagenet" else plan.strides[0]
    return {
        "octave_base_scale": power_of_two(side / retina, 1, 4),
        "rpn_scale": power_of_two(side / plan.strides[0], 2, 8),
    }
