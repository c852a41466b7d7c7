"""Batch normalisation over time steps and over the two views of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _NormBase

from snnssl_mm.models.masking import visible_patches
from snnssl_mm.neurons import (
    BatchNormalization,
    MixedILIF,
    MixedLIF,
    MixedNeuron,
    Normalization,
    RunningStatistics,
)
from snnssl_mm.processes import several_processes


class PerViewBatchNorm2d(_NormBase):
    """BatchNorm2d with batch statistics of each view.

    The views of a batch have different statistics, because their augmentations differ
    and because the outputs of the two MixedLIF paths do. While ``views`` is 2 and
    the module trains, the first half of the samples (A, the spiking one) and the second
    (B) are normalised each by its own batch statistics, with shared affine parameters;
    the running statistics follow A, the only one that inference sees. In several
    processes the views' statistics are those of the global batch, which must be spread
    evenly. State-dict keys are those of ``nn.BatchNorm2d``. It is not a subclass, so
    that ``convert_sync_batchnorm`` cannot replace it by joint statistics without a
    warning.

    Args:
        num_features: Channels C.

    Attributes:
        views: 2 in training mode for the batches of DualPathSSL, and of MaskedSSL on
            path ``'dual'``, which set it; else 1.

    Shape:
        - Input and output: ``[T, N, C, H, W]``.
    """

    views = 1

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() != 5:
            raise ValueError(f"expected [T, N, C, H, W], got {x.dim()} dimensions")

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` [T, N, C, H, W]."""
        self._check_input_dim(x)
        groups = self.views if self.training else 1
        samples = require_samples(self, x, groups)
        if is_over_processes(self):
            return self._normalize_globally(x.unflatten(1, (groups, -1)), samples)
        # One group is not a chunk: exported programs keep a batch of any size.
        first, *others = x.chunk(groups, dim=1) if groups > 1 else (x,)
        y = [self._normalize(first, self.running_mean, self.running_var)]
        y += [self._normalize(view, None, None) for view in others]
        return torch.cat(y, dim=1) if others else y[0]

    def _normalize(
        self, x: Tensor, running_mean: Tensor | None, running_var: Tensor | None
    ) -> Tensor:
        factor = 0.0 if self.momentum is None else self.momentum
        if self.training and running_mean is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # cumulative average, as in nn.BatchNorm2d
                factor = 1.0 / float(self.num_batches_tracked)
        y = F.batch_norm(
            x.flatten(0, 1),
            running_mean,
            running_var,
            self.weight,
            self.bias,
            self.training,
            factor,
            self.eps,
        )
        return y.unflatten(0, x.shape[:2])

    def _normalize_globally(self, groups: Tensor, samples: int) -> Tensor:
        """Normalise ``groups`` [T, G, N / G, C, H, W] over all processes."""
        wide = groups.to(torch.promote_types(groups.dtype, torch.float32))
        var, mean = torch.var_mean(wide, [0, 2, 4, 5], correction=0, keepdim=True)
        mean, var = pooled_moments(mean, var)
        y = (wide - mean) * (var + self.eps).rsqrt()
        y = y * self.weight[:, None, None] + self.bias[:, None, None]
        first_mean, first_var = mean[0, 0].flatten(), var[0, 0].flatten()
        running = running_statistics(self)
        if running is not None:
            running.update(first_mean, first_var, samples * dist.get_world_size())
        return y.to(groups.dtype).flatten(1, 2)


def pooled_moments(mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
    """Pool mean and biased variance over all processes, differentiably.

    With equal numbers of values in each process p, the mean is that of the means m_p
    and the variance the mean of ``var_p + (m_p - mean)^2``. In the backward pass each
    process gets the sum of all processes' gradients, as from ``nn.SyncBatchNorm``.
    """
    number = dist.get_world_size()
    pooled = all_reduce(mean.contiguous()) / number
    spread = (mean - pooled).square()
    return pooled, all_reduce((var + spread).contiguous()) / number


BATCH_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "joint": nn.BatchNorm2d,
    "per_view": PerViewBatchNorm2d,
    "pooled": nn.BatchNorm2d,  # names in older checkpoints
    "split": PerViewBatchNorm2d,
}


def build_batch_norm(kind: str, channels: int) -> nn.Module:
    """Build a batch norm by the statistics that the two views get.

    Args:
        kind: ``'joint'`` (nn.BatchNorm2d: both views share batch statistics) or
            ``'per_view'`` (:class:`PerViewBatchNorm2d`: each view has its own).
        channels: Channels C.

    Raises:
        ValueError: If ``kind`` is unknown.
    """
    if kind not in BATCH_NORMS:
        raise ValueError(f"bn must be 'joint' or 'per_view', got {kind!r}")
    return BATCH_NORMS[kind](channels)


def set_views(module: nn.Module, views: int) -> None:
    """Set the number of views of which every PerViewBatchNorm2d takes statistics."""
    for child in module.modules():
        if isinstance(child, PerViewBatchNorm2d):
            child.views = views


