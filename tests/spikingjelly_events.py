"""spikingjelly's reading and integration of events, without what needs torchaudio.

``import spikingjelly.datasets`` imports its audio data sets, too, and fails where
torchaudio was built for another torch.
"""

import importlib.util
from pathlib import Path

import spikingjelly

_spec = importlib.util.spec_from_file_location(
    "spikingjelly.datasets.utils",
    Path(spikingjelly.__file__).parent / "datasets" / "utils.py",
)
utils = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(utils)
