"""torchvision without its compiled library."""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
from pathlib import Path
from typing import Any

from snnssl_mm.compat.status import Status

_fragment: Any = None  # a torch.library.Library, which must outlive its operators


def torchvision_operators() -> Status:
    """``import torchvision``: operator torchvision::nms does not exist.

    Cause: torchvision's compiled library does not load (a CUDA build with a CPU build
    of torch), but its Python code registers shape functions for its operators.
    mmengine's Runner, mmpretrain and parts of spikingjelly import torchvision without
    using these operators. Declaring the operators makes the import succeed; calling
    one still fails with the message that no kernel exists.
    Removable: when torchvision guards ``register_fake("torchvision::nms")`` by
    ``_has_ops()``; up to 0.29.1 it does not.
    """
    import torch

    global _fragment
    if _fragment is not None:
        return Status("cured", "compiled library does not load; operators declared")
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return Status("not applicable", "torchvision is not installed")
    if not torch._C._dispatch_has_kernel("torchvision::nms"):
        # torchvision loads the library on import; loading it twice costs nothing.
        loader = (
            importlib.machinery.ExtensionFileLoader,
            importlib.machinery.EXTENSION_SUFFIXES,
        )
        finder = importlib.machinery.FileFinder(str(Path(spec.origin).parent), loader)
        for name in ("_C_stable", "_C"):  # from 0.29 on, and before
            library = finder.find_spec(name)
            if library is not None and library.origin is not None:
                with contextlib.suppress(OSError):  # the check below decides
                    torch.ops.load_library(library.origin)
    if torch._C._dispatch_has_kernel("torchvision::nms"):
        return Status("absent", "compiled library loads")
    _fragment = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        _fragment.define(
            f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )
    return torchvision_operators()
