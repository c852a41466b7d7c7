"""Files of a project: lists of images, labels, configs and the README."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from snnssl_mm.projects.coco import Coco, read_pixels
from snnssl_mm.projects.labels import Labels
from snnssl_mm.projects.masks import Mask, Value, number_classes, values_of, write_masks
from snnssl_mm.projects.plan import Plan, anchors
from snnssl_mm.projects.survey import Survey

COLOUR_SAMPLE = 64  # number of images for mean and standard deviation
COLOUR_SIDE = 128  # side in pixels to which they are reduced
PROJECTOR = {128: 512, 64: 512}  # width by the backbone's channels; 1,024 otherwise


class Data:
    """Writes the data files of the configs, and keeps the values for the templates.

    Args:
        survey: Images and labels.
        folder: Folder of the project.
        crop: Side of cropped objects in pixels.
    """

    def __init__(self, survey: Survey, folder: Path, crop: int) -> None:
        self.survey = survey
        self.folder = folder
        self.notes: list[str] = []
        self.values: dict[str, Any] = {}
        for former in ("objects", "masks"):
            shutil.rmtree(folder / former, ignore_errors=True)
        for former in ("probe.py", "detect.py", "segment.py"):
            (folder / former).unlink(missing_ok=True)
        everything = [*survey.train, *survey.held_out]
        self.root = survey.root
        while not all(file.is_relative_to(self.root) for file in everything):
            self.root = self.root.parent  # a common root for validation images
        self.write_list("train.txt", survey.train)
        mean, std = colours(survey.train)
        self.values |= {"root": repr(str(self.root)), "mean": mean, "std": std}
        mine, theirs = survey.labels, survey.held_out_labels
        if mine.classes:
            self.write_classes(mine, theirs)
        if mine.coco and theirs.coco:
            self.write_objects(mine.coco, theirs.coco, crop)
        if mine.masks and theirs.masks:
            self.write_masks(mine.masks, theirs.masks)

    def write_list(self, name: str, files: list[Path], labels: Any = None) -> None:
        """Write the paths of images, each with its label if labels are given.

        Raises:
            ValueError: If the name of a file cannot be in a line of text.
        """
        lines = [line_of(file, self.root) for file in files]
        if labels is not None:
            lines = [f"{a} {labels[b]}" for a, b in zip(lines, files, strict=True)]
        text = "".join(f"{line}\n" for line in lines)
        (self.folder / name).write_text(text, encoding="utf-8")

    def write_classes(self, mine: Labels, theirs: Labels) -> None:
        """Write the classes of images as numbers.

        Raises:
            ValueError: If the validation has a class that the training does not have.
        """
        names = sorted(set(mine.classes.values()))
        strange = sorted(set(theirs.classes.values()) - set(names))
        if strange:
            raise ValueError(
                f"the validation has the class {strange[0]!r}, which the training "
                f"images do not have; expected any of {names[:5]}"
            )
        if len(names) < 2:
            self.notes.append(
                f"There is no probe, which needs two or more classes: all images have "
                f"the class {names[0]!r}."
            )
            return
        for name, labels in (("train", mine), ("test", theirs)):
            numbers = {file: names.index(c) for file, c in labels.classes.items()}
            self.write_list(f"classes_{name}.txt", sorted(numbers), numbers)
        self.values |= {"classes": names, "probe": "images"}

    def write_objects(self, mine: Coco, theirs: Coco, crop: int) -> None:
        """Write the annotations, and crops of objects for the probe.

        Raises:
            ValueError: If training and validation have different categories.
        """
        names = list(mine.classes().values())
        if mine.classes() != theirs.classes():
            raise ValueError(
                f"training and validation have different categories: {names} and "
                f"{list(theirs.classes().values())}; export them together"
            )
        for name, coco in (("train", mine), ("val", theirs)):
            coco.write(self.folder / f"{name}.json", self.root)
        counts = {
            split: coco.write_crops(self.folder / "objects" / split, crop)
            for split, coco in (("train", mine), ("test", theirs))
        }
        shown = {
            split: {path.name for path in (self.folder / "objects").glob(f"{split}/*")}
            for split in counts
        }
        if shown["train"] == shown["test"] and len(shown["train"]) > 1:
            self.values["probe"] = "objects"
            self.notes.append(
                f"objects/ contains crops of {counts['train']} objects from training "
                f"and {counts['test']} from validation images (at most 300 per class) "
                "for the probe."
            )
        else:
            self.notes.append(
                "There is no probe: it needs two or more classes of objects that occur "
                "in training and validation."
            )
        self.values |= {"coco_classes": names, "masks": mine.has_masks()}

    def write_masks(self, mine: dict[Path, Mask], theirs: dict[Path, Mask]) -> None:
        """Write masks of class numbers, and compute loss weights for rare classes."""
        counts = values_of([*mine.values(), *theirs.values()])
        table = number_classes(counts)
        for name, masks in (("train", mine), ("val", theirs)):
            write_masks(masks, table, self.root, self.folder / "masks")
            self.write_list(f"masks_{name}.txt", sorted(masks))
        numbers: dict[int, Value] = {
            n: value for value, n in table.items() if n < len(table) and value in counts
        }
        pixels = np.array([counts[numbers[n]] for n in sorted(numbers)], float)
        weights = (pixels.sum() / pixels / len(pixels)) ** 0.5
        coco = self.survey.labels.coco if self.is_drawn(mine) else None
        names = [name_of(value) for _, value in sorted(numbers.items())]
        if coco:
            every = ["background", *coco.classes().values()]
            names = [every[int(name)] for name in names]
        self.values["mask_classes"] = names
        self.values["weights"] = [round(float(w), 2) for w in weights / weights.mean()]
        found = ", ".join(f"{name} = {n}" for n, name in enumerate(names[:8]))
        self.notes.append(f"masks/ contains masks of class numbers: {found}.")

    @staticmethod
    def is_drawn(masks: dict[Path, Mask]) -> bool:
        """Tell whether the masks are drawn from the objects of a COCO file."""
        return isinstance(next(iter(masks.values())), tuple)


def line_of(file: Path, root: Path) -> str:
    """Return the path of a file relative to ``root`` as it stands in a list of files.

    Readers of other packages strip lines, so a blank at the start follows ``./``.

    Raises:
        ValueError: If the path has a line break, or bytes that are not UTF-8.
    """
    path = file.relative_to(root).as_posix()
    fault = "a line break" if set("\n\r") & set(path) else None
    try:
        path.encode()
    except UnicodeEncodeError:  # Python keeps other bytes as lone surrogates
        fault = "bytes that are not UTF-8"
    if fault:
        raise ValueError(
            f"the path {str(file)!r} has {fault}; expected a path that fits on a line "
            "of UTF-8 text: rename the file or folder"
        )
    return path if path == path.lstrip() else f"./{path}"


def name_of(value: Value) -> str:
    """Name a class by its value in the masks."""
    if isinstance(value, tuple):
        return "#" + "".join(f"{part:02x}" for part in value)
    return str(value)


def colours(files: list[Path]) -> tuple[list[float], list[float]]:
    """Compute mean and standard deviation of red, green, blue in a sample of images."""
    chosen = random.Random(0).sample(files, min(COLOUR_SAMPLE, len(files)))
    pixels = []
    for file in chosen:
        small = cv2.resize(
            read_pixels(file), (COLOUR_SIDE,) * 2, interpolation=cv2.INTER_AREA
        )
        pixels.append(small.reshape(-1, 3)[:, ::-1])
    every = np.concatenate(pixels).astype(float)
    mean, std = every.mean(0), every.std(0).clip(8)  # flat images have no contrast
    return [round(float(m), 2) for m in mean], [round(float(s), 2) for s in std]


def environment() -> jinja2.Environment:
    """Return the environment of the templates."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("snnssl_mm.projects"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.ChainableUndefined,
    )
    templates.filters["py"] = repr
    return templates


