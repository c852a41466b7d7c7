"""Irrelevant messages of other libraries."""

from __future__ import annotations

import functools
import importlib.util
import logging
import sys
import warnings
from typing import Any

from snnssl_mm.compat.status import Status, module_of


def printed_debug_messages() -> Status:
    """Every start prints "Could not import OneDL".

    Cause: mmseg logs this at level DEBUG without a logger, and mmengine's
    ``print_log`` prints messages without a logger at any level. Here it prints from
    level INFO on.
    Removable: when ``print_log`` checks the level before it prints; in
    onedl-mmengine 0.10.12 it does not.
    """
    module = module_of("mmengine.logging.logger")
    if module is None:
        return Status("not applicable", "mmengine is not installed")
    original = module.print_log
    if not hasattr(original, "__wrapped__"):

        @functools.wraps(original)
        def print_log(msg: Any, logger: Any = None, level: int = logging.INFO) -> None:
            if logger is not None or level >= logging.INFO:
                original(msg, logger, level)

        for name in ("mmengine.logging.logger", "mmengine.logging"):
            if name in sys.modules:
                vars(sys.modules[name])["print_log"] = print_log
    return Status("cured", "messages for debugging are not printed")


def unasked_metric() -> Status:
    """Importing mmdet warns: faster_coco_eval is not installed, metrics will not be ...

    Cause: mmdet warns about a metric that no config uses; ``CocoMetric`` computes its
    numbers without it. A config that uses the metric still gets an error.
    Removable: when mmdet warns only where ``FasterCocoMetric`` is built; in
    onedl-mmdetection 3.5.1 it does not.
    """
    if importlib.util.find_spec("mmdet") is None:
        return Status("not applicable", "mmdet is not installed")
    message = "faster_coco_eval is not installed"
    if not any(found[1] and found[1].pattern == message for found in warnings.filters):
        warnings.filterwarnings("ignore", message, UserWarning)
    return Status("cured", "no warning about an unused metric")
