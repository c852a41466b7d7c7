"""Distributions that overwrite each other's files."""

from __future__ import annotations

import warnings

from snnssl_mm.compat.status import Status, installed

MM_DISTRIBUTIONS = {
    "mmengine": ("onedl-mmengine", ["mmengine"]),
    "mmcv": ("onedl-mmcv", ["mmcv", "mmcv-lite", "mmcv-full"]),
    "mmdet": ("onedl-mmdetection", ["mmdet"]),
    "mmseg": ("onedl-mmsegmentation", ["mmsegmentation"]),
    "mmpretrain": ("onedl-mmpretrain", ["mmpretrain"]),
}
"""Module -> (maintained distribution, original distributions)."""


def mixed_distributions() -> Status:
    """Errors that name missing or wrong attributes anywhere in mmengine, mmcv, mmdet.

    Cause: the original distribution (``mmdet``) and the maintained one
    (``onedl-mmdetection``) install the same files; pip allows both, and those that
    were installed last overwrite the others.
    Removable: when the onedl distributions can declare the conflict to pip.

    Warns:
        RuntimeWarning: If both distributions of a module are installed.
    """
    mixed = []
    for maintained, originals in MM_DISTRIBUTIONS.values():
        if installed(maintained):
            mixed += [(name, maintained) for name in originals if installed(name)]
    if not mixed:
        return Status("absent", "no module comes from two distributions")
    both = ", ".join(f"{original} and {maintained}" for original, maintained in mixed)
    originals_found = " ".join(original for original, _ in mixed)
    maintained_found = " ".join(maintained for _, maintained in mixed)
    detail = (
        f"{both} overwrite each other's files; expected the onedl-* distributions "
        f"only: pip uninstall -y {originals_found}; then pip install --no-deps "
        f"--force-reinstall {maintained_found} (onedl-mmcv from the wheel of "
        "python -m snnssl_mm.setup_mmcv)"
    )
    warnings.warn(detail, RuntimeWarning, stacklevel=2)
    return Status("broken", detail)