def normalize(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply ``norm`` to ``x`` [T, N, C, H, W].

    Layers other than PerViewBatchNorm2d get [T N, C, H, W], so that SyncBatchNorm and
    every other 4-D layer can replace nn.BatchNorm2d. Of a masked input they get the
    visible positions alone, see :mod:`snnssl_mm.models.masking`.
    """
    patches = visible_patches()
    if patches is not None:
        y = normalize_all(norm, patches.gather(x))
        return patches.scatter(y, *x.shape[-2:])
    return normalize_all(norm, x)


def normalize_all(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply ``norm`` to every position of ``x`` [T, N, C, H, W]."""
    if isinstance(norm, PerViewBatchNorm2d):
        return norm(x)
    return norm(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def normalize_and_fire(
    norm: nn.Module, neuron: nn.Module, x: Tensor, time_steps: int
) -> Tensor:
    """Compute ``neuron(normalize(norm, x))``, by the fused kernel if both allow it.

    Args:
        norm: Normalisation layer.
        neuron: MixedLIF, MixedILIF, or another neuron.
        x: ``[T, N, C, H, W]``, or ``[1, N, C, H, W]`` for a current that is held for
            all time steps.
        time_steps: T.
    """
    patches = visible_patches()
    if patches is not None:
        y = normalize_and_fire_all(norm, neuron, patches.gather(x), time_steps)
        return patches.scatter(y, *x.shape[-2:])
    return normalize_and_fire_all(norm, neuron, x, time_steps)


def normalize_and_fire_all(
    norm: nn.Module, neuron: nn.Module, x: Tensor, time_steps: int
) -> Tensor:
    """Compute :func:`normalize_and_fire` at every position."""
    if is_plain(norm) and takes_norm(neuron, x):
        return neuron(x, current_normalization(norm, x), time_steps)
    y = normalize_all(norm, x)
    return neuron(y.expand(time_steps, *y.shape[1:]))


FUSED = (nn.BatchNorm2d, nn.SyncBatchNorm, PerViewBatchNorm2d)


def is_plain(norm: nn.Module) -> bool:
    """Whether ``norm`` is a batch norm as it came, without hooks.

    Synchronised ones are of all processes; the kernels know no smaller group.
    """
    group = getattr(norm, "process_group", None)
    of_all = group is None or group is dist.group.WORLD
    return type(norm) in FUSED and not is_watched(norm) and of_all


def is_watched(module: nn.Module) -> bool:
    """Whether something looks at single calls of ``module``: hooks, or a wrapper."""
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    return any(hooks) or "forward" in vars(module)


def is_over_processes(norm: nn.Module) -> bool:
    """Whether the statistics of the batch are those of all processes' batches."""
    if not (norm.training and several_processes()):
        return False
    return type(norm) is nn.SyncBatchNorm or getattr(norm, "views", 1) > 1


FUSED_NEURONS = (MixedLIF, MixedILIF)


def takes_norm(neuron: nn.Module, x: Tensor) -> bool:
    """Whether ``neuron`` can take ``x`` [T, N, C, H, W] together with a batch norm.

    A forward pre-hook expects the neuron's input current, which a fused call never
    computes; a subclass may compute something else.
    """
    if not isinstance(neuron, MixedNeuron) or type(neuron) not in FUSED_NEURONS:
        return False
    if neuron._forward_pre_hooks:
        return False
    even = neuron.path != "dual" or x.shape[1] % 2 == 0  # else it raises by itself
    return neuron.fuses_norm(x) and x.numel() > 0 and even


def current_normalization(norm: Any, x: Tensor) -> Normalization | BatchNormalization:
    """How ``norm`` normalises ``x`` [T, N, C, H, W]."""
    channels = x.shape[2]
    if channels != norm.num_features:
        raise ValueError(
            f"batch norm of {norm.num_features} channels got {tuple(x.shape)}, "
            f"which has {channels} on dimension 2"
        )
    weight = x.new_ones(channels) if norm.weight is None else norm.weight
    bias = x.new_zeros(channels) if norm.bias is None else norm.bias
    running = running_statistics(norm)
    if running is not None and not norm.training:
        mean, var = running.mean[None], running.var[None]
        return Normalization(mean, var, weight, bias, norm.eps)
    groups = getattr(norm, "views", 1) if norm.training else 1
    require_samples(norm, x, groups)
    followed, pooled = running if norm.training else None, is_over_processes(norm)
    return BatchNormalization(weight, bias, followed, norm.eps, groups, pooled)


def running_statistics(norm: Any) -> RunningStatistics | None:
    """Running statistics of a batch norm, if it has some."""
    if norm.running_mean is None:
        return None
    return RunningStatistics(
        norm.running_mean, norm.running_var, norm.num_batches_tracked, norm.momentum
    )


def require_samples(norm: nn.Module, x: Tensor, groups: int) -> int:
    """Return the number of values per channel and group; refuse too few.

    Raises:
        ValueError: If the samples of ``x`` cannot be divided into ``groups``, or there
            is one value only in training.
    """
    if x.shape[1] % groups:
        raise ValueError(
            "bn='per_view' needs an even number of samples, half of them for each "
            f"view; got N={x.shape[1]}"
        )
    samples = x.numel() // (x.shape[2] * groups)
    if norm.training and samples < 2 and not is_over_processes(norm):
        raise ValueError(
            "batch norm needs more than one value per channel when training, got "
            f"{tuple(x.shape)}"
        )
    return samples
