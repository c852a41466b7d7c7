"""Folders of event recordings, with or without labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnssl_mm.datasets.checked_folder import CheckedFolder
from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.datasets.event_files.files import find_format, recording_suffixes
from snnssl_mm.datasets.events.layouts import LAYOUTS, list_trials, split_by_class
from snnssl_mm.datasets.events.loading import READ_ARGS, read_part
from snnssl_mm.registry import DATASETS


@DATASETS.register_module()
class EventFolder(CheckedFolder):
    """Recordings of a folder; of any, or of a published dataset.

    Labels come from sub-folders or a label file, as in
    :class:`~snnssl_mm.datasets.ImageFolder`; all formats of
    :func:`~snnssl_mm.datasets.read_events` may be mixed. A sample has
    ``recording_path``, ``gt_label``, ``read_args`` and, if it is a part of a recording,
    ``time_range``: load it by :class:`~snnssl_mm.datasets.LoadEvents`. Nothing is
    downloaded.

    Args:
        data_root: The folder, or its parent if ``data_prefix`` is given.
        layout: Published dataset in the folder, as its authors or spikingjelly arrange
            it: ``'n-mnist'``, ``'n-caltech101'``, ``'cifar10-dvs'``,
            ``'dvs128-gesture'`` or ``'n-cars'``. It knows the classes, the sensor's
            size and the parts. None for a folder of your own.
        split: ``'train'`` or ``'test'``, for a layout; empty for all, if the dataset
            has no parts of its own (N-Caltech101, CIFAR10-DVS). There, the first 90 %
            of each class by file name are for training, see
            :func:`~snnssl_mm.datasets.events.layouts.split_by_class`.
        read_args: Settings of :func:`~snnssl_mm.datasets.read_events` for all files,
            such as ``dict(height=34, width=34)``; they override the layout's.
        on_error: ``'raise'`` stops and names unreadable files, ``'skip'`` leaves them
            out and logs their number.
        verify: ``'header'`` checks that every file begins as its format does,
            ``'decode'`` reads all of them, None checks nothing.
        label_file: Text file with one class per line for all recordings below the
            folder sorted by path.
        **kwargs: Arguments of :class:`mmpretrain.datasets.CustomDataset`, such as
            ``with_label``, ``data_prefix``, ``ann_file`` and ``pipeline``.

    Raises:
        FileNotFoundError: If the folder is missing, has no recordings, or is not of the
            layout; the message says where to get the dataset and how it must look.
        ValueError: If files are unreadable and ``on_error='raise'``, or the classes do
            not fit.
    """

    noun = "recordings"
    one = "recording"
    path_key = "recording_path"
    verifications = ("header", "decode", None)

    def __init__(
        self,
        data_root: str = "",
        layout: str | None = None,
        split: str = "",
        read_args: Mapping[str, Any] | None = None,
        on_error: str = "raise",
        verify: str | None = "header",
        label_file: str = "",
        **kwargs: Any,
    ) -> None:
        if layout is not None and layout not in LAYOUTS:
            raise ValueError(
                f"layout must be one of {', '.join(LAYOUTS)}, or None, got {layout!r}"
            )
        self.layout = LAYOUTS[layout] if layout else None
        accepted = ["train", "test"] if self.layout else [""]
        if self.layout and self.layout.whole:
            accepted.append("")
        if split not in accepted:
            raise ValueError(
                f"split must be one of {accepted} for layout={layout!r}, got {split!r}"
                + ("" if layout else "; give a folder of its own to each part")
            )
        self.split = split
        self.read_args = dict(read_args or {})
        if unknown := set(self.read_args) - set(READ_ARGS):
            raise ValueError(
                f"read_args has {sorted(unknown)}; expected only {', '.join(READ_ARGS)}"
            )
        kwargs.setdefault("extensions", recording_suffixes())
        super().__init__(data_root, on_error, verify, label_file, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the recordings, or their labelled parts."""
        settings = self.read_args
        if self.layout is None:
            samples = super().load_data_list()
        else:
            place, folder = self.layout.find(Path(self.data_root), self.split)
            settings = {**self.layout.settings(place), **settings}
            self.data_prefix["img_path"] = str(folder)
            if self.layout.folders:
                self._metainfo["classes"] = self.layout.folders
            if place.trials:
                number = len(self.layout.folders or ())
                samples = list_trials(folder, self.split, number)
            else:
                self.layout.require_classes_only(folder)
                samples = super().load_data_list()
            if self.layout.classes:
                self._metainfo["classes"] = self.layout.classes
            if self.layout.whole and self.split:
                samples = split_by_class(samples, self.split)
        return [{**sample, "read_args": settings} for sample in samples]

    def find_faults(self) -> list[str | None]:
        """Check the beginnings of all files, or read them."""
        return self.examine_all(
            self.fault if self.verify == "decode" else self.header_fault
        )

    def fault(self, sample: Mapping[str, Any]) -> str | None:
        """Read the recording of a sample; return its fault, or None."""
        try:
            read_part(
                sample["recording_path"],
                sample.get("time_range"),
                **sample["read_args"],
            )
        except DataError as error:
            return str(error)
        return None

    def header_fault(self, sample: Mapping[str, Any]) -> str | None:
        """Return why a file is no recording by its first bytes, or None."""
        try:
            file = Path(sample["recording_path"])
            find_format(file, sample["read_args"].get("format"))
        except DataError as error:
            return str(error)
        return None
