"""Survey of a folder of images: how many, how large, and which labels there are."""

from __future__ import annotations

import json
import random
import re
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from snnssl_mm.datasets.image_files import list_images
from snnssl_mm.projects.coco import Coco, read_coco
from snnssl_mm.projects.masks import Mask, pair_masks

TRAIN, TEST = r"train(ing)?\d*", r"test(ing)?\d*"
HELD_OUT = rf"val(idation)?\d*|valid|{TEST}"
MASK_FOLDERS = ("masks", "labels", "annotations", "segmentations")
HEADERS = 300  # images whose size is read
TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
ORIENTATION = 0x0112


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


@dataclass
class Survey:
    """What a folder holds.

    Attributes:
        root: The folder, absolute.
        train: Images to learn from, with or without labels, sorted.
        held_out: Images of the validation.
        labels: Labels of the images in ``train``.
        held_out_labels: Those of the images in ``held_out``.
        width: Median width of the images in pixels, as they are shown.
        height: Median height.
        smallest_side: Shortest side found.
        notes: Decisions that the user should know of, a sentence each.
    """

    root: Path
    train: list[Path]
    held_out: list[Path]
    labels: Labels
    held_out_labels: Labels
    width: int
    height: int
    smallest_side: int
    notes: list[str]


def images_below(folder: Path) -> list[Path]:
    """Return all image files below a folder, sorted; hidden ones are passed over.

    Raises:
        FileNotFoundError: If the folder is missing or holds no images.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is not a folder; expected a folder of images, check the path"
        )
    listing = list_images(folder)
    if not listing.images:
        raise FileNotFoundError(
            f"{folder} holds no images; expected files such as .jpg, .png or .tiff "
            "there or in folders below"
        )
    listing.log_note()
    return [folder / name for name in listing.images]


def shown_size(file: Path) -> tuple[int, int]:
    """Width and height of an image after EXIF orientation, from its header.

    Raises:
        ValueError: If it is not a readable image.
    """
    try:
        with Image.open(file) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION) in TURNED
    except Exception as error:  # Pillow's decoders raise many kinds on any bytes
        raise ValueError(
            f"{file} cannot be read as an image ({error}); replace or remove it"
        ) from None
    return (height, width) if turned else (width, height)


def split(images: list[Path], share: float = 0.2) -> tuple[list[Path], list[Path]]:
    """Split images into training and validation, always in the same way."""
    shuffled = sorted(images)
    random.Random(0).shuffle(shuffled)
    count = min(max(1, round(share * len(images))), len(images) - 1)
    return sorted(shuffled[count:]), sorted(shuffled[:count])


def split_by_class(classes: dict[Path, str]) -> tuple[list[Path], list[Path]]:
    """Split images so that each class keeps its share in both parts.

    Raises:
        ValueError: If a class has one image only.
    """
    train, held_out = [], []
    counts = Counter(classes.values())
    rare = [name for name, count in counts.items() if count < 2]
    if rare:
        raise ValueError(
            f"the class {rare[0]!r} has one image only; expected at least two, one to "
            "learn from and one to test: add images or remove the class"
        )
    for name in sorted(counts):
        parts = split([file for file in classes if classes[file] == name])
        train += parts[0]
        held_out += parts[1]
    return sorted(train), sorted(held_out)


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


def survey(
    root: Path,
    labels: Path | None = None,
    val_images: Path | None = None,
    val_labels: Path | None = None,
) -> Survey:
    """Look at images and labels, and decide what is trained on and what is held out.

    Args:
        root: Folder of images.
        labels: COCO file, text file with classes, or folder of masks; found if None.
        val_images: Folder of the validation's images.
        val_labels: Their labels.

    Raises:
        FileNotFoundError: If a folder or file is missing or holds no images.
        ValueError: If labels do not fit the images.
    """
    root = root.expanduser().absolute()
    for given in (labels, val_labels):
        if given is not None and not given.expanduser().exists():
            raise FileNotFoundError(f"{given} does not exist; check the path")
    images, notes = images_below(root), []
    labels, val_labels = (p and p.expanduser().absolute() for p in (labels, val_labels))
    masks = labels if labels and labels.is_dir() else None
    found: dict[str, Path] = {}
    if labels is None:
        found = find_coco(root)
        labels, val_labels = found.get("train"), val_labels or found.get("held out")
        masks = None if labels else find_masks(root)
        labels = labels or masks
        notes += [f"Labels were found in {labels}."] if labels else []
    if masks and masks.is_relative_to(root):
        images = [file for file in images if not file.is_relative_to(masks)]
    folders = split_folders(root)
    held_root = root
    held_images = images
    if val_images:
        held_root = val_images.expanduser().absolute()
        held_images = images_below(held_root)
    elif folders and (labels is None or val_labels is None):
        train_root, held_root = folders
        held_images = [file for file in images if file.is_relative_to(held_root)]
        images = [file for file in images if file.is_relative_to(train_root)]
        root = train_root if labels is None else root
    return decide(
        root, images, held_root, held_images, labels, val_labels, found, notes
    )


def decide(
    root: Path,
    images: list[Path],
    held_root: Path,
    held_images: list[Path],
    labels: Path | None,
    val_labels: Path | None,
    found: dict[str, Path],
    notes: list[str],
) -> Survey:
    """Read the labels and split what nobody has split."""
    mine = labels_from(labels, images, root) if labels else Labels()
    theirs = Labels()
    separate = held_images is not images
    inside = held_root.is_relative_to(root)  # paths then are relative to root
    if not labels:
        mine.classes = class_folders(root, images)
        theirs.classes = class_folders(held_root, held_images) if separate else {}
    source = val_labels or (labels if separate and labels and labels.is_dir() else None)
    if source:
        theirs = labels_from(source, held_images, root if inside else held_root)
    if separate or source:
        held = sorted(theirs.images()) if source else held_images
        left_out = set(held)
        for name, file in found.items():
            if name.startswith("left out"):
                others = labels_from(file, held_images, held_root).images()
                notes.append(f"The {len(others)} images of {file.name} are left out.")
                left_out |= others
        beside = {file.parent for file in mine.images() or images}
        train = [f for f in images if f.parent in beside and f not in left_out]
    elif mine.images():
        labelled = sorted(mine.images())
        parts = split_by_class(mine.classes) if mine.classes else halves(labelled)
        _, held = parts
        mine, theirs = part_of(mine, set(held), False), part_of(mine, set(held), True)
        beside = {file.parent for file in labelled}
        train = [f for f in images if f.parent in beside and f not in set(held)]
        notes.append(
            f"{len(held)} of {len(labelled)} labelled images, drawn at random (always "
            "the same), are the validation; --val-labels names others."
        )
    else:
        train, held = images, []
    if not train:
        raise ValueError(
            f"all images of {root} belong to the validation; expected others to learn "
            "from"
        )
    return measured(root, train, held, mine, theirs, notes)


def halves(images: list[Path]) -> tuple[list[Path], list[Path]]:
    """Split labelled images.

    Raises:
        ValueError: If there is one only.
    """
    if len(images) < 2:
        raise ValueError(
            f"{len(images)} labelled images were found; expected at least two, one to "
            "learn from and one to test"
        )
    return split(images)


def part_of(labels: Labels, held_out: set[Path], wanted: bool) -> Labels:
    """Labels of the images that are held out, or of the others."""
    coco = labels.coco
    return Labels(
        {f: name for f, name in labels.classes.items() if (f in held_out) == wanted},
        coco
        and coco.part(
            {file for file in labels.images() if (file in held_out) == wanted}
        ),
        {f: mask for f, mask in labels.masks.items() if (f in held_out) == wanted},
    )


def measured(
    root: Path,
    train: list[Path],
    held: list[Path],
    mine: Labels,
    theirs: Labels,
    notes: list[str],
) -> Survey:
    """Add the sizes of a sample of the images."""
    step = max(1, len(train) // HEADERS)
    sizes = [shown_size(file) for file in train[::step]]
    return Survey(
        root=root,
        train=train,
        held_out=held,
        labels=mine,
        held_out_labels=theirs,
        width=round(statistics.median(width for width, _ in sizes)),
        height=round(statistics.median(height for _, height in sizes)),
        smallest_side=min(min(size) for size in sizes),
        notes=notes,
    )


def summary(found: Survey) -> dict[str, Any]:
    """Return the survey in words, for the terminal and the README."""
    lines: dict[str, Any] = {
        "images": f"{len(found.train)} to learn from, {len(found.held_out)} held out",
        "size": f"{found.width}x{found.height} pixels (median)",
    }
    if found.labels.classes:
        counts = Counter(found.labels.classes.values())
        lines["classes"] = ", ".join(
            f"{n} ({c})" for n, c in sorted(counts.items())[:8]
        )
        if len(counts) > 8:
            lines["classes"] += f" and {len(counts) - 8} more"
    if found.labels.coco:
        lines["objects"] = found.labels.coco.summary()
    if found.labels.masks:
        lines["masks"] = f"{len(found.labels.masks)} of {len(found.train)} images"
    return lines
