"""Workarounds for other projects' bugs, one function each.

Each function's docstring names the symptom (its first line), the cause, and when the
function can be removed. All are idempotent. Importing this package applies none of
them. :func:`apply` does, and imports neither torch nor OpenMMLab: each workaround is
applied when the module that it patches is imported
(:mod:`snnssl_mm.compat.patching`). ``snnssl doctor`` prints their :class:`Status`.
"""

from snnssl_mm.compat.checkpoints import (
    activation_checkpointing,
    atomic_writes,
    safe_checkpoints,
)
from snnssl_mm.compat.configs import metafiles, mmseg_configs, own_configs
from snnssl_mm.compat.cpu import (
    amp_optim_wrapper_cfg,
    cpu_amp,
    cpu_model_wrapper_cfg,
    cpu_process_group,
    cpu_sync_batch_norm,
    init_cpu_process_group,
)
from snnssl_mm.compat.distributions import mixed_distributions
from snnssl_mm.compat.hooks import removed_hooks
from snnssl_mm.compat.mmpretrain_parts import (
    dataset_downloads,
    import_mmpretrain,
    multimodal_models,
)
from snnssl_mm.compat.noise import printed_debug_messages, unasked_metric
from snnssl_mm.compat.patching import FINDER, Workaround
from snnssl_mm.compat.status import Status
from snnssl_mm.compat.strategies import (
    cpu_strategies,
    cpu_strategy,
    deepspeed_optimizers,
    full_state_dict_configs,
    sharded_optimizer,
)
from snnssl_mm.compat.torchvision_operators import torchvision_operators

__all__ = [
    "WORKAROUNDS",
    "Status",
    "Workaround",
    "amp_optim_wrapper_cfg",
    "apply",
    "cpu_model_wrapper_cfg",
    "cpu_strategy",
    "full_state_dict_configs",
    "import_mmpretrain",
    "init_cpu_process_group",
]

WORKAROUNDS = (
    Workaround(mixed_distributions, "mmengine", before=True),
    Workaround(torchvision_operators, "torchvision", before=True),
    Workaround(printed_debug_messages, "mmengine.logging.logger"),
    Workaround(
        unasked_metric, "mmdet.evaluation.metrics.faster_coco_metric", before=True
    ),
    Workaround(mmseg_configs, "mmengine.config.utils"),
    Workaround(own_configs, "mmengine.config.config"),
    Workaround(metafiles, "mmengine.config.config"),
    Workaround(multimodal_models, "mmpretrain.utils.dependency"),
    Workaround(dataset_downloads, "mmpretrain.datasets.utils"),
    Workaround(activation_checkpointing, "mmengine.runner.activation_checkpointing"),
    Workaround(sharded_optimizer, "mmengine._strategy.fsdp"),
    Workaround(deepspeed_optimizers, "mmengine._strategy.deepspeed"),
    Workaround(safe_checkpoints, "mmengine.runner.checkpoint"),
    Workaround(atomic_writes, "mmengine.runner"),
    Workaround(removed_hooks, "mmengine.runner"),
    Workaround(cpu_amp),
    Workaround(cpu_process_group),
    Workaround(cpu_strategies),
    Workaround(cpu_sync_batch_norm),
)
"""All workarounds, in the order in which they are applied."""
"""All workarounds; those without a module are applied by the training command."""


def apply() -> None:
    """Patch the modules that are imported already, and others when they are imported.

    The command and the ``snnssl_mm`` scope call it. Call it yourself before you read
    configs or checkpoints in another way, preferably before OpenMMLab is imported; a
    second call does nothing.
    """
    FINDER.patch(row for row in WORKAROUNDS if row.module)
