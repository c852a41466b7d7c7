"""Packages that only some files need."""

from __future__ import annotations

import importlib
from typing import Any

from snnssl_mm.datasets.data_error import DataError


def require_package(module: str, package: str) -> Any:
    """Import a module.

    Raises:
        DataError: If its package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"reading this file needs the package {package}: pip install {package}"
        ) from error
