"""Launches of the CUDA kernels of batch norm and neuron; see :mod:`.cuda_source`."""

from __future__ import annotations

import functools
import math
import operator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnssl_mm.neurons.kernels.cuda_source import (
    VECTOR_BYTES,
    Launch,
    as_options,
    is_wide,
    memory_macros,
    neuron_macros,
    neuron_scalars,
    neurons_per_thread,
)
from snnssl_mm.neurons.kernels.layout import channel_run
from snnssl_mm.neurons.kernels.reference import (
    LIFParameters,
    Normalization,
    RunningStatistics,
)

BLOCK_THREADS = 128  # with 256, one register too many halves the blocks alive
WARP = 32
NORM_REGISTERS = 3  # mean, scale and bias of a channel; or centre and two sums
GRADIENT_REGISTERS = 5  # and two sums; or shift and slope
POOL_REGISTERS = 2  # the maximum and its place, in every time step
PLANS = 4096  # cached; more than a network's layers times its input sizes


class Walk(NamedTuple):
    """Order in which threads walk a contiguous or channels-last tensor.

    One time step is [halves][rows][columns][run] packs; see channels.cuh.

    Attributes:
        lanes: Neurons of a pack, NEURONS_PER_THREAD.
        lane_channels: Whether each neuron of a pack has a channel of its own.
        halves: Parts of the samples that differ in path or statistics, 1 or 2.
        rows: Rows per half.
        columns: Columns of a row; the neurons of a column share their channels.
        run: Packs of a column in a row.
        block_columns: Columns of a block.
        slices: Blocks that share the rows of a column.
    """

    lanes: int
    lane_channels: bool
    halves: int
    rows: int
    columns: int
    run: int
    block_columns: int
    slices: int

    @classmethod
    def over(
        cls,
        x: Tensor,
        halves: int,
        registers: float,
        addresses: tuple[int, ...],
        most_blocks: int,
        channel_registers: int = NORM_REGISTERS,
        last: bool = False,
    ) -> Walk:
        """Plan the walk over a dense ``x`` [T, N, C, ...].

        Args:
            x: The tensor, or one of the same memory order.
            halves: 1 or 2.
            registers: 32-bit registers that a kernel keeps per neuron.
            addresses: Addresses of all tensors of this order.
            most_blocks: Number of blocks that the device can use.
            channel_registers: Registers that a kernel keeps per channel; channels last,
                each neuron of a thread has its own.
            last: Take ``x`` as channels-last even if it is contiguous as well, having
                one channel or one position.
        """
        run = 1 if last else channel_run(x)
        alignment = functools.reduce(operator.or_, addresses, 0) % VECTOR_BYTES
        memory = (x.shape, x.dtype)
        kept = (registers, channel_registers)
        return cls._planned(memory, run, halves, kept, alignment, most_blocks)

    @classmethod
    @functools.lru_cache(maxsize=PLANS)
    def _planned(
        cls,
        memory: tuple[torch.Size, torch.dtype],
        run: int,
        halves: int,
        registers: tuple[float, int],
        alignment: int,
        most_blocks: int,
    ) -> Walk:
        """Plan the walk over memory of a shape, type, order and alignment.

        Cached: every training step asks for the same plans while the GPU waits.
        """
        shape, dtype = memory
        x = torch.empty(shape, dtype=dtype, device="meta")
        samples, channels = x.shape[1:3]
        if samples % halves:
            raise ValueError(
                f"two halves need an even number of samples, got {samples}"
            )
        lane_channels = run == 1
        positions = x[0, 0, 0].numel()
        kept = sum(registers) if lane_channels else registers[0]
        lanes = neurons_per_thread(
            x, kept, (channels if lane_channels else run,), (alignment,)
        )
        if lane_channels:
            rows, columns = samples * positions, channels // lanes
        else:
            rows, columns, run = samples, channels, run // lanes
        rows //= halves
        # A warp reads its neighbours' memory: along a run, or else across columns.
        block_columns = min(power_of_two_from(columns), power_of_two_to(WARP // run))
        others = math.ceil(columns / block_columns) * halves
        rounds = math.ceil(rows * run * block_columns / BLOCK_THREADS)
        slices = max(1, min(rounds, most_blocks // others))
        return cls(
            lanes, lane_channels, halves, rows, columns, run, block_columns, slices
        )

    def sums_for(self, x: Tensor) -> Tensor:
        """Allocate ``[slices, halves, 2, C]`` for the two sums of each block."""
        shape = (self.slices, self.halves, 2, x.shape[2])
        return x.new_empty(shape, dtype=torch.float32)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Blocks on each axis."""
        columns = math.ceil(self.columns / self.block_columns)
        return columns, self.slices, self.halves

    @property
    def macros(self) -> dict[str, int | str]:
        """Macros of channels.cuh."""
        return {
            "LANE_CHANNELS": int(self.lane_channels),
            "BLOCK_COLUMNS": self.block_columns,
            "BLOCK_THREADS": BLOCK_THREADS,
        }


def power_of_two_from(value: int) -> int:
    """The smallest power of two that is not below ``value``."""
    return 1 << (value - 1).bit_length()


def power_of_two_to(value: int) -> int:
    """The largest power of two that is not above ``value``; 1 for 0."""
    return 1 << (max(value, 1).bit_length() - 1)


class Reduction(NamedTuple):
    """Memory of a kernel that reduces over all blocks, see add_up_blocks.

    Attributes:
        partial: ``[slices, halves, 2, C]``, the sums of each block.
        arrived: Counters of blocks, at least one for each group of columns; zero.
    """

    partial: Tensor
    arrived: Tensor

    @property
    def addresses(self) -> tuple[int, int]:
        """Addresses in the order of the kernels' arguments."""
        return self.partial.data_ptr(), self.arrived.data_ptr()


def moments_launch(
    x: Tensor,
    moments: tuple[Tensor, Tensor],
    running: RunningStatistics | None,
    reduction: Reduction,
    walk: Walk,
) -> Launch:
    """Plan mean and variance [halves, C] of x, and the update of ``running``."""
    written = [values.data_ptr() for values in moments]
    updated, momentum = [0, 0, 0], 0.0
    if running is not None and running.momentum is not None:
        updated = [values.data_ptr() for values in running[:3]]
        momentum = running.momentum
    addresses = (x.data_ptr(), *reduction.addresses, *written, *updated)
    sizes = (walk.rows, walk.columns, walk.run, x.numel() // len(x))
    options = _options(walk, x.dtype, len(x), is_wide(x))
    arguments = (*addresses, *sizes, np.float32(momentum))
    return Launch("batch_moments", options, walk.grid, arguments, BLOCK_THREADS)


def norm_forward_launch(
    x: Tensor, out: Tensor, norm: Normalization, walk: Walk, p: LIFParameters, path: str
) -> Launch:
    """Plan ``out = MixedLIF(norm(x))``."""
    addresses = (x.data_ptr(), out.data_ptr(), *_addresses(norm))
    sizes = (x.numel() // len(x),)
    tensors = (x, out)
    name = "norm_mixed_lif_forward"
    return _launch(name, addresses, sizes, tensors, norm, walk, p, path)


def norm_pool_forward_launch(
    x: Tensor,
    out: Tensor,
    window: Tensor,
    norm: Normalization,
    walk: Walk,
    p: LIFParameters,
    path: str,
) -> Launch:
    """Plan ``out``, the max-pooled MixedLIF(norm(x)), and the maxima's places."""
    tensors = (x, out)
    written = (out.data_ptr(), window.data_ptr())
    addresses = (x.data_ptr(), *written, *_addresses(norm))
    sizes = (*(t.numel() // len(t) for t in tensors), *x.shape[3:])
    name = "norm_mixed_lif_pool_forward"
    return _launch(name, addresses, sizes, tensors, norm, walk, p, path)


def sums_launch(
    grad: Tensor,
    window: Tensor | None,
    x: Tensor,
    results: tuple[Tensor, Tensor, Tensor],
    reduction: Reduction,
    norm: Normalization,
    walk: Walk,
    p: LIFParameters,
) -> Launch:
    """Plan the ``results`` of a backward pass for the channels.

    They are [halves, 2, C], the sums S of G(y), the gradient of norm(x), and P of
    G(y) (x - mean), and the gradients of weight and bias. With ``window``, places of
    the maxima, ``grad`` is that of the max-pooled output.
    """
    written = (values.data_ptr() for values in results)
    read = (x.data_ptr(), *_addresses(norm))
    addresses = (*read, *reduction.addresses, *written)
    return _backward("norm_mixed_lif_sums", grad, window, x, addresses, norm, walk, p)


def norm_backward_launch(
    grad: Tensor,
    window: Tensor | None,
    x: Tensor,
    grad_x: Tensor,
    totals: Tensor,
    share: float,
    norm: Normalization,
    walk: Walk,
    p: LIFParameters,
) -> Launch:
    """Plan ``grad_x`` from ``grad`` and the ``totals`` [halves, 2, C], S and P.

    ``share`` is 1 / M, or 0 if the statistics are not those of the batch.
    """
    tensors = (x.data_ptr(), grad_x.data_ptr())
    addresses = (*tensors, *_addresses(norm), totals.data_ptr())
    name = "norm_mixed_lif_backward"
    launch = _backward(name, grad, window, x, addresses, norm, walk, p)
    return launch._replace(arguments=(*launch.arguments, np.float32(share)))


def _backward(
    name: str,
    grad: Tensor,
    window: Tensor | None,
    x: Tensor,
    addresses: tuple[int, ...],
    norm: Normalization,
    walk: Walk,
    p: LIFParameters,
) -> Launch:
    """Plan a kernel that gets the gradient of the output."""
    pooled = window is not None
    places = 0 if window is None else window.data_ptr()
    sides = x.shape[3:] if pooled else (1, 1)
    sizes = (x.numel() // len(x), grad.numel() // len(grad), *sides)
    first = (grad.data_ptr(), places)
    options = ("spike", pooled)
    return _launch(
        name, (*first, *addresses), sizes, (x, grad), norm, walk, p, *options
    )


@functools.lru_cache(maxsize=PLANS)
def _options(
    walk: Walk, dtype: torch.dtype, steps: int, wide: bool, *neuron: Any
) -> tuple[str, ...]:
    """Compiler's options.

    ``neuron`` holds parameters, path, HELD and POOLED, or nothing.
    """
    macros = memory_macros(dtype, steps, walk.lanes, wide)
    if neuron:
        p, path, held, pooled = neuron
        macros |= neuron_macros(p, path)
        macros |= {"HELD": int(held), "POOLED": int(pooled)}
    return as_options(macros | walk.macros)


def _addresses(norm: Normalization) -> tuple[int, ...]:
    return tuple(values.data_ptr() for values in norm[:4])


def _launch(
    name: str,
    addresses: tuple[int, ...],
    sizes: tuple[int, ...],
    tensors: tuple[Tensor, Tensor],
    norm: Normalization,
    walk: Walk,
    p: LIFParameters,
    path: str,
    pooled: bool = False,
) -> Launch:
    """Plan a kernel over the ``tensors`` x and the output, or its gradient.

    ``sizes`` are those after the walk's.
    """
    x, out = tensors
    steps, channels = out.shape[0], x.shape[2]
    macros = (is_wide(*tensors), p, path, x.shape[0] < steps, pooled)
    options = _options(walk, x.dtype, steps, *macros)
    group_stride = channels if len(norm.mean) == 2 else 0
    all_sizes = (group_stride, walk.rows, walk.columns, walk.run, *sizes)
    scalars = (np.float32(norm.eps), *neuron_scalars(p))
    arguments = (*addresses, *all_sizes, *scalars)
    return Launch(name, options, walk.grid, arguments, BLOCK_THREADS)
