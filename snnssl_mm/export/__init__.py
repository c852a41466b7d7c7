"""Export of a pretrained backbone to NIR, torch.export and ONNX, verified."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from snnssl_mm.export.folding import folded
from snnssl_mm.export.verification import moved_by_folding
from snnssl_mm.models.backbone import SpikingBackbone

PACKAGES = {"nir": ["nir"], "pt2": [], "onnx": ["onnx", "onnxscript"]}
"""Formats, and the packages that each needs in addition to torch."""


def require_packages(kind: str) -> None:
    """Raise ImportError if the packages of a format are not installed."""
    missing = [name for name in PACKAGES[kind] if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"format {kind!r} needs {' and '.join(missing)}; run "
            f"`pip install {' '.join(missing)}`"
        )


def default_image_size(backbone: Any) -> tuple[int, int]:
    """Image size of the backbone's stem: 224 for ImageNet, 32 for CIFAR."""
    side = 224 if getattr(backbone, "stride", 32) > 8 else 32
    return side, side


def export_backbone(
    backbone: SpikingBackbone,
    file: Path,
    kind: str,
    image_size: tuple[int, int],
    about: Mapping[str, Any] | None = None,
    fold: bool = False,
) -> str:
    """Write a backbone to a file, read it back and compare it with the backbone.

    Heads are not exported. See :mod:`.nir_graph` and :mod:`.program` for the content of
    the files. ``file`` is written or replaced only if it computes the same as the
    backbone.

    Args:
        backbone: Spikformer, SpikingResNet, or another; exported for its
            ``time_steps``.
        file: File to write.
        kind: ``'nir'``, ``'pt2'`` or ``'onnx'``.
        image_size: Height and width, multiples of the backbone's stride.
        about: Metadata, stored as JSON under ``snnssl_mm``.
        fold: Whether batch norms and RepConvs are folded, see :mod:`.folding`; NIR has
            no node for them, so they always are.

    Returns:
        Result of the comparison, as a sentence.

    Raises:
        ImportError: If the format needs a package that is not installed.
        ValueError: If the format cannot express the network, the image size does not
            fit it, or the file computes something else.
    """
    if kind not in PACKAGES:
        raise ValueError(f"unknown format {kind!r}; expected one of {list(PACKAGES)}")
    require_packages(kind)
    if not isinstance(backbone, SpikingBackbone):
        raise ValueError(
            f"a {type(backbone).__name__} is no spiking backbone; export Spikformer, "
            "SpikingResNet or another SpikingBackbone"
        )
    fold = fold or kind == "nir"
    settings = {"image_size": image_size, "time_steps": backbone.time_steps}
    metadata = {"snnssl_mm": json.dumps(settings | dict(about or {}))}
    draft = file.with_name(f"unverified-{file.name}")
    network = folded(backbone, image_size, torch.float32) if fold else backbone
    try:
        found = WRITERS[kind](network, draft, image_size, metadata)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    if fold:
        moved = moved_by_folding(network, backbone, image_size)
        found += f"; rounding the folded weights moves {moved:,}"
    return found


def _write_nir(
    backbone: SpikingBackbone,
    file: Path,
    size: tuple[int, int],
    metadata: Mapping[str, str],
) -> str:
    import nir

    from snnssl_mm.export.nir_graph import to_nir
    from snnssl_mm.export.verification import verify_nir

    nir.write(file, to_nir(backbone, size, torch.float32, metadata))
    return verify_nir(file, backbone, size)


def _write_pt2(
    backbone: SpikingBackbone,
    file: Path,
    size: tuple[int, int],
    metadata: Mapping[str, str],
) -> str:
    from snnssl_mm.export.program import to_program
    from snnssl_mm.export.verification import verify_pt2

    program = to_program(backbone, size)
    torch.export.save(program, file, extra_files=dict(metadata))
    return verify_pt2(file, backbone, size)


def _write_onnx(
    backbone: SpikingBackbone,
    file: Path,
    size: tuple[int, int],
    metadata: Mapping[str, str],
) -> str:
    from snnssl_mm.export.program import save_onnx, to_program
    from snnssl_mm.export.verification import verify_onnx

    save_onnx(to_program(backbone, size), file, metadata)
    return verify_onnx(file, backbone, size)


WRITERS = {"nir": _write_nir, "pt2": _write_pt2, "onnx": _write_onnx}
