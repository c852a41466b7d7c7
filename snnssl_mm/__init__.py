"""Self-supervised pretraining of spiking neural networks on OpenMMLab.

Importing the package is light: neither torch nor OpenMMLab is imported, and each
workaround of :mod:`snnssl_mm.compat` waits for the module that it mends. Models,
losses, hooks and transforms resolve by name (``snnssl_mm.Spikformer``) from the
mmengine, mmpretrain, mmdet and mmseg scopes once the package is installed; nothing
has to be imported for that.
"""

from snnssl_mm import compat
from snnssl_mm.version import __version__

compat.apply()

__all__ = ["__version__"]
