"""Published folder layouts of event datasets, and spikingjelly's of the same data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.datasets.image_files import list_folders
from snnssl_mm.datasets.label_file import read_lines

Samples = list[dict[str, Any]]

DIGITS = tuple("0123456789")
CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
GESTURES = (
    *("hand clapping", "right hand wave", "left hand wave", "right arm clockwise"),
    *("right arm counter clockwise", "left arm clockwise"),
    *("left arm counter clockwise", "arm roll", "air drums", "air guitar", "other"),
)
TRAIN_SHARE = 0.9


class Place(NamedTuple):
    """Where a part of a dataset may lie.

    Attributes:
        folder: Folder below the dataset's root; ``{split}`` stands for train or test.
        raw: Whether these are the published files, not spikingjelly's.
        trials: Whether the folder has ``trials_to_{split}.txt`` instead of a sub-folder
            for each class.
    """

    folder: str
    raw: bool = True
    trials: bool = False


@dataclass(frozen=True)
class Layout:
    """How the files of a dataset lie in its folder.

    Attributes:
        title: Name of the dataset.
        page: Where it can be downloaded.
        form: How the folder must look, in one line.
        height: Rows of the sensor.
        width: Columns of the sensor.
        places: Where parts may lie; the first that exists is taken.
        folders: Names of the class folders, in the order of the labels; None for
            whatever is there, sorted.
        classes: Names of the classes, if others than the folders'.
        whole: Whether the dataset has no train and test parts, so that they are drawn
            by :func:`split_by_class`.
        read_args: Arguments of :func:`snnssl_mm.datasets.read_events` for the published
            files, besides height and width.
    """

    title: str
    page: str
    form: str
    height: int
    width: int
    places: tuple[Place, ...]
    folders: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    whole: bool = False
    read_args: Mapping[str, Any] = field(default_factory=dict)

    def find(self, root: Path, split: str) -> tuple[Place, Path]:
        """Find the folder of a part.

        Raises:
            FileNotFoundError: If there is none.
        """
        for place in self.places:
            folder = root / place.folder.format(split=split, Split=split.capitalize())
            expected = self.folders or ("",)
            if place.trials:
                expected = (f"trials_to_{split}.txt",)
            if any((folder / name).exists() for name in expected):
                return place, folder
        raise FileNotFoundError(
            f"{root.absolute()} is no folder of {self.title}: expected {self.form}, or "
            f"spikingjelly's events_np. Download the dataset from {self.page}, unpack "
            "it there, and set data_root to the folder"
        )

    def require_classes_only(self, folder: Path) -> None:
        """Refuse sub-folders that are no classes, also where samples get no labels.

        Raises:
            ValueError: If there are any.
        """
        strange = sorted(set(list_folders(folder)) - set(self.folders or ()))
        if self.folders and strange:
            raise ValueError(
                f"{folder} has the folders {', '.join(strange[:5])}, which are no "
                f"classes of {self.title}: move them out of it"
            )

    def settings(self, place: Place) -> dict[str, Any]:
        """Return the arguments of read_events for the files of a place."""
        size = {"height": self.height, "width": self.width}
        return {**size, **self.read_args} if place.raw else size


def split_by_class(samples: Samples, split: str) -> Samples:
    """Take the first 90 % of each class, rounded up, or the rest.

    In the order of the files' names, so nothing is random. This is what spikingjelly's
    ``split_to_train_test_set(0.9, ...)`` does, which published results on CIFAR10-DVS
    use; other splits are not comparable with it.

    Args:
        samples: Samples sorted by folder and file; a folder is a class, also where
            samples have no labels.
        split: ``'train'`` or ``'test'``.
    """
    kept: Samples = []
    for _, group in groupby(samples, lambda s: Path(s["recording_path"]).parent):
        one_class = list(group)
        cut = math.ceil(len(one_class) * TRAIN_SHARE)
        kept += one_class[:cut] if split == "train" else one_class[cut:]
    return kept


def list_trials(folder: Path, split: str, number: int) -> Samples:
    """List the gestures of recordings by their tables of labels.

    ``trials_to_{split}.txt`` has a recording per line, ``NAME.aedat``; its
    ``NAME_labels.csv`` has a gesture per line: class from 1, first time and end in
    microseconds, of which the first line is the title.

    Args:
        folder: Folder of all these files.
        split: ``'train'`` or ``'test'``.
        number: Number of classes.

    Raises:
        DataError: If a file is missing, or a line is not of this form.
    """
    samples: Samples = []
    for name in read_lines(require(folder / f"trials_to_{split}.txt")):
        if not name:
            continue
        recording = require(folder / name)
        table = require(recording.with_name(f"{recording.stem}_labels.csv"))
        for line_number, line in enumerate(read_lines(table)[1:], 2):
            cells = line.split(",")
            if len(cells) != 3 or not all(cell.strip().isdecimal() for cell in cells):
                raise DataError(
                    f"line {line_number} of {table} is {line!r}; expected "
                    "CLASS,START,END with times in µs"
                )
            label, start, end = map(int, cells)
            if not 1 <= label <= number or start >= end:
                raise DataError(
                    f"line {line_number} of {table} has class {label} from {start} to "
                    f"{end} µs; expected 1 to {number}, and an end after the start"
                )
            samples.append(
                {
                    "recording_path": str(recording),
                    "gt_label": label - 1,
                    "time_range": (start, end),
                }
            )
    return samples


def require(file: Path) -> Path:
    """Return a file that must exist.

    Raises:
        DataError: If it does not.
    """
    if not file.is_file():
        raise DataError(f"{file} is missing; unpack the dataset again")
    return file


LAYOUTS = {
    "n-mnist": Layout(
        title="N-MNIST",
        page="https://www.garrickorchard.com/datasets/n-mnist",
        form="Train/<digit>/*.bin and Test/<digit>/*.bin",
        height=34,
        width=34,
        places=(
            Place("{Split}"),
            Place("extract/{Split}"),
            Place("events_np/{split}", raw=False),
        ),
        folders=DIGITS,
    ),
    "n-caltech101": Layout(
        title="N-Caltech101",
        page="https://www.garrickorchard.com/datasets/n-caltech101",
        form="Caltech101/<class>/*.bin",
        height=180,
        width=240,
        places=(
            Place("Caltech101"),
            Place("extract/Caltech101"),
            Place("events_np", raw=False),
        ),
        whole=True,
    ),
    "cifar10-dvs": Layout(
        title="CIFAR10-DVS",
        page="https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
        form="<class>/*.aedat, from airplane to truck",
        height=128,
        width=128,
        places=(Place(""), Place("extract"), Place("events_np", raw=False)),
        folders=CIFAR10,
        whole=True,
        read_args={"transpose": True},  # as spikingjelly does
    ),
    "dvs128-gesture": Layout(
        title="DVS128 Gesture",
        page="https://research.ibm.com/interactive/dvsgesture/",
        form="trials_to_train.txt, trials_to_test.txt, *.aedat and *_labels.csv",
        height=128,
        width=128,
        places=(
            Place("", trials=True),
            Place("DvsGesture", trials=True),
            Place("extract/DvsGesture", trials=True),
            Place("events_np/{split}", raw=False),
        ),
        folders=tuple(map(str, range(len(GESTURES)))),
        classes=GESTURES,
    ),
    "n-cars": Layout(
        title="N-Cars",
        page="https://www.prophesee.ai/2018/03/13/dataset-n-cars/",
        form="train/{background,cars}/*.dat and test/{background,cars}/*.dat",
        height=100,
        width=120,
        places=(Place("{split}"), Place("n-cars_{split}")),
        folders=("background", "cars"),
    ),
}
"""The layouts by name."""
