"""Self-supervised pretraining of spiking neural networks on OpenMMLab.

Importing the package, or any part of it, changes no other library; the package itself
imports neither torch nor OpenMMLab. Models, losses, hooks and transforms resolve by
name (``snnssl_mm.Spikformer``) from the mmengine, mmpretrain, mmdet and mmseg scopes
once the package is installed; nothing has to be imported for that.

The workarounds of :mod:`snnssl_mm.compat` are applied by the command ``snnssl``, when
a name of this scope is first looked up, by the functions of :mod:`snnssl_mm.apis`, or
by ``snnssl_mm.compat.apply()``.

Imported before torch, it sets an environment variable that bounds how long OpenMP's
threads spin at a barrier.
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

__all__ = ["__version__", "compat"]
