"""Batch normalisation over time steps and over the two paths of MixedLIF."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


class SplitBatchNorm2d(_NormBase):
    """BatchNorm2d whose batch statistics are taken per path while both run.

    The outputs of the two MixedLIF paths have different statistics. While ``path``
    is ``'dual'`` and the module trains, the first half of the samples (spiking) and
    the second (analog) are normalised each by its own batch statistics, with shared
    affine parameters; the running statistics follow the spiking half, the only one
    that inference sees. State-dict keys are those of ``nn.BatchNorm2d``. It is not a
    subclass, so that ``convert_sync_batchnorm`` cannot turn it into pooled
    statistics in silence.

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
        if self.training and dist.is_initialized() and dist.get_world_size() > 1:
            raise RuntimeError(
                "bn='split' computes statistics of one process only; "
                "use bn='pooled' with sync_bn='torch' for distributed training"
            )
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


def build_batch_norm(kind: str, channels: int) -> nn.Module:
    """Make the normalisation ``'pooled'`` (nn.BatchNorm2d) or ``'split'``."""
    if kind == "pooled":
        return nn.BatchNorm2d(channels)
    if kind == "split":
        return SplitBatchNorm2d(channels)
    raise ValueError(f"bn must be 'pooled' or 'split', got {kind!r}")


def normalize(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply ``norm`` to ``x`` [T, N, C, H, W].

    Anything but SplitBatchNorm2d sees [T N, C, H, W], so that SyncBatchNorm and
    every other 4-D layer can take the place of nn.BatchNorm2d.
    """
    if isinstance(norm, SplitBatchNorm2d):
        return norm(x)
    return norm(x.flatten(0, 1)).unflatten(0, x.shape[:2])
