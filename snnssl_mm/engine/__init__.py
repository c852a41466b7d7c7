"""Hooks and optimizer wrappers for mmengine's Runner."""

from snnssl_mm.compat import import_mmpretrain

import_mmpretrain("engine")

from snnssl_mm.engine.amp import CpuAmpOptimWrapper
from snnssl_mm.engine.grouped_parameters import GroupedOptimWrapperConstructor
from snnssl_mm.engine.hooks.atomic_checkpoint_hook import AtomicCheckpointHook
from snnssl_mm.engine.hooks.collapse_hook import CollapseHook
from snnssl_mm.engine.hooks.curve_hook import CurveHook
from snnssl_mm.engine.hooks.data_check_hook import DataCheckHook
from snnssl_mm.engine.hooks.epoch_seed_hook import EpochSeedHook
from snnssl_mm.engine.hooks.firing_rate_hook import FiringRateHook
from snnssl_mm.engine.hooks.graphed_step_hook import GraphedStepHook
from snnssl_mm.engine.hooks.iteration_seed_hook import IterationSeedHook
from snnssl_mm.engine.hooks.keep_memory_hook import KeepMemoryHook
from snnssl_mm.engine.hooks.lazy_info_hook import LazyInfoHook
from snnssl_mm.engine.hooks.non_finite_hook import NonFiniteHook
from snnssl_mm.engine.hooks.path_schedule_hook import PathScheduleHook
from snnssl_mm.engine.hooks.peak_memory_hook import PeakMemoryHook
from snnssl_mm.engine.hooks.pretrained_check_hook import PretrainedCheckHook
from snnssl_mm.engine.hooks.probe_hooks import KNNHook, LinearProbeHook
from snnssl_mm.engine.hooks.representation_health_hook import RepresentationHealthHook
from snnssl_mm.engine.hooks.spiking_statistics_hook import SpikingStatisticsHook
from snnssl_mm.engine.hooks.teacher_hook import TeacherHook
from snnssl_mm.engine.lars import LARS
from snnssl_mm.engine.layer_decay import LayerDecayOptimWrapperConstructor

__all__ = [
    "LARS",
    "AtomicCheckpointHook",
    "CollapseHook",
    "CpuAmpOptimWrapper",
    "CurveHook",
    "DataCheckHook",
    "EpochSeedHook",
    "FiringRateHook",
    "GraphedStepHook",
    "GroupedOptimWrapperConstructor",
    "IterationSeedHook",
    "KNNHook",
    "KeepMemoryHook",
    "LayerDecayOptimWrapperConstructor",
    "LazyInfoHook",
    "LinearProbeHook",
    "NonFiniteHook",
    "PathScheduleHook",
    "PeakMemoryHook",
    "PretrainedCheckHook",
    "RepresentationHealthHook",
    "SpikingStatisticsHook",
    "TeacherHook",
]
