"""A training step inside mmengine's loop, as a config trains, and parts of its cost.

The loop has the config's hooks, optimizer wrapper, parameter groups and schedules. The
plain side computes the same step from the same weights and images without them: AdamW
with all parameters in one group. Both run on both paths and all time steps, as the last
stage of the schedule does.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from harness import Case, Run, Side, Skipped
from mmengine.config import Config
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop
from torch import Tensor, nn

from rows.step_anatomy import details
from snnssl_mm.engine.launch import adjust, build_runner
from snnssl_mm.recording.machine import cpu_info

TITLE = "training step inside mmengine's loop"
CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "selfsup"
MAIN, IMAGENET = "spikformer_ctl.py", "spikformer-16-512_ctl_in1k.py"
"""Their projectors are the widths that the configs use for digits and for ImageNet."""

BF16_FLAGS = ("amx_bf16", "avx512_bf16")
BATCHES = 2
NUMBERS = itertools.count()


class Size(NamedTuple):
    """A training.

    Attributes:
        device: ``'cpu'`` or ``'cuda'``.
        images: Batch size.
        pixels: Sides of the images.
        arch: Of the backbone; None for the config's.
        projector: Config whose hidden and output width the projector has.
        amp: Data type of autocast, or None.
        iterations: Of a run; the config's logging interval, so that each run has one.
    """

    device: str
    images: int = 64
    pixels: int = 16
    arch: Any = None
    projector: str = MAIN
    amp: str | None = None
    iterations: int = 10


@LOOPS.register_module()
class SteppedLoop(EpochBasedTrainLoop):
    """Loop that enters its first epoch and returns; :meth:`steps` continues it."""

    def run(self) -> nn.Module:
        """Start the first epoch and load its first batches."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        self.batches = list(itertools.islice(self.dataloader, BATCHES))
        return self.runner.model

    def steps(self, number: int) -> None:
        """Run iterations."""
        for index in range(self.iter, self.iter + number):
            batch = self.batches[index % BATCHES]
            self.run_iter(index % len(self.dataloader), batch)

    def first_loss(self) -> Tensor:
        """Return the loss of the first iteration, from the log."""
        losses, _ = self.runner.message_hub.get_scalar("train/loss").data
        return torch.tensor(float(losses[0]))


def widths(config: str) -> dict[str, int]:
    """Hidden and output width of a config's projector."""
    neck = Config.fromfile(CONFIGS / config).model.neck
    return {key: neck[key] for key in ("hid_channels", "out_channels")}


def config_of(size: Size, folder: Path) -> Config:
    """The main job's config at a size, without evaluation, on both paths."""
    cfg = Config.fromfile(CONFIGS / MAIN)
    cfg.model.neck.update(widths(size.projector))
    if size.arch is not None:
        cfg.model.backbone.arch = size.arch
        named = isinstance(size.arch, str)
        dims = int(size.arch.split("-")[1]) if named else size.arch["embed_dims"]
        cfg.model.neck.in_channels = dims
    cfg.train_dataloader.batch_size = size.images
    cfg.train_dataloader.dataset.update(
        size=size.pixels, data_root=str(folder / f"scenes_{size.pixels}")
    )
    cfg.default_hooks.update(
        path_schedule=None, knn=None, linear_probe=None, health=None
    )
    cfg.default_hooks.logger.interval = size.iterations
    cfg.train_cfg = dict(type="SteppedLoop", max_epochs=cfg.train_cfg.max_epochs)
    cfg.log_level = "WARNING"
    return adjust(cfg, work_dir=str(folder / "run"), amp=size.amp)


