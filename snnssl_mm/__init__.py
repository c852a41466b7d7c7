"""Self-supervised pretraining of spiking neural networks on OpenMMLab.

Importing the package is light: neither torch nor OpenMMLab is imported, and each
workaround of :mod:`snnssl_mm.compat` waits for the module that it mends. Models,
losses, hooks and transforms resolve by name (``snnssl_mm.Spikformer``) from the
mmengine, mmpretrain, mmdet and mmseg scopes once the package is installed; nothing
has to be imported for that.

Imported before torch, it also bounds how long OpenMP's threads spin at a barrier.
"""

import os

# A thread at a barrier spins for some 10 ms (libgomp's default), about the time slice
# that the thread it waits for has lost to another process: on a busy machine training
# stands still. Ten thousand turns, some 0.3 ms, bridge the gaps between kernels
# (benchmarks/busy_machine.py). libgomp reads this once, when torch loads it.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from snnssl_mm import compat
from snnssl_mm.version import __version__

compat.apply()

__all__ = ["__version__"]
