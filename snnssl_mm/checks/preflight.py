"""One batch of training, one of validation and every evaluator, before the first step.

What would end a training in its first iteration, in the last batch of its first epoch
or in the evaluation after that ends it now, with a sentence. The training is left as it
is: copies of the model are run, and the random generators are put back.
"""

from __future__ import annotations

import contextlib
import copy
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_gather_object, get_world_size
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor
from torch.utils.data import DataLoader

from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.checkpoints.random_states import random_states, set_random_states
from snnssl_mm.checks.data import say, silent
from snnssl_mm.checks.evaluators import (
    evaluate,
    feed_back,
    kind_of,
    metrics_of,
    shares_out,
)
from snnssl_mm.checks.labels import check_labels, classes_of
from snnssl_mm.datasets.data_error import (
    DataError,
    PreflightError,
    sampled,
    shortened,
    step,
)

TRAINED, EVALUATED = 32, 8  # samples in a batch at most
SHARDED = ("FullySharded", "DeepSpeed")


def check_runner(runner: Any) -> None:
    """Run the pre-flight of a built runner, whose weights are loaded.

    Every process of a training must call it.

    Raises:
        PreflightError: In every process, for the first fault of any.
    """
    model = unwrapped(runner.model)
    together(lambda: check_batches(runner.train_loop.dataloader))
    if any(name in type(runner.model).__name__ for name in SHARDED):
        say("the model is sharded: no batch is run through it")
        return
    if not isinstance(model, BaseModel):
        say("the model is not one of mmengine's: no batch is run through it")
        return
    with left_alone(model):
        together(lambda: check_loss(runner, model))
        if runner.val_loop is not None:
            together(lambda: check_evaluation(runner, model))


def build_loops(runner: Any) -> None:
    """Build what a runner reads: data loaders and evaluators.

    Raises:
        PreflightError: It names the settings that cannot be built.
    """
    for name in ("train", "val"):
        parts = f"building {name}_dataloader, {name}_evaluator, {name}_cfg"
        if name == "train":
            parts = "building train_dataloader, train_cfg"
        with step(parts, PreflightError, avoidable=False):
            getattr(runner, f"{name}_loop")


def together(check: Any) -> None:
    """Call ``check``; raise in every process what it raises in any."""
    fault = None
    try:
        check()
    except DataError as error:
        if get_world_size() == 1:
            raise
        fault = str(error)
    faults = [text for text in all_gather_object(fault) if text]
    if faults:
        raise PreflightError(faults[0])


@contextlib.contextmanager
def left_alone(model: torch.nn.Module) -> Iterator[None]:
    """Put random generators and the model's buffers back afterwards.

    A copy of a compiled or checkpointed model still calls layers of the original.
    """
    states = random_states()
    buffers = {name: b.detach().clone() for name, b in model.named_buffers()}
    try:
        yield
    finally:
        set_random_states(states)
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                if not torch.equal(buffer, buffers[name]):
                    buffer.copy_(buffers[name])


def check_batches(loader: DataLoader) -> None:
    """Refuse a dataset that does not fill one batch, and unequal shares of it.

    Raises:
        PreflightError: In every process, if the training would see nothing in one of
            them, or if one would have fewer batches and leave the others waiting.
    """
    dataset: Any = loader.dataset
    batches = all_gather_object(len(loader))
    if len(set(batches)) > 1:
        counts = ", ".join(f"{n} in process {rank}" for rank, n in enumerate(batches))
        raise PreflightError(
            "every process needs the same number of training batches, got "
            f"{counts}; take a sampler that gives each as many images "
            "(DefaultSampler with round_up=True)"
        )
    if len(dataset) == 0:
        raise PreflightError("train_dataloader.dataset has no image after its filters")
    if len(loader) == 0:
        raise PreflightError(
            f"{len(dataset)} training images do not fill one batch of "
            f"{batch_size(loader)}; lower train_dataloader.batch_size"
        )


def batch_size(loader: DataLoader) -> int:
    """Images in a batch of one process."""
    batches: Any = loader.batch_sampler
    return int(getattr(batches, "batch_size", 1))


def last_batch(loader: DataLoader) -> int:
    """Images in the smaller batch that ends an epoch; 0 if there is none."""
    batches: Any = loader.batch_sampler
    sampler: Any = getattr(batches, "sampler", loader.sampler)
    if getattr(batches, "drop_last", True) or isinstance(sampler, InfiniteSampler):
        return 0
    return len(sampler) % batch_size(loader)


def check_loss(runner: Any, model: BaseModel) -> None:
    """Pass a batch, and the smaller one that ends an epoch, through the loss.

    Raises:
        PreflightError: It names the images.
    """
    loader = runner.train_loop.dataloader
    if type(model).train_step is not BaseModel.train_step:
        say("the model has a training step of its own: no loss is computed")
        return
    twin: Any = copy_of(model)
    if twin is None:
        return
    twin.train()
    full, last = batch_size(loader), last_batch(loader)
    sizes = {min(full, TRAINED, len(loader.dataset)): "a batch"}
    if 0 < last < min(full, TRAINED):
        sizes[last] = "the last batch of an epoch (left out by drop_last=True)"
    for size, name in sizes.items():
        indices = spread(len(loader.dataset), size)
        batch = batch_of(loader, indices, "train_dataloader")
        check_labels(batch, *classes_of(model))
        images = f"{name} of {size} training image{'s' * (size > 1)}"
        of = f"{images} ({shortened(paths(loader.dataset, indices), 2)})"
        with step(f"train_dataloader: the loss of {of}", PreflightError, twin):
            with autocast_context(runner.optim_wrapper, twin):
                data = twin.data_preprocessor(batch, True)
                losses = twin._run_forward(data, mode="loss")
            if bad := [name for name, value in losses.items() if not finite(value)]:
                raise PreflightError(
                    f"train_dataloader: {' and '.join(bad)} of {of} is not finite "
                    "before the first step; look at these images, their annotations "
                    "and the initial weights"
                )
            total, _ = twin.parse_losses(losses)
        say(f"{images}: transforms, model and loss pass, loss {total.item():.4g}")


