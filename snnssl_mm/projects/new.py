"""Generation of a project folder: survey, plan, write, measure, set lengths, write."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import math
import os
import shlex
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from snnssl_mm import compat
from snnssl_mm.projects.plan import (
    FEW_ITERATIONS,
    Machine,
    Plan,
    first_plan,
    fit,
    minutes_for,
    shrink_crops,
)
from snnssl_mm.projects.survey import Survey, summary, survey
from snnssl_mm.projects.write import Data, config_names, write_configs, write_readme

MINUTES = 40
MARK = "Written by snnssl new."  # in common.py of every project
BUSY = 0.5  # load average in excess of the number of cores
LARGE = 2000  # pixels of the longer side
NO_OPERATORS = (
    "mmcv has no compiled operators here, which detection needs: run "
    "python -m snnssl_mm.setup_mmcv once; detect.py has a guessed length until this "
    "folder is written again"
)
NO_PROBE = (
    ", so nothing tells how good the features are. As soon as\n"
    "there is a folder of labelled images, FOLDER/{train,test}/<class>/*:\n"
    "`snnssl probe pretrain.py CHECKPOINT --data FOLDER --start pretrained random`,\n"
    "and `snnssl report CHECKPOINT --data FOLDER`."
)
HAS_PROBE = (
    "The probe compares the pretrained backbone with a random one: k-NN and a linear\n"
    "classifier on frozen features. To see what pretraining is worth for detection or\n"
    "segmentation, train once more without `--pretrained`, into another `--work-dir`."
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress messages and warnings of libraries while they build models."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def new_project(
    images: Path,
    out: Path,
    labels: Path | None = None,
    val_images: Path | None = None,
    val_labels: Path | None = None,
    size: int | None = None,
    minutes: float = MINUTES,
    command: str = "snnssl new",
    say: Callable[[str], object] = print,
) -> Plan:
    """Write a folder of configs for a folder of images, sized for this machine.

    Args:
        images: Folder of images.
        out: Folder to write; must not contain other files.
        labels: COCO file, text file of classes, or folder of masks; searched if None.
        val_images: Images for validation; a part of the others if None.
        val_labels: Labels for validation.
        size: Side of the pretraining's crops; chosen if None.
        minutes: Time for all trainings together on this machine.
        command: Command to name in the README.
        say: Called with each line for the terminal.

    Returns:
        Plan: The chosen sizes.

    Raises:
        FileExistsError: If ``out`` contains files that are not a project.
        FileNotFoundError: If images or labels are missing.
        ValueError: If labels do not fit the images, no training can use them, or
            ``out`` is inside of the images.
    """
    compat.apply()
    if not minutes > 0:
        raise ValueError(f"--minutes must be above 0, got {minutes:g}")
    require_folder(out, images, labels, val_images, val_labels)
    found = survey(images, labels, val_images, val_labels)
    add_drawn_masks(found)
    for name, text in summary(found).items():
        say(f"{name}: {text}")
    machine = Machine.here()
    plan = first_plan(found, machine, size)
    out.mkdir(parents=True, exist_ok=True)
    data = Data(found, out, plan.crop)
    for name in set(plan.lengths) - {"pretrain"}:
        wanted = {"detect": "coco_classes", "segment": "mask_classes"}[name]
        if wanted not in data.values:
            del plan.lengths[name]
            data.notes.append(
                f"There is no {name}.py: the validation has no labels for it; give "
                "them by --val-labels."
            )
    gpu = machine.gpu_memory > 0
    say(f"machine: {machine.words()}; measuring training steps ...")
    write_configs(data, plan, {}, gpu)
    check_files(data, plan)
    notes = [*found.notes, *data.notes]
    notes += measure_and_fit(data, plan, minutes, gpu, choose=size is None)
    words = {name: length_in_words(plan, name) for name in plan.lengths}
    write_configs(data, plan, words, gpu)
    commands = commands_of(data, plan)
    write_readme(
        out,
        root=data.values["root"],
        command=command,
        machine=machine.words(),
        summary=summary(found),
        notes=notes,
        commands=commands,
        advice=HAS_PROBE if "probe" in data.values else no_probe(found),
    )
    for line in (*notes, *(f"{n}.py: {text}" for n, text in words.items())):
        say(line)
    say(f"In {out} (see README.md there):\n  cd {shlex.quote(str(out))}")
    for line in commands:
        say(f"  {line}")
    return plan


def require_folder(out: Path, images: Path, *others: Path | None) -> None:
    """Refuse an output folder with other files, or one that overlaps with the inputs.

    Raises:
        FileExistsError: If it contains files that are not a project.
        ValueError: If it is inside of the images, or labels are inside of it.
    """
    common, mine = out / "common.py", False
    if common.is_file():
        mine = MARK in common.read_text(encoding="utf-8", errors="replace")
    if out.is_dir() and any(out.iterdir()) and not mine:
        raise FileExistsError(
            f"{out} contains files that are not a project of this command; choose "
            "another folder by --out"
        )
    resolved = out.resolve()
    if resolved.is_relative_to(images.expanduser().resolve()):
        raise ValueError(
            f"{out.absolute()} is inside of {images}, so its pictures would be used as "
            "images the next time; choose a folder elsewhere by --out"
        )
    for given in (path for path in others if path):
        if given.expanduser().resolve().is_relative_to(resolved):
            raise ValueError(
                f"{given} is inside of {out}, which is overwritten; move it, or choose "
                "another folder by --out"
            )


def add_drawn_masks(found: Survey) -> None:
    """Use the outlines of COCO objects as masks, if all have outlines."""
    for labels in (found.labels, found.held_out_labels):
        coco = labels.coco
        if found.labels.coco and found.labels.coco.has_masks() and coco:
            labels.masks = {file: (coco, key) for key, file in coco.files.items()}


def check_files(data: Data, plan: Plan) -> None:
    """Refuse images and labels that the pre-flight of a training would refuse.

    Raises:
        ValueError: If the data checks of a training fail.
    """
    from mmengine.config import Config

    from snnssl_mm.checks.data import check_data, silent

    for name in plan.lengths:
        if name == "detect" and importlib.util.find_spec("mmcv._ext") is None:
            continue  # mmdet cannot be imported
        with quiet(), silent():
            check_data(Config.fromfile(data.folder / f"{name}.py"))


def measure_and_fit(
    data: Data, plan: Plan, minutes: float, gpu: bool, choose: bool
) -> list[str]:
    """Measure each training and set its length; return notes for the user."""
    from snnssl_mm.projects.measure import step_seconds

    notes, seconds = [], {}
    for name in plan.lengths:
        while True:
            try:
                with quiet():
                    seconds[name] = step_seconds(data.folder / f"{name}.py")
            except ModuleNotFoundError as error:
                if name != "detect" or "mmcv._ext" not in str(error):
                    raise
                notes.append(NO_OPERATORS)
            fit(plan, seconds, minutes)
            training = plan.lengths[name]
            few = training.epochs * training.iterations < FEW_ITERATIONS
            if name != "pretrain" or not few or not choose or not shrink_crops(plan):
                break
            write_configs(data, plan, {}, gpu)
    if os.getloadavg()[0] > Machine.here().cores + BUSY:
        notes.append(
            "Other processes used this machine while steps were measured, so the "
            "trainings are shorter than they could be; run the command again when the "
            "machine is idle."
        )
    width, height = data.survey.width, data.survey.height
    if max(width, height) > LARGE:
        notes.append(
            f"Reading images of {width}x{height} pixels takes much of the time; copies "
            "(and labels) reduced to 1,000 pixels train faster."
        )
    training = plan.lengths["pretrain"]
    if training.epochs * training.iterations < FEW_ITERATIONS:
        wanted = math.ceil(minutes_for(plan, "pretrain", FEW_ITERATIONS))
        notes.append(
            f"Only {training.epochs * training.iterations} iterations of pretraining "
            f"fit into the time, too few to learn much: {FEW_ITERATIONS} or more need "
            f"--minutes {wanted}."
        )
    return notes


def no_probe(found: Survey) -> str:
    """Say why there is no probe, and what would give one."""
    given = found.labels.images()
    reason = "These labels allow no probe" if given else "There are no labels"
    return reason + NO_PROBE


def length_in_words(plan: Plan, name: str) -> str:
    """Describe the length of a training."""
    training = plan.lengths[name]
    epochs = f"{training.epochs} epoch{'s' if training.epochs > 1 else ''}"
    text = f"{epochs} of {training.iterations} iterations"
    if training.seconds:
        text += f" of {training.batch} images, {training.seconds:.2g} s each"
    return f"{text}: {expected_minutes(plan, name)}"


def expected_minutes(plan: Plan, name: str) -> str:
    """Describe the expected duration of a training."""
    training = plan.lengths[name]
    if not training.seconds:
        return "not measured"
    minutes = max(1, round(training.minutes))
    return f"about {minutes} minute{'s' if minutes > 1 else ''}"


def seen_from(project: Path, folder: Path) -> str:
    """Return the path of a folder from a project beside it; else its own path."""
    path = Path(os.path.relpath(folder.resolve(), project.resolve()))
    return str(folder if path.parts[:2] == ("..", "..") else path)


def commands_of(data: Data, plan: Plan) -> list[str]:
    """Return the commands of a project, in order."""

    def last(name: str) -> str:
        return f"work_dirs/{name}/epoch_{plan.lengths[name].epochs}.pth"

    backbone = last("pretrain")
    lines = [
        "snnssl check pretrain.py",
        f"snnssl train pretrain.py    # {expected_minutes(plan, 'pretrain')}",
    ]
    if "probe" in config_names(data, plan):
        lines.append(f"snnssl probe probe.py {backbone} --start pretrained random")
    for name in ("detect", "segment"):
        if name in plan.lengths:
            train = f"snnssl train {name}.py --pretrained {backbone}"
            lines.append(f"{train}    # {expected_minutes(plan, name)}")
            lines.append(f"snnssl test {name}.py {last(name)}")
    if "probe" in data.values:
        lines.append(f"snnssl report {backbone}")
    for name in [name for name in plan.lengths if name != "pretrain"]:
        images = shlex.quote(seen_from(data.folder, data.survey.held_out[0].parent))
        lines.append(f"snnssl infer {name}.py {last(name)} {images} --out drawn/{name}")
    return lines
