"""Pre-flight: a batch of training and validation, and every evaluator, before step 1.

Errors that would stop training in its first iteration, in the last batch of its first
epoch or in the evaluation after it are raised now, with a message. Training is not
affected: copies of the model are run, and the random states are restored.
"""

from __future__ import annotations

import contextlib
import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor
from torch.utils.data import DataLoader

from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.checkpoints.random_states import random_states, set_random_states
from snnssl_mm.checks.batches import (
    batch_of,
    image_names,
    info_of,
    last_batch,
    process_batch_size,
    spread,
)
from snnssl_mm.checks.data import say, silent
from snnssl_mm.checks.evaluators import (
    class_name,
    insert_ground_truth,
    metrics_of,
    run_metric,
    splits_samples,
)
from snnssl_mm.checks.labels import classes_of, require_labels_in_range
from snnssl_mm.datasets.data_error import (
    DataError,
    PreflightError,
    shortened,
    step,
)
from snnssl_mm.models import DualPathSSL
from snnssl_mm.models.backbone import SpikingBackbone
from snnssl_mm.models.clips import require_time_first

TRAINED, EVALUATED = 32, 8  # maximum number of samples in a batch
SHARDED = ("FullySharded", "DeepSpeed")


def run_preflight(runner: Any) -> None:
    """Run the pre-flight of a built runner with loaded weights.

    Every process of a training must call it.

    Raises:
        PreflightError: In every process, for the first fault in any process.
    """
    model = unwrapped(runner.model)
    in_all_processes(lambda: require_training_batches(runner.train_loop.dataloader))
    if any(name in type(runner.model).__name__ for name in SHARDED):
        say("the model is sharded: no batch is run through it")
        return
    if not isinstance(model, BaseModel):
        say("the model is not one of mmengine's: no batch is run through it")
        return
    with state_restored(model):
        in_all_processes(lambda: require_finite_loss(runner, model))
        if runner.val_loop is not None:
            in_all_processes(lambda: require_evaluation(runner, model))


def build_loops(runner: Any) -> None:
    """Build a runner's data loaders, evaluators and loops.

    Raises:
        PreflightError: Names the settings that cannot be built.
    """
    for name in ("train", "val"):
        parts = f"building {name}_dataloader, {name}_evaluator, {name}_cfg"
        if name == "train":
            parts = "building train_dataloader, train_cfg"
        with step(parts, PreflightError, avoidable=False):
            getattr(runner, f"{name}_loop")


