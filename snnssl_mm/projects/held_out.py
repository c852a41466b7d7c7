"""Drawing labelled images for validation, the same for the same images."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from snnssl_mm.projects.labels import Labels


def draw_held_out(labels: Labels) -> list[Path]:
    """Draw labelled images for validation, in proportion of classes, or of objects.

    Raises:
        ValueError: If a class has one image only, or there are fewer than two images.
    """
    if labels.classes:
        return drawn_by_class(labels.classes)
    images = labels.images()
    if len(images) < 2:
        raise ValueError(
            f"found {len(images)} labelled images; expected at least 2, for training "
            "and validation: add labelled images"
        )
    full = labels.coco.images_with_objects() if labels.coco else images
    parts = [list(part) for part in (full, images - full) if len(part) > 1]
    return sorted(file for part in parts or [list(images)] for file in drawn(part))


def drawn(images: list[Path], share: float = 0.2) -> list[Path]:
    """Draw a share of the images, at least one and not all."""
    shuffled = sorted(images)
    random.Random(0).shuffle(shuffled)
    count = min(max(1, round(share * len(images))), len(images) - 1)
    return sorted(shuffled[:count])


def drawn_by_class(classes: dict[Path, str]) -> list[Path]:
    """Draw the same share of the images of each class.

    Raises:
        ValueError: If a class has only one image.
    """
    counts = Counter(classes.values())
    rare = [name for name, count in counts.items() if count < 2]
    if rare:
        raise ValueError(
            f"the class {rare[0]!r} has only 1 image; expected at least 2, for "
            "training and validation: add images or remove the class"
        )
    parts = ([file for file in classes if classes[file] == name] for name in counts)
    return sorted(file for part in parts for file in drawn(part))
