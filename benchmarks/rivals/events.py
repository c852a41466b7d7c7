"""spikingjelly's datasets, without torchaudio, which only its speech data need.

It may be built for another torch, and then cannot be imported.
"""

# ruff: noqa: E402
import sys
from unittest import mock

absent = "torchaudio" not in sys.modules
if absent:
    sys.modules["torchaudio"] = mock.MagicMock()
from spikingjelly.datasets import cifar10_dvs, nav_gesture, utils

if absent:
    del sys.modules["torchaudio"]

__all__ = ["cifar10_dvs", "nav_gesture", "utils"]
