"""Status of a known bug on this machine."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from typing import Any, Literal, NamedTuple


class Status(NamedTuple):
    """Status of a known bug on this machine.

    Attributes:
        state: ``'cured'``: the bug exists here, and this package or tools/setup_env.py
            works around it; ``'absent'``: the bug does not exist here; ``'not
            applicable'``: the affected part is not used on this machine; ``'broken'``:
            the user must act.
        detail: What was found, and the fix.
    """

    state: Literal["cured", "absent", "not applicable", "broken"]
    detail: str


def installed(distribution: str) -> bool:
    """Whether a distribution is installed; its version is not read, which is slow."""
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def module_of(name: str) -> Any:
    """Import a module of a package that may be missing; None without the package."""
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        return None
    return importlib.import_module(name)


def has_gpu() -> bool:
    """Whether torch has a GPU."""
    import torch

    return torch.cuda.is_available()
