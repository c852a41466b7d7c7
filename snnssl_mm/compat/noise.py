"""Messages that concern nobody."""

from __future__ import annotations

import functools
import logging
import sys
from typing import Any

from snnssl_mm.compat.status import Status, module_of


def printed_debug_messages() -> Status:
    """Every start prints "Could not import OneDL".

    Cause: mmseg logs that at the level DEBUG without naming a logger, and mmengine's
    ``print_log`` prints what has no logger, whatever its level. Here it prints from
    INFO on.
    Removable: when ``print_log`` compares the level before it prints; in
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
