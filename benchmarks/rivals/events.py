"""spikingjelly's datasets, without torchaudio, which only its speech data need.

It may be built for another torch, and then cannot be imported.
"""

# ruff: noqa: E402
import sys
from unittest import mock

import numpy as np

from snnssl_mm.datasets import Recording

absent = "torchaudio" not in sys.modules
if absent:
    sys.modules["torchaudio"] = mock.MagicMock()
from spikingjelly.datasets import cifar10_dvs, nav_gesture, utils

if absent:
    del sys.modules["torchaudio"]

__all__ = ["cifar10_dvs", "nav_gesture", "spikingjelly_frames", "utils"]


def spikingjelly_frames(recording: Recording, steps: int, by: str) -> np.ndarray:
    """Integrate by equal ``'time'`` or ``'count'``: float64 ``[T, 2, H, W]``."""
    events = {name: recording.events[name] for name in ("t", "x", "y", "p")}
    found: np.ndarray = utils.integrate_events_by_fixed_frames_number(
        events,
        {"time": "time", "count": "number"}[by],
        steps,
        recording.height,
        recording.width,
    )
    return found