def config_names(data: Data, plan: Plan) -> list[str]:
    """Return the names of a project's configs, in the order of their use."""
    probe = ["probe"] if "probe" in data.values else []
    rest = [name for name in plan.lengths if name != "pretrain"]
    return ["common", "pretrain", *probe, *rest]


def write_configs(data: Data, plan: Plan, words: dict[str, str], gpu: bool) -> None:
    """Write all configs.

    Args:
        data: Data files and values.
        plan: Sizes.
        words: Description of the length of each training.
        gpu: Whether to use larger necks and heads.
    """
    templates = environment()
    # RetinaNet starts at stride 8 (with the CIFAR stem at 2) and has five levels.
    start_level = 1 if plan.stem == "imagenet" else 0
    first, levels = plan.strides[start_level], len(plan.strides) + 1
    count = 5 if not data.values.get("masks") else levels
    first = first if not data.values.get("masks") else plan.strides[0]
    values = {
        **data.values,
        "plan": plan,
        "words": words,
        "gpu": gpu,
        "count": len(data.survey.train),
        "scenes": plan.crop_share[1] < 1,
        "projector": PROJECTOR.get(plan.channels, 1024),
        "few": 20 * plan.lengths["pretrain"].iterations,
        "anchors": anchors(data.survey, plan),
        "start_level": start_level,
        "levels": [first * 2**level for level in range(count)],
    }
    for name in config_names(data, plan):
        length = plan.lengths.get(name, plan.lengths["pretrain"])
        warmup = max(1, min(200, length.epochs * length.iterations // 10))
        text = templates.get_template(f"{name}.py.j2").render(
            values, length=length, warmup=warmup
        )
        (data.folder / f"{name}.py").write_text(text, encoding="utf-8")


def write_readme(folder: Path, **values: Any) -> None:
    """Write the README with the commands."""
    text = environment().get_template("README.md.j2").render(values)
    (folder / "README.md").write_text(text, encoding="utf-8")