def in_all_processes(check: Any) -> None:
    """Call ``check``; raise in every process if it raises in any process."""
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
def state_restored(model: torch.nn.Module) -> Iterator[None]:
    """Restore the random states and the model's buffers on exit.

    The buffers may change, since a copy of a compiled or checkpointed model still calls
    layers of the original.
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


def require_training_batches(loader: DataLoader) -> None:
    """Require at least one training batch, and equally many in every process.

    Raises:
        PreflightError: In every process, if one of them has no batch, or fewer batches
            than others, which would then wait for it.
    """
    dataset: Any = loader.dataset
    batches = all_gather_object(len(loader))
    if len(set(batches)) > 1:
        counts = ", ".join(f"{n} in process {rank}" for rank, n in enumerate(batches))
        raise PreflightError(
            "every process needs the same number of training batches, got "
            f"{counts}; use a sampler that gives each process equally many images "
            "(DefaultSampler with round_up=True)"
        )
    if len(dataset) == 0:
        raise PreflightError(
            "train_dataloader.dataset has no image after filtering; check data_root "
            "and filter_cfg"
        )
    if len(loader) == 0:
        raise PreflightError(
            f"{len(dataset)} training images are fewer than one batch of "
            f"{process_batch_size(loader)}; lower train_dataloader.batch_size"
        )


def require_finite_loss(runner: Any, model: BaseModel) -> None:
    """Require a finite loss of a batch, and of the smaller one that ends an epoch.

    If hooks change the model over training, it must be finite in each of their stages.

    Raises:
        PreflightError: If the loss fails or is not finite; names the images.
    """
    loader = runner.train_loop.dataloader
    if type(model).train_step not in (BaseModel.train_step, DualPathSSL.train_step):
        say("the model has a custom training step: no loss is computed")
        return
    twin: Any = copy_of(model)
    if twin is None:
        return
    full, last = process_batch_size(loader), last_batch(loader)
    sizes = {run_size(min(full, len(loader.dataset))): "a batch"}
    if last:
        name = "the last batch of an epoch (left out by drop_last=True)"
        sizes.setdefault(run_size(last), name)
    for size, name in sizes.items():
        indices = spread(len(loader.dataset), size)
        batch = batch_of(loader, indices, "train_dataloader")
        require_labels_in_range(batch, *classes_of(model))
        images = f"{name} of {size} training image{'s' * (size > 1)}"
        of = f"{images} ({shortened(image_names(loader.dataset, indices), 2)})"
        for stage in stages_of(runner, model):
            for setting, value in stage.items():
                setattr(twin, setting, value)
            twin.train()
            during = "".join(f", {key}={value!r}" for key, value in stage.items())
            with step(
                f"train_dataloader: the loss of {of}{during}", PreflightError, twin
            ):
                loss = finite_loss(runner, twin, batch, size, f"{of}{during}")
            say(f"{images}{during}: transforms, model and loss pass, loss {loss:.4g}")


def run_size(size: int) -> int:
    """Return how many samples of a batch are run: odd if ``size`` is, for halves."""
    return min(size, TRAINED - size % 2)


def finite_loss(runner: Any, twin: Any, batch: Any, size: int, of: str) -> float:
    """Compute the loss of a batch of ``size`` images in training mode.

    Raises:
        PreflightError: If it is not finite; names what it is the loss ``of``.
    """
    with autocast_context(runner.optim_wrapper, twin):
        data = twin.data_preprocessor(batch, True)
        if isinstance(getattr(twin, "backbone", None), SpikingBackbone):
            require_time_first(twin.data_preprocessor, data["inputs"], size)
        losses = twin._run_forward(data, mode="loss")
    if bad := [name for name, value in losses.items() if not finite(value)]:
        raise PreflightError(
            f"train_dataloader: {' and '.join(bad)} of {of} is not finite before the "
            "first step; check these images, their annotations and the initial weights"
        )
    total, _ = twin.parse_losses(losses)
    return float(total.item())


def stages_of(runner: Any, model: BaseModel) -> list[dict[str, Any]]:
    """Return the model's settings over training, each once; no settings if they stay.

    Hooks that change them, such as PathScheduleHook, list them as ``model_stages``.
    """
    stages = [s for hook in runner.hooks for s in getattr(hook, "model_stages", ())]
    own = {name: getattr(model, name, None) for stage in stages for name in stage}
    complete = [{**own, **stage} for stage in stages or [own]]
    return [stage for i, stage in enumerate(complete) if stage not in complete[:i]]


def copy_of(model: BaseModel) -> BaseModel | None:
    """Copy a model; log a warning and return None if it cannot be copied."""
    try:
        return copy.deepcopy(model)
    except Exception as error:  # hooks or process groups that cannot be copied
        say(f"warning: the model cannot be copied ({error}): no batch is run")
        return None


def finite(value: Any) -> bool:
    """Whether a loss, or a list of them, is finite."""
    if isinstance(value, Tensor):
        return bool(torch.isfinite(value).all())
    return all(finite(v) for v in value) if isinstance(value, (list, tuple)) else True


def autocast_context(optim_wrapper: Any, model: Any) -> Any:
    """Return the autocast context of an optimizer wrapper; an empty one for others."""
    if isinstance(optim_wrapper, OptimWrapper):
        return optim_wrapper.optim_context(model)
    return contextlib.nullcontext()


def require_evaluation(runner: Any, model: BaseModel) -> None:
    """Require that a validation batch passes through the model and all evaluators.

    Detectors' evaluators get the annotated objects as predictions.

    Raises:
        PreflightError: Names images, evaluator and settings.
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
    count = min(EVALUATED, process_batch_size(loader), len(dataset))
    indices = [among[i] for i in spread(len(among), count)]
    batch = batch_of(loader, indices, "val_dataloader")
    require_labels_in_range(batch, *classes_of(model))
    names = shortened(image_names(dataset, indices), 2)
    images = f"{count} validation image{'s' * (count > 1)}"
    of = f"{images} ({names})"
    with (
        step(f"val_dataloader: the prediction of {of}", PreflightError, twin),
        torch.no_grad(),
        autocast_context(runner.optim_wrapper, twin),
    ):
        outputs = twin.val_step(batch)
    fed = insert_ground_truth(outputs, [info_of(dataset, index) for index in indices])
    settings = runner.cfg.get("val_evaluator")
    if settings is None:  # a Runner that was built from objects
        settings = copy.deepcopy(runner.val_loop.evaluator.metrics)
    if splits_samples(settings):
        say(f"{class_name(settings)} is not run: it distributes the samples itself")
        return
    metrics = metrics_of(settings)
    with tempfile.TemporaryDirectory() as folder, silent():
        for metric in metrics:
            with step(f"val_evaluator: {metric} of {of}", PreflightError):
                run_metric(runner, metric, outputs, fed, batch, dataset, Path(folder))
    kinds = shortened(list(map(class_name, metrics)))
    say(f"{images}: prediction and evaluation pass ({kinds})")
