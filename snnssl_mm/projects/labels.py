"""Labels of images: read from files of several kinds, or found beside the images."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from snnssl_mm.datasets.label_file import read_lines
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
    lines = [line for line in read_lines(file) if line]
    by_name = {image.relative_to(root).as_posix(): image for image in images}
    counts = Counter(image.name for image in images)
    by_name |= {i.name: i for i in images if counts[i.name] == 1}
    counts = Counter(image.stem for image in images)
    by_name |= {i.stem: i for i in images if counts[i.stem] == 1}
    last = lines[-1] if lines else ""
    present = [separator for separator in ",;\t" if separator in last] + [""]
    fitting = [s for s in present if last and image_of(columns(last, s), by_name)]
    rows = [columns(line, (fitting or present)[0]) for line in lines]
    meant = [image_of(row, by_name) for row in rows]
    if meant and not meant[0] and all(meant[1:]):
        rows, meant = rows[1:], meant[1:]  # a line of headings
    if meant and all(meant) and all(len(row) > 1 and row[1] for row in rows):
        return one_class_each(meant, [row[1] for row in rows], file)
    alone = not any(meant) and not any(image_of(row[-1:], by_name) for row in rows)
    if alone and len(lines) == len(images):
        return dict(zip(images, lines, strict=True))
    wrong = [
        f"{row[0]!r} {'has no class' if image else 'is not an image there'}"
        for row, image in zip(rows, meant, strict=True)
        if not image or len(row) < 2 or not row[1]
    ]
    raise ValueError(
        f"{file} does not fit the {len(images)} images in {root}: it has {len(lines)} "
        f"lines{', and '.join(['', *wrong[:1]])}; expected a line 'path,class' for "
        "each, or a class a line in the sorted order of the images"
    )


def columns(line: str, separator: str) -> list[str]:
    """Columns of a line, maybe in quotes; without separator, by the last blank."""
    if not separator:
        return line.rsplit(None, 1)
    (row,) = csv.reader([line], delimiter=separator, skipinitialspace=True)
    return [column.strip() for column in row]


def image_of(row: list[str], by_name: dict[str, Path]) -> Path | None:
    """Return the image that the first column means.

    It ends as the path of the image does; its suffix may lack if a class follows.
    """
    parts = row[0].replace("\\", "/").split("/")
    for start in range(len(parts)):
        image = by_name.get("/".join(parts[start:]))
        if image and (len(row) > 1 or image.name == parts[-1]):
            return image
    return None


def one_class_each(
    images: Sequence[Path | None], names: list[str], file: Path
) -> dict[Path, str]:
    """Return the class of each image.

    Raises:
        ValueError: If an image has two.
    """
    found: dict[Path, str] = {}
    for image, name in zip(images, names, strict=True):
        if image and found.setdefault(image, name) != name:
            raise ValueError(
                f"{file} gives {image.name} the classes {found[image]!r} and {name!r}; "
                "expected one class for each image"
            )
    return found


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
