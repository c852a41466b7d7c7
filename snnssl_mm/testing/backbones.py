"""Conformance test of a spiking backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from snnssl_mm.testing.invariants import INVARIANTS
from snnssl_mm.testing.subject import Subject


def check_backbone(
    factory: Callable[[], nn.Module],
    *,
    in_channels: int = 3,
    stride: int | None = None,
    invariants: Iterable[str] | None = None,
) -> None:
    """Check that a backbone satisfies the invariants of this package.

    The backbone must follow the contract of
    :class:`snnssl_mm.models.backbone.SpikingBackbone`: it maps images ``[N, C, H, W]``
    or clips ``[T, N, C, H, W]`` to a tuple of maps; it has the attributes
    ``out_indices``, ``time_steps``, ``time_readout`` (``'mean'`` gives maps
    ``[N, C, H', W']``, ``'none'`` keeps the time axis) and ``stride``; its neurons are
    MixedLIF.

    Args:
        factory: Function that builds the backbone, small for speed. It is called
            several times; batch norms get random parameters and statistics, so that
            neurons fire.
        in_channels: Channels of its images.
        stride: Divisor of the image sides; the backbone's own ``stride`` if None.
        invariants: Names from :data:`INVARIANTS`; all if None.

    Raises:
        AssertionError: If an invariant is violated; the message has its name.
        KeyError: If an invariant is unknown.

    Example:
        >>> from snnssl_mm.models import Spikformer
        >>> arch = dict(embed_dims=16, depth=1, num_heads=2)
        >>> check_backbone(lambda: Spikformer(arch, stem="cifar"))
    """
    subject = Subject(factory, in_channels, stride)
    model = subject.build()
    for name in INVARIANTS if invariants is None else invariants:
        check = INVARIANTS[name]
        try:
            check(subject, model)
        except Exception as cause:
            kind = type(model).__name__
            raise AssertionError(f"{kind} violates {name!r}: {cause}") from cause
