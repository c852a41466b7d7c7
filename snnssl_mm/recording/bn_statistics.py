"""Re-estimation of BatchNorm statistics from given batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


def norms_of(module: nn.Module) -> list[_NormBase]:
    """List the batch norms (and norms with running statistics) below a module."""
    return [norm for norm in module.modules() if isinstance(norm, _NormBase)]


@contextlib.contextmanager
def reestimated(norms: Iterable[_NormBase]) -> Iterator[None]:
    """Re-estimate running statistics from the forward passes of the block.

    The statistics restart, and each becomes the plain average over the batches
    (``momentum=None``): a running average would remember the last few only.

    Args:
        norms: The layers to re-estimate; they are left in training mode, with the
            momentum that they had.
    """
    momenta = [(norm, norm.momentum) for norm in norms]
    for norm, _ in momenta:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in momenta:
            norm.momentum = momentum
