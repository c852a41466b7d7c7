"""Labels of images: read from files of several kinds, or found beside the images."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from snnssl_mm.projects.coco import Coco, read_coco
from snnssl_mm.projects.masks import Mask, pair_masks

TRAIN, TEST = r"train(ing)?\d*", r"test(ing)?\d*"
HELD_OUT = rf"val(idation)?\d*|valid|{TEST}"
MASK_FOLDERS = ("masks", "labels", "annotations", "segmentations")


@dataclass
class Labels:
    """Labels of one split.

    Attributes:
        classes: Class of each image, by path; empty without classes.
        coco: Annotated objects.
        masks: Mask of each image, by path.
    """

    classes: dict[Path, str] = field(default_factory=dict)
    coco: Coco | None = None
    masks: dict[Path, Mask] = field(default_factory=dict)

    def images(self) -> set[Path]:
        """Return the labelled images."""
        objects = set(self.coco.files.values()) if self.coco else set()
        return set(self.classes) | set(self.masks) | objects


def named(pattern: str, name: str) -> bool:
    """Whether a name has a part such as ``train`` or ``val2017``."""
    return any(re.fullmatch(pattern, part) for part in re.split(r"[\W_]+", name))


def class_folders(root: Path, images: list[Path]) -> dict[Path, str]:
    """Return each image's class if the folders right below ``root`` are classes."""
    parts = [file.relative_to(root).parts for file in images]
    names = {part[0] for part in parts}
    if len(names) < 2 or any(len(part) < 2 for part in parts):
        return {}
    return {file: part[0] for file, part in zip(images, parts, strict=True)}


def label_file(file: Path, images: list[Path], root: Path) -> dict[Path, str]:
    """Return each image's class from a text file.

    Its lines are ``path,class`` (or separated by a tab, or by the last blank), the
    path relative to the folder of images; or a class alone, in the sorted order of
    the images' paths.

    Raises:
        ValueError: If lines and images do not belong together.
    """
    lines = [line.strip() for line in file.read_text("utf-8-sig").splitlines()]
    lines = [line for line in lines if line]
    rows = [re.split(r"\s*[,;\t]\s*", line) for line in lines]
    if all(len(row) == 1 for row in rows):
        rows = [line.rsplit(None, 1) for line in lines]
    by_name = {image.relative_to(root).as_posix(): image for image in images}
    by_name |= {image.name: image for image in images if image.name not in by_name}
    if rows and rows[0][0] not in by_name and all(r[0] in by_name for r in rows[1:]):
        rows = rows[1:]  # a line of headings
    if rows and all(row[0] in by_name and len(row) > 1 for row in rows):
        return {by_name[row[0]]: row[1] for row in rows}
    if len(lines) == len(images):
        return dict(zip(images, lines, strict=True))
    strange = next((row[0] for row in rows if row[0] not in by_name), "nothing")
    raise ValueError(
        f"{file} does not fit the {len(images)} images in {root}: it has {len(lines)} "
        f"lines, and {strange!r} is not an image there; expected a line "
        "'path,class' for each, or a class a line in the sorted order of the images"
    )


def labels_from(source: Path, images: list[Path], root: Path) -> Labels:
    """Read labels: a COCO file, a text file with classes, or a folder of masks.

    Raises:
        ValueError: If it is none of them, or does not fit the images.
    """
    if source.is_dir():
        return Labels(masks=pair_masks(images, root, source))
    if source.suffix == ".json":
        return Labels(coco=read_coco(source, images, root))
    if source.suffix.lower() in (".txt", ".csv", ".tsv"):
        return Labels(classes=label_file(source, images, root))
    raise ValueError(
        f"--labels {source} is of no known kind; expected a COCO file (.json), a text "
        "file with classes (.txt, .csv), or a folder of masks"
    )


def is_coco(file: Path) -> bool:
    """Whether a JSON file is one of COCO's annotations."""
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, OSError):
        return False
    keys = {"images", "annotations", "categories"}
    return isinstance(content, dict) and keys <= set(content)


def find_coco(root: Path) -> dict[str, Path]:
    """Find COCO files in ``root``, in a folder inside of it or beside it.

    Raises:
        ValueError: If it is unclear which one to take.
    """
    folders = [root, *(path for path in sorted(root.iterdir()) if path.is_dir())]
    folders += [root.parent / name for name in ("annotations", "labels")]
    files = [f for place in folders for f in sorted(place.glob("*.json")) if is_coco(f)]
    if len(files) < 2:
        return dict(zip(("train",), files, strict=False))
    instances = [file for file in files if named("instances", file.stem)]
    files = instances or files
    places = {file: file.relative_to(root.parent).with_suffix("") for file in files}
    names = {file: "/".join(place.parts[1:]) for file, place in places.items()}
    train = [file for file in files if named(TRAIN, names[file])]
    held_out = [file for file in files if named(HELD_OUT, names[file])]
    held_out.sort(key=lambda file: named(TEST, names[file]))  # val first
    if len(train) == 1 and held_out:
        return {"train": train[0], "held out": held_out[0], **ignored(held_out[1:])}
    raise ValueError(
        f"{root} has {len(files)} COCO files ({', '.join(f.name for f in files[:4])}); "
        "name the one to learn from by --labels, and that of the validation by "
        "--val-labels"
    )


def ignored(files: list[Path]) -> dict[str, Path]:
    """Further annotation files, whose images must not be learned from."""
    return {f"left out {index}": file for index, file in enumerate(files)}


def find_masks(root: Path) -> Path | None:
    """Find a folder of masks inside of ``root`` or beside it."""
    for place in (root, root.parent):
        for name in MASK_FOLDERS:
            folder = place / name
            if folder.is_dir() and folder != root and any(folder.rglob("*.png")):
                return folder
    return None


def split_folders(root: Path) -> tuple[Path, Path] | None:
    """Return the folders of training and validation images, if ``root`` has both."""
    for place in (root, root / "images"):
        folders = sorted(path for path in place.glob("*") if path.is_dir())
        train = [path for path in folders if named(TRAIN, path.name)]
        held_out = [path for path in folders if named(HELD_OUT, path.name)]
        held_out.sort(key=lambda path: named(TEST, path.name))  # val first
        if len(train) == 1 and held_out:
            return train[0], held_out[0]
    return None
