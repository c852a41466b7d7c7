"""A backbone under test, its images, and comparisons of its maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from snnssl_mm.neurons import MixedNeuron

SAMPLES, STEPS = 2, 3
SMALLEST_SIDE = 8
LIVELY = (1.0, 3.0), (0.0, 1.5)
"""Ranges of weights and biases with which attention fires, too."""
Maps = Sequence[Tensor]


class Subject(NamedTuple):
    """Backbone under test and the size of its images.

    Attributes:
        factory: Function that builds the backbone.
        in_channels: Channels of its images.
        stride: Divisor of the image sides; the backbone's own ``stride`` if None.
    """

    factory: Callable[[], nn.Module]
    in_channels: int = 3
    stride: int | None = None

    def build(self) -> Any:
        """Build the backbone in eval mode, deterministically, with active neurons."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return randomize_norms(self.factory(), *LIVELY).eval()

    def side(self, model: Any) -> int:
        """Return a small side that gives maps with several positions."""
        return max(2 * self.divisor(model), SMALLEST_SIDE)

    def divisor(self, model: Any) -> int:
        """Return the divisor of the image sides."""
        return int(model.stride if self.stride is None else self.stride)

    def images(self, model: nn.Module, *steps: int, seed: int = 1) -> Tensor:
        """Return random images ``[N, C, H, W]``, or clips with ``steps`` in front."""
        side = self.side(model)
        return self.of_size(side, side, *steps, SAMPLES, seed=seed)

    def of_size(self, height: int, width: int, *leading: int, seed: int = 1) -> Tensor:
        """Return random images of a size, with ``leading`` dimensions in front."""
        generator = torch.Generator().manual_seed(seed)
        shape = (*leading, self.in_channels, height, width)
        return torch.rand(shape, generator=generator)


def randomize_norms(
    model: nn.Module,
    weight: tuple[float, float] = (0.8, 1.5),
    bias: tuple[float, float] = (-0.1, 0.5),
) -> nn.Module:
    """Set random parameters and statistics of batch norms with which neurons fire.

    With initial statistics the deep layers of an untrained network stay silent, and a
    silent network satisfies every invariant.

    Args:
        model: The model; changed in place.
        weight: Range of the weights.
        bias: Range of the biases.
    """
    generator = torch.Generator().manual_seed(1)
    module: Any
    for module in model.modules():
        if isinstance(module, _NormBase):
            for tensor, (low, high) in (
                (module.running_mean, (-0.1, 0.1)),
                (module.running_var, (0.5, 1.5)),
                (module.weight, weight),
                (module.bias, bias),
            ):
                if tensor is not None:
                    tensor.data.uniform_(low, high, generator=generator)
            if module.num_batches_tracked is not None:
                module.num_batches_tracked.fill_(7)
    return model


def mixed_neurons(model: nn.Module) -> list[MixedNeuron]:
    """Return the neurons with paths in ``model``."""
    return [module for module in model.modules() if isinstance(module, MixedNeuron)]


@torch.no_grad()
def compute_maps(model: nn.Module, images: Tensor) -> Maps:
    """Compute the maps without gradients."""
    maps: Maps = model(images)
    return maps


@contextmanager
def readout(model: Any, value: str) -> Iterator[None]:
    """Set ``time_readout`` within the block."""
    before = model.time_readout
    model.time_readout = value
    try:
        yield
    finally:
        model.time_readout = before


def require(condition: bool, problem: str) -> None:
    """Raise AssertionError with ``problem``, also under ``python -O``."""
    if not condition:
        raise AssertionError(problem)


def require_equal_maps(maps: Maps, expected: Maps, change: str) -> None:
    """Require bit-identical maps; ``change`` describes what was changed."""
    for index, (m, other) in enumerate(zip(maps, expected, strict=True)):
        require(m.shape == other.shape, f"{change} changes the shape of map {index}")
        differing = int((m != other).sum())
        require(not differing, f"{change} changes {differing} values of map {index}")


def require_finite(maps: Iterable[Tensor], where: str) -> None:
    """Require maps without NaN and inf."""
    for m in maps:
        require(bool(m.isfinite().all()), f"NaN or inf from {where}")
