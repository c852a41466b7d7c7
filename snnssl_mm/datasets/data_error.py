"""How a dataset's fault is reported, and what the checks share."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn


class DataError(ValueError):
    """The data do not fit the model; the message is for the user."""


class PreflightError(DataError):
    """A training would fail later: in its batches, its loss or its evaluation."""


@contextlib.contextmanager
def step(
    doing: str,
    kind: type[DataError] = DataError,
    model: nn.Module | None = None,
    avoidable: bool = True,
) -> Iterator[None]:
    """Turn an unexpected error into a sentence that says what was being done.

    Args:
        doing: The place in the config, the file or sample, and the step.
        kind: Which error is raised.
        model: What is run; the sentence names the layer that failed.
        avoidable: Whether a training gets further without its pre-flight.

    Raises:
        DataError: It names the step and the original error, which is its cause.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # of any dataset, transform, model or metric
        layer = model and failed_layer(error, model)
        raise kind(
            f"{doing} failed{f' in model.{layer}' * bool(layer)}: {described(error)}"
            + " (--no-preflight starts without this check)" * avoidable
        ) from error


def failed_layer(error: BaseException, model: nn.Module) -> str:
    """Name of the innermost layer of ``model`` that an error went through."""
    names = {id(module): name for name, module in model.named_modules()}
    layer = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        layer = names.get(id(frame.f_locals.get("self")), layer)
    return layer


def described(error: BaseException) -> str:
    """Return an error's message on one line, with its type unless it is ours."""
    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    if last and str(last.tb_frame.f_globals["__name__"]).startswith("snnssl_mm."):
        return str(error)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def require_file(path: str, where: str) -> None:
    """Raise unless a dataset's annotation file exists.

    Args:
        path: The file.
        where: The dataset's place in the config.

    Raises:
        DataError: It names the file.
    """
    if not Path(path).is_file():
        raise DataError(
            f"{where} reads the file {Path(path).absolute()}, which does not exist; "
            f"set data_root and ann_file of {where}"
        )


def require_folder(path: str, where: str) -> None:
    """Raise unless a dataset's image folder exists; arguments as above.

    Raises:
        DataError: It names the folder.
    """
    if not Path(path).is_dir():
        state = "is not a folder" if Path(path).exists() else "does not exist"
        raise DataError(
            f"{where} reads the folder {Path(path).absolute()}, which {state}; "
            f"set data_root and data_prefix of {where}"
        )


def sampled(items: Sequence[Any], number: int | None) -> list[Any]:
    """At most ``number`` of ``items``, evenly spread; all of them for None."""
    if number is None or len(items) <= number:
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
            cure = (
                f"set num_classes={len(classes)} there, or the classes of {where}"
                if where.startswith("train")
                else f"give {where} all classes of the training, by the same folders or"
            )
            if hidden := [name for name in classes if name.startswith(".")]:
                cure = f"remove the folder {hidden[0]} or take snnssl_mm.ImageFolder,"
                cure += " which passes over hidden folders; else name the classes"
            raise DataError(
                f"{head}={count}, but {where} has {len(classes)} classes "
                f"({shortened(classes)}); {cure} by metainfo=dict(classes=(...))"
            )


def shortened(names: Sequence[Any], number: int = 5) -> str:
    """The first names of a list, and how many there are more."""
    text = ", ".join(map(str, names[:number]))
    more = len(names) - number
    return f"{text} and {more} more" if more > 0 else text