@functools.cache
def common_folder() -> Path:
    """Make this process's folder for images and logs."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def started(size: Size) -> Any:
    """Build a runner and start its training: it is before its first iteration."""
    cfg = config_of(size, common_folder())
    cfg.experiment_name = f"run{next(NUMBERS)}"  # mmengine shares those of one name
    runner = build_runner(cfg)
    runner.train()
    return runner


def looped(size: Size) -> Run:
    """Iterations of mmengine's loop; the first run returns its first loss."""
    loop = started(size).train_loop

    def run() -> Tensor | None:
        new = loop.iter == 0
        loop.steps(size.iterations)
        return loop.first_loss() if new else None  # which waits for a GPU

    return run


def plain(size: Size) -> Run:
    """The same steps without hooks, wrapper and schedules."""
    runner = started(size)
    model, batches = runner.model, runner.train_loop.batches
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    runs = itertools.count()

    def step(data: Any) -> Tensor:
        optimizer.zero_grad()
        with torch.autocast(size.device, torch.bfloat16, enabled=size.amp is not None):
            losses = model(**model.data_preprocessor(data, True), mode="loss")
            loss: Tensor = losses["loss"]
        loss.backward()
        optimizer.step()
        return loss.detach()

    def run() -> Tensor | None:
        first, *_ = [step(batches[i % BATCHES]) for i in range(size.iterations)]
        return None if next(runs) else first.cpu()

    return run


def case_of_loop(name: str, size: Size) -> Case:
    """The loop compared with plain steps."""
    sides = {"mmengine's loop": looped, "plain steps": plain}
    return Case(
        f"{name}, {steps_text(size)}",
        {label: Side(side, memory=False) for label, side in sides.items()},
        size,
        budget_s=8,
        rounds=(2, 10),
        items=(size.iterations * size.images, "images"),
        details=functools.partial(details, size.device, size.iterations),
    )


def case_of_amp(name: str, size: Size) -> Case:
    """Autocast compared with float32, both in mmengine's loop."""

    def of(amp: str | None) -> Side:
        changed = functools.partial(_looped_with, amp)
        return Side(changed, compared=False, memory=False)

    return Case(
        f"{name}, {steps_text(size)}",
        {"--amp bfloat16": of("bfloat16"), "float32": of(None)},
        size,
        budget_s=8,
        rounds=(2, 10),
        items=(size.iterations * size.images, "images"),
    )


def steps_text(size: Size) -> str:
    """How many steps a run has."""
    return "1 step" if size.iterations == 1 else f"{size.iterations} steps"


def _looped_with(amp: str | None, size: Size) -> Run:
    return looped(size._replace(amp=amp))


def lacks_bf16(device: str, flags: Sequence[str]) -> str | None:
    """Why bf16 is not worth measuring on a processor with these flags, or None."""
    if device == "cuda" or set(flags) & set(BF16_FLAGS):
        return None
    return f"this processor has none of {', '.join(BF16_FLAGS)}"


def cases(device: str, quick: bool) -> list[Case | Skipped]:
    """The main job with both projectors, and both precisions of two networks."""
    main = Size(device)
    large = Size(device, 8, 32, "4-384", iterations=1)
    if device == "cuda":
        large = large._replace(images=256, iterations=10)
    if quick:
        tiny = dict(embed_dims=32, depth=1, num_heads=2)
        main = Size(device, 2, arch=tiny, iterations=2)
        large = main._replace(pixels=32)
    found: list[Case | Skipped] = []
    for config in (MAIN, IMAGENET):
        hidden, out = widths(config).values()
        name = f"digits, {main.images} images, projector {hidden}-{hidden}-{out}"
        found.append(case_of_loop(name, main._replace(projector=config)))
    reason = lacks_bf16(device, cpu_info().get("flags", "").split())
    for size in (main, large):
        named = isinstance(size.arch, str)
        network = f"Spikformer-{size.arch}" if named else "digits"
        name = f"--amp, {network}, {size.images} images, {size.pixels}x{size.pixels}"
        found.append(Skipped(name, reason) if reason else case_of_amp(name, size))
    if not quick:
        return found
    return [replace(c, rounds=(1, 2)) if isinstance(c, Case) else c for c in found]
