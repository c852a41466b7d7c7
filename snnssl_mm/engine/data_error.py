"""How a dataset's fault is reported, and what the checks share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


class DataError(ValueError):
    """The data do not fit the model; the message is for the user."""


def require_path(path: str, where: str, settings: str) -> None:
    """Raise unless ``path`` exists.

    Args:
        path: File or folder that a dataset will read.
        where: The dataset's place in the config.
        settings: The settings that make up the path.

    Raises:
        DataError: It names the missing path.
    """
    if not Path(path).exists():
        raise DataError(
            f"{where} reads {Path(path).absolute()}, which does not exist; set "
            f"{settings} of {where}"
        )


def sampled(items: Sequence[Any], number: int) -> list[Any]:
    """At most ``number`` of ``items``, evenly spread."""
    if len(items) <= number:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, number).astype(int)]


def check_class_counts(
    heads: dict[str, int], classes: Sequence[str], where: str
) -> None:
    """Raise unless every head has as many classes as the dataset.

    Raises:
        DataError: It names the first head that has not.
    """
    for head, count in heads.items():
        if count != len(classes):
            raise DataError(
                f"{head}={count}, but {where} has {len(classes)} classes "
                f"({shortened(classes)}); set num_classes={len(classes)} there, or the "
                f"classes of {where} by metainfo=dict(classes=(...))"
            )


def shortened(names: Sequence[str], number: int = 5) -> str:
    """The first names of a list, and how many there are more."""
    text = ", ".join(map(str, names[:number]))
    more = len(names) - number
    return f"{text} and {more} more" if more > 0 else text
