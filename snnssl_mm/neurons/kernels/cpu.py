"""MixedLIF on the CPU: one fused pass over memory, on all of torch's threads.

A thread takes a stretch of neurons and walks a cache-sized block of it through all
time steps; inside a block the loop over neurons vectorises. The membrane lives in
the block's scratch memory, always in float32. The backward pass computes it again
from the input instead of reading a saved one: that costs less than the traffic.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numba
import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from snnssl_mm.neurons.kernels.layout import (
    empty_step_major,
    step_major,
    steps_by_neurons,
)
from snnssl_mm.neurons.kernels.reference import LIFParameters

BLOCK = 1024  # neurons; the scratch of T = 8 steps then fits a 32 KiB L1 cache
CHUNKS_PER_THREAD = 4  # evens out threads that a busy machine slows down

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
PI = np.float32(math.pi)


FAMILIES = {"rectangle": 0, "triangle": 1, "atan": 2, "sigmoid": 3}
RECTANGLE, TRIANGLE, ATAN = 0, 1, 2

# The compiled kernels stay on disk between processes. numba finds them again only if
# their closures hold plain numbers, not functions; so the surrogate is a number too.


@njit
def derivative(v, a, family):  # type: ignore[no-untyped-def]
    """h(v) of surrogate.py, in float32."""
    if family == RECTANGLE:
        return ONE / a if abs(v) < a * HALF else ZERO
    if family == TRIANGLE:
        side = ONE - abs(v) / a
        return (ZERO if side < ZERO else side) / a
    if family == ATAN:
        scaled = PI * HALF * a * v
        return a * HALF / (ONE + scaled * scaled)
    g = ONE / (ONE + np.float32(math.exp(-a * v)))
    return a * g * (ONE - g)


@njit
def antiderivative(v, a, family):  # type: ignore[no-untyped-def]
    """g(v) of surrogate.py, in float32."""
    if family == RECTANGLE:
        ramp = v / a + HALF
        return ZERO if ramp < ZERO else (ONE if ramp > ONE else ramp)
    if family == TRIANGLE:
        side = ONE - abs(v) / a
        tail = ZERO if side < ZERO else side * side * HALF
        return tail if v < ZERO else ONE - tail
    if family == ATAN:
        return np.float32(math.atan(PI * HALF * a * v)) / PI + HALF
    return ONE / (ONE + np.float32(math.exp(-a * v)))


@njit
def charge(v, x, tau, rest, decay_input):  # type: ignore[no-untyped-def]
    """Membrane after integrating ``x``."""
    if decay_input:
        return v + (x - (v - rest)) / tau
    return v - (v - rest) / tau + x


@njit
def reset(u, spike, theta, rest, soft):  # type: ignore[no-untyped-def]
    """Membrane after a possible spike."""
    after = u - theta if soft else rest
    return after if spike else u


@functools.cache
def forward_kernel(family: int, analog: bool) -> Callable[..., None]:
    """Compile the kernel that fills ``out`` for the neurons ``begin`` to ``end``.

    ``x`` and ``out`` are float32 [T, neurons]. The arguments here are constants to
    the compiler: a branch on them costs nothing per neuron. The flags of ``flags``
    cost next to nothing, and making them constants would multiply what to compile.
    """

    @njit(parallel=True, cache=True)
    def kernel(x, out, begin, end, chunks, scalars, flags):  # type: ignore[no-untyped-def]
        tau, theta, rest, width = scalars
        soft, decay_input = flags
        for chunk in prange(chunks):
            first = begin + (end - begin) * chunk // chunks
            last = begin + (end - begin) * (chunk + 1) // chunks
            v = np.empty(BLOCK, np.float32)
            for low in range(first, last, BLOCK):
                size = min(BLOCK, last - low)
                v[:] = rest
                for t in range(x.shape[0]):
                    x_t = x[t, low : low + size]
                    out_t = out[t, low : low + size]
                    for i in range(size):
                        u = charge(v[i], x_t[i], tau, rest, decay_input)
                        spike = u - theta >= ZERO
                        if analog:
                            out_t[i] = antiderivative(u - theta, width, family)
                        else:
                            out_t[i] = ONE if spike else ZERO
                        v[i] = reset(u, spike, theta, rest, soft)

    return kernel


@functools.cache
def backward_kernel(family: int, detach_reset: bool) -> Callable[..., None]:
    """Compile the kernel that fills ``grad_x``, all float32 [T, neurons].

    One kernel serves both paths: the membrane does not depend on what is emitted,
    and the emitted value has derivative h in both. ``grad_x`` may be ``grad``.
    """

    @njit(parallel=True, cache=True)
    def kernel(grad, x, grad_x, chunks, scalars, flags):  # type: ignore[no-untyped-def]
        tau, theta, rest, width = scalars
        soft, decay_input = flags
        steps, neurons = x.shape
        leak = ONE - ONE / tau  # du[t] / dv[t-1]
        input_gain = ONE / tau if decay_input else ONE  # du[t] / dx[t]
        after_spike = ONE if soft else ZERO  # dv[t] / du[t] where it fired
        for chunk in prange(chunks):
            first = neurons * chunk // chunks
            last = neurons * (chunk + 1) // chunks
            u = np.empty((steps, BLOCK), np.float32)
            v = np.empty(BLOCK, np.float32)
            grad_v = np.empty(BLOCK, np.float32)
            for low in range(first, last, BLOCK):
                size = min(BLOCK, last - low)
                v[:] = rest
                for t in range(steps):
                    x_t = x[t, low : low + size]
                    u_t = u[t]
                    for i in range(size):
                        u_t[i] = charge(v[i], x_t[i], tau, rest, decay_input)
                        v[i] = reset(u_t[i], u_t[i] - theta >= ZERO, theta, rest, soft)
                grad_v[:] = ZERO
                for t in range(steps - 1, -1, -1):
                    u_t = u[t]
                    grad_t = grad[t, low : low + size]
                    grad_x_t = grad_x[t, low : low + size]
                    for i in range(size):
                        h = derivative(u_t[i] - theta, width, family)
                        kept = after_spike if u_t[i] - theta >= ZERO else ONE
                        if not detach_reset:
                            kept -= h * (theta if soft else u_t[i] - rest)
                        grad_u = grad_t[i] * h + grad_v[i] * kept
                        grad_x_t[i] = grad_u * input_gain
                        grad_v[i] = grad_u * leak

    return kernel


def _scalars(p: LIFParameters) -> tuple[np.float32, ...]:
    rest = 0.0 if p.v_reset is None else p.v_reset
    values = (p.tau, p.v_threshold, rest, p.surrogate.width)
    return tuple(np.float32(value) for value in values)


def _flags(p: LIFParameters) -> tuple[bool, bool]:
    return p.v_reset is None, p.decay_input


def _chunks() -> int:
    threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(threads)
    return threads * CHUNKS_PER_THREAD


def _as_float32(x: Tensor) -> Tensor:
    return step_major(x.detach()).float()


def forward(x: Tensor, p: LIFParameters, path: str) -> Tensor:
    """Output of MixedLIF for a CPU tensor ``x`` [T, N, ...] of at most 32 bits."""
    dense = _as_float32(x)
    out = empty_step_major(dense, torch.float32)
    x_flat = steps_by_neurons(dense).numpy()
    out_flat = steps_by_neurons(out).numpy()
    neurons = x_flat.shape[1]
    first_analog = {"spike": neurons, "analog": 0, "dual": neurons // 2}[path]
    for analog, begin, end in ((False, 0, first_analog), (True, first_analog, neurons)):
        if begin < end:
            # A spike is the same with every surrogate.
            family = FAMILIES[p.surrogate.name] if analog else RECTANGLE
            kernel = forward_kernel(family, analog)
            kernel(x_flat, out_flat, begin, end, _chunks(), _scalars(p), _flags(p))
    return out.to(x.dtype)


def backward(grad: Tensor, x: Tensor, p: LIFParameters) -> Tensor:
    """Gradient with respect to ``x``, from that with respect to the output."""
    dense = _as_float32(x)
    if grad.stride() == dense.stride() and grad.dtype == torch.float32:
        grad_dense, grad_x = grad, empty_step_major(dense, torch.float32)
    else:  # into a copy's own memory
        grad_dense = grad_x = torch.empty_like(dense).copy_(grad)
    arrays = (steps_by_neurons(a).numpy() for a in (grad_dense, dense, grad_x))
    kernel = backward_kernel(FAMILIES[p.surrogate.name], p.detach_reset)
    kernel(*arrays, _chunks(), _scalars(p), _flags(p))
    return grad_x.to(x.dtype)
