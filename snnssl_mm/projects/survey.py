"""Survey of a folder of images: number, sizes, labels and splits."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnssl_mm.datasets.image_files import Listing, list_images
from snnssl_mm.projects.held_out import draw_held_out
from snnssl_mm.projects.labels import (
    Labels,
    enter_single_folders,
    find_coco,
    find_masks,
    folders_apart,
    labels_from,
    outside,
    split_folders,
)
from snnssl_mm.projects.objects import use_common_objects
from snnssl_mm.projects.sizes import shown_size
from snnssl_mm.projects.sources import Sources, read_labels

HEADERS = 300  # number of images whose size is read


@dataclass
class Survey:
    """Images and labels of a folder.

    Attributes:
        root: The folder, absolute.
        train: Sorted training images, with or without labels.
        held_out: Images for validation.
        labels: Labels of the images in ``train``.
        held_out_labels: Labels of the images in ``held_out``.
        width: Median width in pixels, after EXIF orientation.
        height: Median height in pixels, after EXIF orientation.
        smallest_side: Smallest side in pixels.
        notes: Decisions that the user should know, one sentence each.
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
    """Return all image files below a folder, sorted, without hidden files.

    Raises:
        FileNotFoundError: If the folder is missing or contains no images.
    """
    listing = listing_below(folder)
    return [folder / name for name in listing.images]


def listing_below(folder: Path) -> Listing:
    """List a folder and its sub-folders; raises as :func:`images_below` does."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is not a folder; expected a folder of images: check the path"
        )
    listing = list_images(folder)
    if not listing.images:
        raise FileNotFoundError(
            f"{folder} contains no images; expected files such as .jpg, .png or .tiff "
            "there or in its sub-folders"
        )
    return listing


def log_passed_over(listing: Listing, used: set[Path]) -> None:
    """Log which files of a folder are skipped: no images, and no labels in use."""
    inside = [file for file in used if file.is_relative_to(listing.folder)]
    suffixes = Counter(file.suffix.lower() for file in inside if file.is_file())
    others = listing.passed_over - suffixes
    listing._replace(passed_over=others).log_note()


def from_here(path: Path) -> Path:
    """Return a path relative to the working directory, if it is inside of it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def survey(
    root: Path,
    labels: Path | None = None,
    val_images: Path | None = None,
    val_labels: Path | None = None,
) -> Survey:
    """Find images and labels, and split them into training and validation.

    Args:
        root: Folder of images.
        labels: COCO file, text file with classes, or folder of masks; searched if None.
        val_images: Folder of images for validation.
        val_labels: Labels for validation.

    Raises:
        FileNotFoundError: If a folder or file is missing or contains no images.
        ValueError: If labels do not fit the images.
    """
    root = Path(os.path.abspath(root.expanduser()))
    for given in (labels, val_labels):
        if given is not None and not given.expanduser().exists():
            raise FileNotFoundError(f"{given} does not exist; check the path")
    listings = [listing_below(root)]
    images, notes = [root / name for name in listings[0].images], []
    labels, val_labels = (
        path and Path(os.path.abspath(path.expanduser()))
        for path in (labels, val_labels)
    )
    looked_for = labels is None
    root = enter_single_folders(root) if looked_for else root
    folders = None if val_images else split_folders(root)
    found: dict[str, Path] = {}
    if looked_for:
        found = find_coco(root, images)
        labels, val_labels = found.get("train"), val_labels or found.get("held out")
        labels = labels or find_masks(root, images)
    images = outside(val_labels, outside(labels, images))
    held_root, held_images, rest = root, images, list[Path]()
    if val_images:
        held_root = Path(os.path.abspath(val_images.expanduser()))
        listings.append(listing_below(held_root))
        held_images = [held_root / name for name in listings[1].images]
    elif folders and (labels is None or val_labels is None):
        train_root, held_root = folders
        held_images = [file for file in images if file.is_relative_to(held_root)]
        mine = [file for file in images if file.is_relative_to(train_root)]
        split_up = {*mine, *held_images}
        if rest := [file for file in images if file not in split_up]:
            notes.append(
                f"{len(rest)} images neither in {train_root.name} nor in "
                f"{held_root.name} are left out."
            )
        images = mine
        if labels is None:
            root = train_root
            labels = find_masks(train_root, images)
            val_labels = labels and find_masks(held_root, held_images)
            held_images = outside(val_labels, held_images)
            images = outside(labels, images)
    if looked_for and labels:
        notes.append(f"Labels were found in {from_here(labels)}.")
    for listing in listings:
        log_passed_over(listing, {*found.values(), *filter(None, (labels, val_labels))})
    sources = Sources(root, images, held_root, held_images, rest, labels, val_labels)
    return read_and_split(sources, found, notes)


def read_and_split(
    sources: Sources, found: dict[str, Path], notes: list[str]
) -> Survey:
    """Read the labels, and split the images if they have no splits yet."""
    root, images, held_root, held_images, _, labels, val_labels = sources
    mine, theirs, separate = read_labels(sources, notes)
    others = sources.others
    labelled, held, left_out = mine.images(), list[Path](), others
    if labels and not labelled:
        notes.append(f"{labels.name} has no labels for training images.")
    if separate or val_labels:
        held = sorted(theirs.images()) if val_labels else held_images
        left_out = others | set(held)
        for name, file in found.items():
            if name.startswith("left out"):
                unused = labels_from(file, held_images, held_root).images()
                notes.append(f"The {len(unused)} images of {file.name} are left out.")
                left_out |= unused
        if twice := labelled & left_out:
            notes.append(
                f"{len(twice)} images with labels for training are held out or left "
                f"out, too, such as {min(twice)}; they are not trained on."
            )
        labelled -= left_out
    elif labelled:
        held = draw_held_out(mine)
        theirs, left_out = mine.part(set(held)), others | set(held)
        notes.append(
            f"{len(held)} of {len(labelled)} labelled images, drawn with a fixed seed, "
            "are for validation; choose others by --val-labels."
        )
    mine = mine.part(labelled - left_out)
    used = images if labels or not mine.classes else sorted(labelled)
    train = [file for file in used if file not in left_out]
    train = without_folders_apart(train, labelled, root, notes)
    notes += use_common_objects(mine, theirs)
    if not train:
        raise ValueError(
            f"all images of {root} are for validation; expected others for training: "
            "add images"
        )
    return make_survey(root, train, held, mine, theirs, notes)


def without_folders_apart(
    images: list[Path], labelled: set[Path], root: Path, notes: list[str]
) -> list[Path]:
    """Leave out the images in :func:`folders_apart`, and note their number."""
    apart = folders_apart(images, labelled, root) if labelled else set()
    kept = [file for file in images if file.parent not in apart]
    if number := len(images) - len(kept):
        names = ", ".join(sorted(str(path.relative_to(root)) for path in apart)[:3])
        notes.append(
            f"{number} images without labels are left out, since their folders are "
            f"named as those of validation or masks ({names}); rename the folders if "
            "the images are for pretraining."
        )
    return kept


def make_survey(
    root: Path,
    train: list[Path],
    held: list[Path],
    mine: Labels,
    theirs: Labels,
    notes: list[str],
) -> Survey:
    """Make the survey, with the sizes of a sample of the images."""
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
    """Summarise the survey for the terminal and the README."""
    lines: dict[str, Any] = {
        "images": f"{len(found.train)} for training, {len(found.held_out)} held out",
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