def copy_of(model: BaseModel) -> BaseModel | None:
    """Copy a model; None, and a line in the log, if it cannot be copied."""
    try:
        return copy.deepcopy(model)
    except Exception as error:  # of hooks and process groups that somebody added
        say(f"warning: the model cannot be copied ({error}): no batch is run")
        return None


def finite(value: Any) -> bool:
    """Whether a loss, or a list of them, is finite."""
    if isinstance(value, Tensor):
        return bool(torch.isfinite(value).all())
    return all(finite(v) for v in value) if isinstance(value, (list, tuple)) else True


def autocast_context(optim_wrapper: Any, model: Any) -> Any:
    """Return the autocast that an optimizer wrapper trains with, if it is one."""
    if isinstance(optim_wrapper, OptimWrapper):
        return optim_wrapper.optim_context(model)
    return contextlib.nullcontext()


def spread(length: int, count: int) -> list[int]:
    """Indices that are evenly spread over a dataset."""
    return sampled(range(length), count)


def batch_of(loader: DataLoader, indices: Sequence[int], where: str) -> Any:
    """Collate samples in this process, by copies of the dataset's transforms."""
    dataset: Any = loader.dataset
    samples = []
    with pipelines_copied(dataset):
        for index in indices:
            path = paths(dataset, [index])[0]
            with step(f"{where}: the transforms of {path}", PreflightError):
                samples.append(dataset[index])
    collate: Any = loader.collate_fn
    with step(f"{where}: collating {shortened(paths(dataset, indices), 2)}"):
        return collate(samples)


@contextlib.contextmanager
def pipelines_copied(dataset: Any) -> Iterator[None]:
    """Replace the transforms of a dataset, and of those inside it, for a while."""
    owners = [one for one in inner_datasets(dataset) if hasattr(one, "pipeline")]
    pipelines = [owner.pipeline for owner in owners]
    for owner in owners:
        owner.pipeline = copy.deepcopy(owner.pipeline)
    try:
        yield
    finally:
        for owner, pipeline in zip(owners, pipelines, strict=True):
            owner.pipeline = pipeline


def inner_datasets(dataset: Any) -> Iterator[Any]:
    """A dataset and those that it wraps."""
    yield dataset
    for inner in (getattr(dataset, "dataset", None), *getattr(dataset, "datasets", ())):
        if inner is not None:
            yield from inner_datasets(inner)


def info_of(dataset: Any, index: int) -> Any:
    """What a dataset knows of a sample; empty if it does not tell."""
    try:
        return dataset.get_data_info(index)
    except Exception:  # of datasets without files
        return {}


def paths(dataset: Any, indices: Sequence[int]) -> list[str]:
    """Image files of samples, or their numbers."""
    return [
        str(info_of(dataset, index).get("img_path", f"sample {index}"))
        for index in indices
    ]


def check_evaluation(runner: Any, model: BaseModel) -> None:
    """Pass a batch of validation through the model and every evaluator.

    Detectors' evaluators are given the annotated objects as if they were predicted.

    Raises:
        PreflightError: It names images, evaluator and settings.
    """
    loader = runner.val_loop.dataloader
    dataset: Any = loader.dataset
    twin: Any = copy_of(model)
    if twin is None:
        return
    twin.eval()
    some = spread(len(dataset), 200)
    annotated = [i for i in some if info_of(dataset, i).get("instances")]
    among = annotated or range(len(dataset))
    count = min(EVALUATED, batch_size(loader), len(dataset))
    indices = [among[i] for i in spread(len(among), count)]
    batch = batch_of(loader, indices, "val_dataloader")
    check_labels(batch, *classes_of(model))
    of = f"{len(indices)} validation images ({shortened(paths(dataset, indices), 2)})"
    with (
        step(f"val_dataloader: the prediction of {of}", PreflightError, twin),
        torch.no_grad(),
        autocast_context(runner.optim_wrapper, twin),
    ):
        outputs = twin.val_step(batch)
    fed = feed_back(outputs, [info_of(dataset, index) for index in indices])
    settings = runner.cfg.get("val_evaluator")
    if settings is None:  # a Runner that was made of objects
        settings = copy.deepcopy(runner.val_loop.evaluator.metrics)
    if shares_out(settings):
        say(f"{kind_of(settings)} is not run: it shares out the samples by itself")
        return
    metrics = metrics_of(settings)
    with tempfile.TemporaryDirectory() as name, silent():
        for metric in metrics:
            with step(f"val_evaluator: {metric} of {of}", PreflightError):
                evaluate(runner, metric, outputs, fed, batch, dataset, Path(name))
    names = shortened(list(map(kind_of, metrics)))
    say(f"{len(indices)} validation images: prediction and evaluation pass ({names})")
