"""Compile options and launches of the CUDA kernels; needs neither cupy nor a GPU.

A launch is a kernel's name, its compile options, and plain numbers, so that tests can
compile the same sources with the same options and run them on a CPU.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnssl_mm.neurons.kernels.reference import LIFParameters

BLOCK_THREADS = 256
SCALARS = {
    torch.float32: "FLOAT32",
    torch.float16: "FLOAT16",
    torch.bfloat16: "BFLOAT16",
}
VECTOR_BYTES = 16  # the widest load of one thread
STATE_REGISTERS = 64  # of the 128 that leave two blocks of 256 threads alive


class Launch(NamedTuple):
    """One kernel call.

    Attributes:
        name: Name of the kernel and of its ``.cu`` file.
        options: Options of the CUDA compiler, without the architecture.
        grid: Blocks on each axis; or the number of threads that the work could use,
            which fewer threads then do in several rounds.
        arguments: Device addresses, sizes (64-bit) and float32 scalars, in order.
        threads: Threads of a block.
    """

    name: str
    options: tuple[str, ...]
    grid: int | tuple[int, int, int]
    arguments: tuple[Any, ...]
    threads: int = BLOCK_THREADS


class MemoryLayout(NamedTuple):
    """Memory of a dense tensor as the kernels address it: [outer][T][stride_t].

    Attributes:
        steps: T.
        neurons: Elements per time step.
        stride_t: Distance between two time steps of a neuron.
        samples: N.
        stride_n: Distance between two samples.
    """

    steps: int
    neurons: int
    stride_t: int
    samples: int
    stride_n: int

    @classmethod
    def of(cls, x: Tensor) -> MemoryLayout:
        """Read the layout of a dense ``x`` [T, N, ...], in any order of its axes."""
        steps, samples = x.shape[:2]
        neurons = x.numel() // steps
        stride_t = x.stride(0) if steps > 1 else neurons  # else it may be anything
        return cls(steps, neurons, stride_t, samples, x.stride(1))


@functools.cache
def kernel_source(name: str) -> str:
    """CUDA source of ``name`` in one piece: NVRTC then needs no include path."""
    included = set()

    def read(file: str) -> str:
        if file in included:
            return ""
        included.add(file)
        text = (Path(__file__).parent / file).read_text(encoding="utf-8")
        text = text.replace("#pragma once\n", "")
        return re.sub(r'#include "(.+)"\n', lambda match: read(match[1]), text)

    return read(f"{name}.cu")


def neurons_per_thread(
    x: Tensor, registers: float, runs: tuple[int, ...], addresses: tuple[int, ...]
) -> int:
    """Number of neighbours in memory that one thread loads at once: 1, 2, 4 or 8.

    They must be aligned, fit the registers, and not cross a multiple of ``runs``.

    Args:
        x: A tensor of the type that is loaded.
        registers: 32-bit registers that a kernel keeps per neuron over the time steps.
        runs: Lengths in elements that a thread's neighbours must divide.
        addresses: Addresses of all tensors that are loaded or stored like ``x``.
    """
    for count in (8, 4, 2):
        size = count * x.element_size()
        if (
            size <= VECTOR_BYTES
            and count * registers <= STATE_REGISTERS
            and all(run % count == 0 for run in runs)
            and all(address % size == 0 for address in addresses)
        ):
            return count
    return 1


def input_registers(x: Tensor) -> float:
    """Number of 32-bit registers that a neuron's input takes in all time steps."""
    return x.shape[0] * x.element_size() / 4


def as_options(macros: dict[str, int | str]) -> tuple[str, ...]:
    """Return options of the CUDA compiler that define ``macros``."""
    return ("--fmad=false", *(f"-D{name}={value}" for name, value in macros.items()))


def memory_macros(
    dtype: torch.dtype, steps: int, neurons_per_thread: int, wide_index: bool
) -> dict[str, int | str]:
    """Macros of memory.cuh."""
    return {
        "T_STEPS": steps,
        "SCALAR": SCALARS[dtype],
        "NEURONS_PER_THREAD": neurons_per_thread,
        "WIDE_INDEX": int(wide_index),
    }


def neuron_macros(p: LIFParameters, path: str) -> dict[str, int | str]:
    """Macros of mixed_lif.cuh. Backward kernels ignore ``path``."""
    return {
        "SURROGATE": p.surrogate.name.upper(),
        "SOFT_RESET": int(p.v_reset is None),
        "DECAY_INPUT": int(p.decay_input),
        "DETACH_RESET": int(p.detach_reset),
        "PATH": path.upper(),
        "EXACT_INVERSES": int(p.exact_inverses),
    }


@functools.cache
def compile_options(
    p: LIFParameters,
    path: str,
    dtype: torch.dtype,
    steps: int,
    neurons_per_thread: int = 1,
    wide_index: bool = False,
) -> tuple[str, ...]:
    """Return the compiler's options for the kernels of a neuron without batch norm."""
    memory = memory_macros(dtype, steps, neurons_per_thread, wide_index)
    return as_options(memory | neuron_macros(p, path))


@functools.cache
def neuron_scalars(p: LIFParameters) -> tuple[np.float32, ...]:
    """Return tau, theta, rest and width: the last arguments of a neuron's kernel."""
    rest = 0.0 if p.v_reset is None else p.v_reset
    values = (p.tau, p.v_threshold, rest, p.surrogate.width)
    return tuple(np.float32(value) for value in values)


def forward_launch(x: Tensor, out: Tensor, p: LIFParameters, path: str) -> Launch:
    """Plan ``out = MixedLIF(x)`` for dense tensors of the same strides."""
    layout = MemoryLayout.of(x)
    addresses = (x.data_ptr(), out.data_ptr())
    runs: tuple[int, ...] = (layout.stride_t,)
    if path == "dual":  # a pack must not belong to two samples
        runs += (layout.stride_n,)
    count = neurons_per_thread(x, input_registers(x), runs, addresses)
    options = compile_options(p, path, x.dtype, layout.steps, count, is_wide(x))
    sizes = (layout.neurons, layout.stride_t, layout.stride_n, layout.samples)
    arguments = (*addresses, *sizes, *neuron_scalars(p))
    return Launch("mixed_lif_forward", options, layout.neurons // count, arguments)


def backward_launch(
    grad: Tensor, x: Tensor, grad_x: Tensor, p: LIFParameters
) -> Launch:
    """Plan the gradient ``grad_x`` from ``grad``, all dense and of the same strides."""
    layout = MemoryLayout.of(x)
    addresses = (grad.data_ptr(), x.data_ptr(), grad_x.data_ptr())
    count = neurons_per_thread(x, layout.steps, (layout.stride_t,), addresses)
    options = compile_options(p, "spike", x.dtype, layout.steps, count, is_wide(x))
    arguments = (*addresses, layout.neurons, layout.stride_t, *neuron_scalars(p))
    return Launch("mixed_lif_backward", options, layout.neurons // count, arguments)


def is_wide(*tensors: Tensor) -> bool:
    """Whether offsets in any of ``tensors`` need more than 32 bits."""
    return any(x.numel() >= 2**31 for x in tensors)
