"""Errors of datasets, and functions that the checks share."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch.utils.data import Subset

AVOIDABLE = " (--no-preflight starts without this check)"
TIME_AXIS = (
    "; an ordinary layer got maps with a time axis: set time_readout='mean' in the "
    "backbone or SpikingNeck before it, or take the spiking form of its neck or head"
)


class DataError(ValueError):
    """Error for data that do not fit the model; its message is for the user."""


class PreflightError(DataError):
    """Error for a training that would fail later, in a batch, loss or evaluation."""


def file_of(info: Any) -> str | None:
    """Return the image or recording file of a sample's info; None if in memory."""
    return info.get("img_path") or info.get("recording_path")


def sample_info(dataset: Any, index: int) -> Any:
    """Return what a dataset, or a subset of one, knows about a sample."""
    if isinstance(dataset, Subset):
        return sample_info(dataset.dataset, dataset.indices[index])
    return dataset.get_data_info(index)


@contextlib.contextmanager
def step(
    doing: str,
    kind: type[DataError] = DataError,
    model: nn.Module | None = None,
    avoidable: bool = True,
) -> Iterator[None]:
    """Turn an unexpected error into one that says which step failed.

    Args:
        doing: The key in the config, the file or sample, and the step.
        kind: Type of the error to raise.
        model: Model that is run; the message names the layer that failed.
        avoidable: Whether ``--no-preflight`` lets the training start anyway.

    Raises:
        DataError: If the step fails; the original error is its cause.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # from any dataset, transform, model or metric
        layer = failed_layer(error, model) if model else ""
        where = f" in model.{layer}" if layer else ""
        hint = AVOIDABLE if avoidable else ""
        raise kind(f"{doing} failed{where}: {described(error)}{hint}") from error


def failed_layer(error: BaseException, model: nn.Module) -> str:
    """Return the innermost layer of ``model`` in an error's traceback."""
    names = {id(module): name for name, module in model.named_modules()}
    layer = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        layer = names.get(id(frame.f_locals.get("self")), layer)
    return layer


def described(error: BaseException) -> str:
    """Return an error's message on one line, with its type unless it is our own."""
    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    if last and str(last.tb_frame.f_globals["__name__"]).startswith("snnssl_mm."):
        return str(error)
    text = " ".join(str(error).split())
    if "4D (batched) input" in text and re.search(r"\[\d+(, \d+){4}\]", text):
        text += TIME_AXIS
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def require_file(path: str, where: str) -> None:
    """Raise unless a dataset's annotation file exists.

    Args:
        path: The file.
        where: The dataset's key in the config.

    Raises:
        DataError: If the file does not exist.
    """
    if not Path(path).is_file():
        raise DataError(
            f"{where} reads the file {Path(path).absolute()}, which does not exist; "
            f"set data_root and ann_file of {where}"
        )


def require_folder(path: str, where: str) -> None:
    """Raise unless a dataset's image folder exists; arguments as above.

    Raises:
        DataError: If the folder does not exist.
    """
    if not Path(path).is_dir():
        state = "is not a folder" if Path(path).exists() else "does not exist"
        raise DataError(
            f"{where} reads the folder {Path(path).absolute()}, which {state}; "
            f"set data_root and data_prefix of {where}"
        )


def sampled(items: Sequence[Any], number: int | None) -> list[Any]:
    """Return at most ``number`` evenly spread ``items``; all of them for None."""
    if number is None or len(items) <= number:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, number).astype(int)]


def check_class_counts(
    heads: dict[str, int], classes: Sequence[str], where: str
) -> None:
    """Raise unless every head has as many classes as the dataset.

    Raises:
        DataError: If a head has another number of classes.
    """
    for head, count in heads.items():
        if count != len(classes):
            cure = (
                f"set num_classes={len(classes)} there, or the classes of {where}"
                if where.startswith("train")
                else f"give {where} all classes of the training, by the same folders or"
            )
            if hidden := [name for name in classes if name.startswith(".")]:
                cure = f"remove the folder {hidden[0]} or use snnssl_mm.ImageFolder,"
                cure += " which skips hidden folders; otherwise name the classes"
            raise DataError(
                f"{head}={count}, but {where} has {len(classes)} classes "
                f"({shortened(classes)}); {cure} by metainfo=dict(classes=(...))"
            )


def shortened(names: Sequence[Any], number: int = 5) -> str:
    """Join the first names of a list, and say how many more there are."""
    text = ", ".join(map(str, names[:number]))
    more = len(names) - number
    return f"{text} and {more} more" if more > 0 else text
