"""Re-estimation of BatchNorm statistics from given batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


def norms_of(module: nn.Module) -> list[_NormBase]:
    """List the batch norms (and norms with running statistics) below a module."""
    return [norm for norm in module.modules() if isinstance(norm, _NormBase)]


@contextlib.contextmanager
def reestimated(module: nn.Module) -> Iterator[None]:
    """Re-estimate running statistics from the forward passes of the block.

    The statistics restart, and each becomes the plain average over the batches
    (``momentum=None``): a running average would remember the last few only. Two kinds
    of layers keep theirs: frozen ones, which ``module.train()`` leaves in evaluation
    mode (``frozen_stages``, ``norm_eval``), and those that no batch passes, such as the
    norms of a teacher or a predictor.

    Args:
        module: In the block all of it is in evaluation mode, but for the batch norms
            that are re-estimated; afterwards all of it is.
    """
    module.train()
    norms = [norm for norm in norms_of(module) if norm.training]
    module.eval()
    before = [
        (norm, norm.momentum, [b.clone() for b in norm.buffers()]) for norm in norms
    ]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        yield
    finally:
        for norm, momentum, statistics in before:
            norm.momentum = momentum
            norm.eval()
            if norm.num_batches_tracked is not None and not norm.num_batches_tracked:
                for buffer, kept in zip(norm.buffers(), statistics, strict=True):
                    buffer.copy_(kept)
