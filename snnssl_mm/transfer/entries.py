"""Entries of a comparison: checkpoints under a name, and the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from snnssl_mm.checkpoints import zoo
from snnssl_mm.recording.provenance import require_local
from snnssl_mm.recording.results_file import file_sha
from snnssl_mm.transfer.suites import BASELINES, SuiteError


class Weights(NamedTuple):
    """A checkpoint as given, and the first digits of its SHA-256."""

    checkpoint: str
    sha256: str


class Entry(NamedTuple):
    """A line of the tables.

    Attributes:
        name: Its name.
        weights: Its checkpoint, or one for each seed of the pretraining; none for
            random weights and raw pixels.
    """

    name: str
    weights: tuple[Weights, ...] = ()

    def of_seed(self, index: int) -> Weights | None:
        """Return the checkpoint of the seed with this index."""
        return self.weights[index % len(self.weights)] if self.weights else None


def read_entries(texts: Sequence[str], baselines: Sequence[str]) -> list[Entry]:
    """Read ``[NAME=]CHECKPOINT`` arguments; the baselines come last.

    Checkpoints with the same given name are seeds of one pretraining. Without a name,
    the entry is named after the file and its folder.

    Raises:
        SuiteError: If a name is that of a baseline.
        FileNotFoundError: If a checkpoint does not exist.
        ValueError: If it is a URL.
    """
    named: dict[str, list[Weights]] = {}
    for text in texts:
        name, path = split_name(text)
        if name in BASELINES:
            raise SuiteError(
                f"{text}: the name {name} is that of a baseline; choose another"
            )
        require_local(path)
        file = Path(zoo.resolve(path))
        if not file.is_file():
            raise FileNotFoundError(zoo.does_not_exist(path))
        own = name or unused(default_name(path, file), named)
        named.setdefault(own, []).append(Weights(path, file_sha(file)))
    entries = [Entry(name, tuple(weights)) for name, weights in named.items()]
    return [*entries, *map(Entry, baselines)]


def split_name(text: str) -> tuple[str, str]:
    """Split ``NAME=CHECKPOINT``; the name is empty if there is none.

    Example:
        >>> split_name("ctl=runs/a=1/epoch_9.pth"), split_name("runs/a=1/epoch_9.pth")
        (('ctl', 'runs/a=1/epoch_9.pth'), ('', 'runs/a=1/epoch_9.pth'))
    """
    name, equals, path = text.partition("=")
    if not equals or "/" in name or Path(text).is_file():
        return "", text
    return name.strip(), path


def default_name(checkpoint: str, file: Path) -> str:
    """Name a checkpoint after its model in the zoo, or after its folder and file.

    Example:
        >>> default_name("ctl/epoch_28.pth", Path("/runs/ctl/epoch_28.pth"))
        'ctl-epoch_28'
    """
    if checkpoint.startswith(zoo.SCHEME):
        return checkpoint.removeprefix(zoo.SCHEME)
    return "-".join(filter(None, (file.absolute().parent.name, file.stem)))


def unused(name: str, taken: dict[str, list[Weights]]) -> str:
    """Return the name, with a number if it is taken or that of a baseline."""
    number = 1
    found = name
    while found in taken or found in BASELINES:
        number += 1
        found = f"{name}-{number}"
    return found
