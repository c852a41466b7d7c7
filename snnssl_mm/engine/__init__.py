"""Hooks and optimizer wrappers that run with mmengine's Runner."""

from snnssl_mm.checks.data_check_hook import DataCheckHook
from snnssl_mm.engine.amp import CpuAmpOptimWrapper
from snnssl_mm.engine.collapse_hook import CollapseHook
from snnssl_mm.engine.epoch_seed_hook import EpochSeedHook
from snnssl_mm.engine.firing_rate_hook import FiringRateHook
from snnssl_mm.engine.iteration_seed_hook import IterationSeedHook
from snnssl_mm.engine.keep_memory_hook import KeepMemoryHook
from snnssl_mm.engine.layer_decay import LayerDecayOptimWrapperConstructor
from snnssl_mm.engine.non_finite_hook import NonFiniteHook
from snnssl_mm.engine.pretrained_check_hook import PretrainedCheckHook
from snnssl_mm.engine.probe_hooks import KNNHook, LinearProbeHook
from snnssl_mm.engine.representation_health_hook import RepresentationHealthHook

__all__ = [
    "CollapseHook",
    "CpuAmpOptimWrapper",
    "DataCheckHook",
    "EpochSeedHook",
    "FiringRateHook",
    "IterationSeedHook",
    "KNNHook",
    "KeepMemoryHook",
    "LayerDecayOptimWrapperConstructor",
    "LinearProbeHook",
    "NonFiniteHook",
    "PretrainedCheckHook",
    "RepresentationHealthHook",
]
