"""Labels of images: reading of several file types, search near the images."""

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
        classes: Class of each image by path; may be empty.
        coco: Annotated objects.
        masks: Mask of each image by path.
        unclear: Images without a mask, since the one of their name fits another image.
    """

    classes: dict[Path, str] = field(default_factory=dict)
    coco: Coco | None = None
    masks: dict[Path, Mask] = field(default_factory=dict)
    unclear: list[Path] = field(default_factory=list)

    def images(self) -> set[Path]:
        """Return the labelled images."""
        objects = set(self.coco.files.values()) if self.coco else set()
        return set(self.classes) | set(self.masks) | objects

    def part(self, files: set[Path]) -> Labels:
        """Return the labels of some of the images."""
        coco = self.coco and self.coco.part(files)
        return Labels(
            {file: name for file, name in self.classes.items() if file in files},
            coco if coco and coco.files else None,
            {file: mask for file, mask in self.masks.items() if file in files},
            [file for file in self.unclear if file in files],
        )


def has_name_part(pattern: str, name: str) -> bool:
    """Tell whether a part of a name, such as ``Val2017``, matches a pattern."""
    parts = re.split(r"[\W_]+", name)
    return any(re.fullmatch(pattern, part, re.IGNORECASE) for part in parts)


def class_folders(root: Path, images: list[Path]) -> dict[Path, str]:
    """Return the class of each image if the direct sub-folders of ``root`` are classes.

    Images directly in ``root`` have no class; if they are 10 % or more, the sub-folders
    are not taken as classes.
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
        ValueError: If it is another kind of file, or does not fit the images.
    """
    if source.is_dir():
        masks, unclear = pair_masks(images, root, source)
        return Labels(masks=masks, unclear=unclear)
    if source.suffix == ".json":
        return Labels(coco=read_coco_file(source, images, root))
    if source.suffix.lower() in (".txt", ".csv", ".tsv"):
        return Labels(classes=label_file(source, images, root))
    raise ValueError(
        f"--labels {source} is of an unknown type; expected a COCO file (.json), a "
        "text file with classes (.txt, .csv), or a folder of masks"
    )


def images_of_coco(file: Path) -> set[str] | None:
    """Return the image names of a COCO file; None for any other JSON file."""
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
    """Find COCO files in ``root``, its sub-folders and its sibling folders.

    Files in sibling folders are used if they contain one of the images.

    Raises:
        ValueError: If it is ambiguous which file to use.
    """
    present, files = {image.name for image in images}, []
    folders = [root, *(path for path in sorted(root.iterdir()) if path.is_dir())]
    siblings = [root.parent / name for name in ("annotations", "labels")]
    for folder in dict.fromkeys([*folders, *siblings]):
        for file in sorted(folder.glob("*.json")):
            annotated = images_of_coco(file)
            if annotated is not None and (folder in folders or annotated & present):
                files.append(file)
    if len(files) < 2:
        return dict(zip(("train",), files, strict=False))
    instances = [file for file in files if has_name_part("instances", file.stem)]
    files = instances or files
    paths = {file: file.relative_to(root.parent).with_suffix("") for file in files}
    names = {file: "/".join(path.parts[1:]) for file, path in paths.items()}
    train = [file for file in files if has_name_part(TRAIN, names[file])]
    held_out = [file for file in files if has_name_part(HELD_OUT, names[file])]
    held_out.sort(key=lambda file: has_name_part(TEST, names[file]))  # val first
    if len(train) == 1 and held_out:
        others = left_out_files(held_out[1:])
        return {"train": train[0], "held out": held_out[0], **others}
    raise ValueError(
        f"{root} has {len(files)} COCO files ({', '.join(f.name for f in files[:4])}); "
        "give the one for training by --labels, and the one for validation by "
        "--val-labels"
    )


def left_out_files(files: list[Path]) -> dict[str, Path]:
    """Name further annotation files, whose images must not be used for training."""
    return {f"left out {index}": file for index, file in enumerate(files)}


def is_for_masks(name: str) -> bool:
    """Tell whether a folder is named as folders of masks usually are."""
    return re.fullmatch(MASKS, name, re.IGNORECASE) is not None


def folders_apart(images: list[Path], labelled: set[Path], root: Path) -> set[Path]:
    """Return the folders whose images are not for training, by their names.

    They are named as held out splits or masks (or are below such a folder), and none of
    the labelled images for training is in them.

    Args:
        images: Images below ``root``.
        labelled: Those with labels for training.
        root: Folder of the images; its own name does not count.
    """
    used = {root, *(folder for file in labelled for folder in file.parents)}

    def is_apart(folder: Path) -> bool:
        if folder in used:
            return False
        named = is_for_masks(folder.name) or has_name_part(HELD_OUT, folder.name)
        return named or is_apart(folder.parent)

    return {folder for folder in {file.parent for file in images} if is_apart(folder)}


def find_masks(root: Path, images: list[Path]) -> Path | None:
    """Find a folder with masks of some of the images, inside or next to ``root``."""
    for parent in (root, root.parent):
        names = list_folders(parent) if os.access(parent, os.R_OK) else []
        for folder in [parent / name for name in names if is_for_masks(name)]:
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
    for parent in (root, root / "images"):
        folders = sorted(
            path
            for path in parent.glob("*")
            if path.is_dir() and not is_for_masks(path.name)
        )
        folders = [path for path in folders if list_images(path).images]
        train = [path for path in folders if has_name_part(TRAIN, path.name)]
        held_out = [path for path in folders if has_name_part(HELD_OUT, path.name)]
        held_out.sort(key=lambda path: has_name_part(TEST, path.name))  # val first
        if len(train) == 1 and held_out:
            return train[0], held_out[0]
    return None


def enter_single_folders(root: Path) -> Path:
    """Enter folders that contain only one folder, as in unpacked archives."""
    while len(names := list_folders(root)) == 1 and not (
        list_images(root, recursive=False).images or any(root.glob("*.json"))
    ):
        root /= names[0]
    return root


def outside(folder: Path | None, images: list[Path]) -> list[Path]:
    """Return the images outside of a folder of masks and of its siblings with masks."""
    if folder is None or not folder.is_dir():
        return images
    parent = folder.parent
    return [
        file
        for file in images
        if not file.is_relative_to(parent)
        or (
            not any(map(is_for_masks, file.relative_to(parent).parts[:-1]))
            and not file.is_relative_to(folder)
        )
    ]
