"""Images and files of labels as they were given or found, and reading the labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from snnssl_mm.projects.labels import Labels, class_folders, labels_from


class Sources(NamedTuple):
    """Images, and files or folders of labels.

    Attributes:
        root: Folder of the images.
        images: Images for training, or all of them.
        held_root: Folder of the images for validation.
        held_images: Those images; ``images`` itself if they are not apart.
        rest: Images in neither split.
        labels: Labels for training, or for all; None if folders are the classes.
        val_labels: Labels for validation.
    """

    root: Path
    images: list[Path]
    held_root: Path
    held_images: list[Path]
    rest: list[Path]
    labels: Path | None
    val_labels: Path | None

    @property
    def are_separate(self) -> bool:
        """Whether the images for validation are apart from the others."""
        return self.held_images is not self.images

    @property
    def others(self) -> set[Path]:
        """Return the images for validation if they are apart."""
        return set(self.held_images) if self.are_separate else set()


def read_labels(sources: Sources, notes: list[str]) -> tuple[Labels, Labels, bool]:
    """Read the labels for training and for validation.

    Args:
        sources: Images and files of labels.
        notes: Decisions that the user should know; new ones are added.

    Returns:
        Both labels, and whether ``held_images`` are the validation; if not, a part of
        the labelled images is to be held out.
    """
    root, images, held_root, held_images, rest, labels, val_labels = sources
    others = sources.others
    separate = sources.are_separate
    inside = held_root.is_relative_to(root)  # then paths are relative to root
    own = [file for file in images if file not in others]
    theirs = Labels()
    if not labels:
        mine = Labels(class_folders(root, own))
        theirs.classes = class_folders(held_root, held_images) if separate else {}
        if mine.classes and (stray := set(own) - set(mine.classes)):
            notes.append(
                f"{len(stray)} images outside of the class folders are left out, such "
                f"as {min(stray)}."
            )
    elif separate and not val_labels and (inside or labels.is_dir()):
        # One file or folder has both splits, and perhaps others.
        every = list(dict.fromkeys([*images, *held_images, *rest]))
        read = labels_from(labels, every, Path(os.path.commonpath([root, held_root])))
        mine, theirs = read.part(set(own)), read.part(others)
        if mine.images() and not theirs.images():
            separate = False  # a part of the labelled images is held out instead
            notes.append(
                f"The {len(others)} images of {held_root.name} are left out: they are "
                f"for validation, but {labels.name} has no labels for them; give those "
                "by --val-labels."
            )
    else:
        # Held out images compete for masks, but tables may have lines for them.
        mine = labels_from(labels, own if labels.is_dir() else images, root)
    if val_labels:
        theirs = labels_from(val_labels, held_images, root if inside else held_root)
    if unclear := [*mine.unclear, *theirs.unclear]:
        notes.append(
            f"{len(unclear)} images have no mask, such as {unclear[0]}: the one of "
            "their name is or could be another image's; name the folders of the masks "
            "as those of the images."
        )
    return mine, theirs, separate
