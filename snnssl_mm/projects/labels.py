"""Labels of images: read from files of several kinds, or found beside the images."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from snnssl_mm.datasets.image_files import list_folders, list_images
from snnssl_mm.projects.coco import Coco, read_coco_file
from snnssl_mm.projects.label_text import label_file
from snnssl_mm.projects.masks import Mask, image_stem, pair_masks

TRAIN, TEST = r"train(ing)?\d*", r"test(ing)?\d*"
HELD_OUT = rf"val(idation)?\d*|valid|dev|eval(uation)?|holdout|{TEST}"
MASKS = (
    r"((train|training|val|valid|validation|test|images?)[ _-])?"
    r"(masks?|labels?|annotations?|segmentations?|segmentation(class|object)|gt|groundtruth)"
)


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


def has_name_part(pattern: str, name: str) -> bool:
    """Whether a name has a part such as ``train`` or ``Val2017``."""
    parts = re.split(r"[\W_]+", name)
    return any(re.fullmatch(pattern, part, re.IGNORECASE) for part in parts)


def class_folders(root: Path, images: list[Path]) -> dict[Path, str]:
    """Return each image's class if the folders right below ``root`` are classes.

    A few images beside the folders have no class; if one image in ten is there, the
    folders are no classes.
    """
    parts = {file: file.relative_to(root).parts for file in images}
    classes = {file: part[0] for file, part in parts.items() if len(part) > 1}
    names = set(classes.values())
    if len(names) < 2 or 10 * len(classes) <= 9 * len(images):
        return {}
    return classes


def labels_from(source: Path, images: list[Path], root: Path) -> Labels:
    """Read labels: a COCO file, a text file with classes, or a folder of masks.

    Raises:
        ValueError: If it is none of them, or does not fit the images.
    """
    if source.is_dir():
        return Labels(masks=pair_masks(images, root, source))
    if source.suffix == ".json":
        return Labels(coco=read_coco_file(source, images, root))
    if source.suffix.lower() in (".txt", ".csv", ".tsv"):
        return Labels(classes=label_file(source, images, root))
    raise ValueError(
        f"--labels {source} is of no known kind; expected a COCO file (.json), a text "
        "file with classes (.txt, .csv), or a folder of masks"
    )


def images_of_coco(file: Path) -> set[str] | None:
    """Return the names of the images of a COCO file; None for any other JSON."""
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, OSError):
        return None
    keys = {"images", "annotations", "categories"}
    if not isinstance(content, dict) or not keys <= set(content):
        return None
    rows = [row for row in content["images"] if isinstance(row, dict)]
    return {Path(str(row.get("file_name")).replace("\\", "/")).name for row in rows}


def find_coco(root: Path, images: list[Path]) -> dict[str, Path]:
    """Find COCO files in ``root``, in a folder inside of it or beside it.

    Those beside it count if they are about one of the images.

    Raises:
        ValueError: If it is unclear which one to take.
    """
    present, files = {image.name for image in images}, []
    folders = [root, *(path for path in sorted(root.iterdir()) if path.is_dir())]
    beside = [root.parent / name for name in ("annotations", "labels")]
    for place in dict.fromkeys([*folders, *beside]):
        for file in sorted(place.glob("*.json")):
            about = images_of_coco(file)
            if about is not None and (place in folders or about & present):
                files.append(file)
    if len(files) < 2:
        return dict(zip(("train",), files, strict=False))
    instances = [file for file in files if has_name_part("instances", file.stem)]
    files = instances or files
    places = {file: file.relative_to(root.parent).with_suffix("") for file in files}
    names = {file: "/".join(place.parts[1:]) for file, place in places.items()}
    train = [file for file in files if has_name_part(TRAIN, names[file])]
    held_out = [file for file in files if has_name_part(HELD_OUT, names[file])]
    held_out.sort(key=lambda file: has_name_part(TEST, names[file]))  # val first
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


def is_for_masks(name: str) -> bool:
    """Whether a folder has a name that folders of masks have."""
    return re.fullmatch(MASKS, name, re.IGNORECASE) is not None


def find_masks(root: Path, images: list[Path]) -> Path | None:
    """Find a folder of masks of some of the images, inside of ``root`` or beside it."""
    for place in (root, root.parent):
        names = list_folders(place) if os.access(place, os.R_OK) else []
        for folder in [place / name for name in names if is_for_masks(name)]:
            if folder == root:
                continue
            listing = list_images(folder)
            stems = {image_stem(Path(name).stem) for name in listing.images}
            others = (file for file in images if not file.is_relative_to(folder))
            if any(file.stem in stems for file in others):
                return folder
    return None


def split_folders(root: Path) -> tuple[Path, Path] | None:
    """Return the folders of training and validation images, if ``root`` has both."""
    for place in (root, root / "images"):
        folders = sorted(
            path
            for path in place.glob("*")
            if path.is_dir() and not is_for_masks(path.name)
        )
        folders = [path for path in folders if list_images(path).images]
        train = [path for path in folders if has_name_part(TRAIN, path.name)]
        held_out = [path for path in folders if has_name_part(HELD_OUT, path.name)]
        held_out.sort(key=lambda path: has_name_part(TEST, path.name))  # val first
        if len(train) == 1 and held_out:
            return train[0], held_out[0]
    return None


def entered(root: Path) -> Path:
    """Enter folders that hold nothing but one folder, as unpacked archives do."""
    while len(names := list_folders(root)) == 1 and not (
        list_images(root, recursive=False).images or any(root.glob("*.json"))
    ):
        root /= names[0]
    return root


def outside(folder: Path | None, images: list[Path]) -> list[Path]:
    """Return the images that are not in a folder of masks, nor in others beside it."""
    if folder is None or not folder.is_dir():
        return images
    beside = folder.parent
    return [
        file
        for file in images
        if not file.is_relative_to(beside)
        or (
            not any(map(is_for_masks, file.relative_to(beside).parts[:-1]))
            and not file.is_relative_to(folder)
        )
    ]
