"""Self-supervised pretraining of spiking neural networks on OpenMMLab.

Importing the package applies the workarounds of :mod:`snnssl_mm.compat`. Models,
losses, hooks and transforms resolve by name (``snnssl_mm.Spikformer``) from the
mmengine, mmpretrain, mmdet and mmseg scopes once the package is installed; nothing
has to be imported for that.
"""

from snnssl_mm import compat
from snnssl_mm.version import __version__

compat.apply()

__all__ = ["__version__"]
