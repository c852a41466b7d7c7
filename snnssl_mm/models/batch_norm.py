"""Batch normalisation over time steps and over the two paths of MixedLIF."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from snnssl_mm.neurons import MixedLIF, Normalization
from snnssl_mm.neurons.kernels import ops


class SplitBatchNorm2d(_NormBase):
    """BatchNorm2d with batch statistics of each path while both run.

    The outputs of the two MixedLIF paths have different statistics. While ``path``
    is ``'dual'`` and the module trains, the first half of the samples (spiking) and
    the second (analog) are normalised each by its own batch statistics, with shared
    affine parameters; the running statistics follow the spiking half, the only one
    that inference sees. State-dict keys are those of ``nn.BatchNorm2d``. It is not a
    subclass, so that ``convert_sync_batchnorm`` cannot replace it by joint
    statistics without a warning.

    Args:
        num_features: Channels C.

    Shape:
        - Input and output: ``[T, N, C, H, W]``.
    """

    follows_path = True
    path = "spike"

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() != 5:
            raise ValueError(f"expected [T, N, C, H, W], got {x.dim()} dimensions")

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` [T, N, C, H, W]."""
        self._check_input_dim(x)
        self.check_processes()
        if not (self.training and self.path == "dual"):
            return self._normalize(x, self.running_mean, self.running_var)
        spiking, analog = x.chunk(2, dim=1)
        return torch.cat(
            [
                self._normalize(spiking, self.running_mean, self.running_var),
                self._normalize(analog, None, None),
            ],
            dim=1,
        )

    def check_processes(self) -> None:
        """Refuse to train in several processes."""
        if self.training and dist.is_initialized() and dist.get_world_size() > 1:
            raise RuntimeError(
                "bn='split' computes statistics of one process only; "
                "use bn='joint' with sync_bn='torch' for distributed training"
            )

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


BATCH_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "joint": nn.BatchNorm2d,
    "split": SplitBatchNorm2d,
    "pooled": nn.BatchNorm2d,  # name of 'joint' in older checkpoints
}


def build_batch_norm(kind: str, channels: int) -> nn.Module:
    """Build a batch norm by the statistics that the two paths get.

    Args:
        kind: ``'joint'`` (nn.BatchNorm2d: both paths share batch statistics) or
            ``'split'`` (:class:`SplitBatchNorm2d`: each path has its own).
        channels: Channels C.

    Raises:
        ValueError: If ``kind`` is unknown.
    """
    if kind not in BATCH_NORMS:
        raise ValueError(f"bn must be 'joint' or 'split', got {kind!r}")
    return BATCH_NORMS[kind](channels)


def normalize(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply ``norm`` to ``x`` [T, N, C, H, W].

    Layers other than SplitBatchNorm2d get [T N, C, H, W], so that SyncBatchNorm and
    every other 4-D layer can replace nn.BatchNorm2d.
    """
    if isinstance(norm, SplitBatchNorm2d):
        return norm(x)
    return norm(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def normalize_and_fire(
    norm: nn.Module, neuron: nn.Module, x: Tensor, time_steps: int
) -> Tensor:
    """Compute ``neuron(normalize(norm, x))``, by the fused kernel if both allow it.

    Args:
        norm: Normalisation layer.
        neuron: MixedLIF, or another neuron.
        x: ``[T, N, C, H, W]``, or ``[1, N, C, H, W]`` for a current that is held for
            all time steps.
        time_steps: T.
    """
    if is_plain(norm) and takes_norm(neuron, x):
        return neuron(x, current_normalization(norm, x), time_steps)
    y = normalize(norm, x)
    return neuron(y.expand(time_steps, *y.shape[1:]))


def is_plain(norm: nn.Module) -> bool:
    """Whether ``norm`` is a batch norm without hooks and with its own forward."""
    hooks = (
        norm._forward_hooks,
        norm._forward_pre_hooks,
        norm._backward_hooks,
        norm._backward_pre_hooks,
    )
    watched = any(hooks) or "forward" in vars(norm)
    return type(norm) in (nn.BatchNorm2d, SplitBatchNorm2d) and not watched


def takes_norm(neuron: nn.Module, x: Tensor) -> bool:
    """Whether ``neuron`` can take ``x`` [T, N, C, H, W] together with a batch norm.

    A forward pre-hook expects the neuron's input current, which a fused call never
    computes; a subclass may compute something else.
    """
    if type(neuron) is not MixedLIF or neuron._forward_pre_hooks:
        return False
    even = neuron.path != "dual" or x.shape[1] % 2 == 0  # else it raises by itself
    return neuron.fuses_norm(x) and x.numel() > 0 and even


def current_normalization(norm: Any, x: Tensor) -> Normalization:
    """Values by which ``norm`` normalises ``x`` [T, N, C, H, W]; updates statistics."""
    if isinstance(norm, SplitBatchNorm2d):
        norm.check_processes()
    channels = x.shape[2]
    if channels != norm.num_features:
        raise ValueError(
            f"batch norm of {norm.num_features} channels got {tuple(x.shape)}, "
            f"which has {channels} on dimension 2"
        )
    weight = x.new_ones(channels) if norm.weight is None else norm.weight
    bias = x.new_zeros(channels) if norm.bias is None else norm.bias
    from_batch = norm.training or norm.running_mean is None
    if from_batch:
        split = norm.training and getattr(norm, "path", "spike") == "dual"
        groups = 2 if split else 1
        if x.shape[1] % groups:
            raise ValueError(
                "bn='split' needs an even number of samples, half of them for each "
                f"path; got N={x.shape[1]}"
            )
        samples = x.numel() // (channels * groups)
        if norm.training and samples < 2:
            raise ValueError(
                "batch norm needs more than one value per channel when training, got "
                f"{tuple(x.shape)}"
            )
        mean, var = ops.batch_moments(x.detach(), groups)
        if norm.training and norm.running_mean is not None:
            update_running_statistics(norm, mean[0], var[0], samples)
    else:
        mean, var = norm.running_mean[None], norm.running_var[None]
    return Normalization(
        mean, (var.float() + norm.eps).rsqrt(), weight, bias, from_batch
    )


@torch.no_grad()
def update_running_statistics(
    norm: Any, mean: Tensor, var: Tensor, samples: int
) -> None:
    """Update the running statistics as nn.BatchNorm2d does (unbiased variance)."""
    norm.num_batches_tracked.add_(1)
    factor = norm.momentum
    if factor is None:  # cumulative average
        factor = 1 / float(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean.to(norm.running_mean), factor)
    unbiased = var * (samples / (samples - 1))
    norm.running_var.lerp_(unbiased.to(norm.running_var), factor)
