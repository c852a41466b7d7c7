"""Registries of the ``snnssl_mm`` scope, children of mmengine's root registries.

mmengine imports this module when it resolves a name such as ``snnssl_mm.Spikformer``,
and then the modules listed in ``locations``. Therefore configs of mmdet, mmseg and
mmpretrain need no ``custom_imports``.
"""

from mmengine import registry as root
from mmengine.registry import Registry

from snnssl_mm import compat


class PatchingRegistry(Registry):
    """Registry that applies the workarounds before its first lookup."""

    def import_from_location(self) -> None:
        """Apply the workarounds, then import the modules that register names."""
        if not self._imported:
            compat.apply()
        super().import_from_location()


def _child(name: str, parent: Registry, location: str) -> Registry:
    return PatchingRegistry(
        name, parent=parent, scope="snnssl_mm", locations=[location]
    )


MODELS = _child("model", root.MODELS, "snnssl_mm.models")
"""Neurons, losses, backbones, necks, heads and algorithms."""

WEIGHT_INITIALIZERS = _child(
    "weight initializer", root.WEIGHT_INITIALIZERS, "snnssl_mm.models"
)
"""Weight initialisers, such as loading a pretrained backbone."""

HOOKS = _child("hook", root.HOOKS, "snnssl_mm.engine")
"""Monitors that run during training."""

OPTIMIZERS = _child("optimizer", root.OPTIMIZERS, "snnssl_mm.engine")
"""Optimizers, such as LARS for large batches."""

OPTIM_WRAPPERS = _child("optim_wrapper", root.OPTIM_WRAPPERS, "snnssl_mm.engine")
"""Optimizer wrappers, such as the one for bf16 autocast on a CPU."""

OPTIM_WRAPPER_CONSTRUCTORS = _child(
    "optimizer wrapper constructor", root.OPTIM_WRAPPER_CONSTRUCTORS, "snnssl_mm.engine"
)
"""Constructors of optimizer wrappers, which set learning rates per parameter."""

DATASETS = _child("dataset", root.DATASETS, "snnssl_mm.datasets")
"""Datasets, such as the embedded digit scenes."""

TRANSFORMS = _child("transform", root.TRANSFORMS, "snnssl_mm.datasets")
"""Image transforms of the two-view pipelines."""
