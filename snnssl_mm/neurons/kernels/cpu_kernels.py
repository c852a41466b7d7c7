"""MixedLIF kernels for the CPU, compiled by numba.

A thread takes a range of neurons and walks a cache-sized block of it through all time
steps. The inner loops, one time step of a block each, are functions of one-dimensional
arrays, because only then does the compiler turn them into vector instructions; numpy's
rules of division, which never raise, are a condition for that too. Arithmetic is
float32, in the order of reference.py. A condition that selects a branch is the same for
all neurons of a call, so the compiler moves the branch out of the loop.

Everything is in one file because numba's cache on disk is keyed by the file of the
kernel: a change of a function in another file would not invalidate it. The cache also
requires that closures hold plain numbers, not functions; so the surrogate is a number.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit, prange

BLOCK = 1024  # neurons; the scratch of T = 4 steps then fits a 48 KiB L1 cache

# Scratch memory of a block: rows of BLOCK numbers, one for each neuron, in one array
# (the compiler checks arrays for overlap before it vectorises, and gives up where there
# are many). Names are the offsets of the rows:
#
#   V         membrane v[t] in the forward pass, its gradient in the backward pass
#   MEAN      of the neuron's channel, like the next three (see spread_channels)
#   SCALE     rstd * weight
#   BIAS      bias; denormalize has no bias and keeps SLOPE in its place
#   OFFSET    S / M of denormalize
#   SUMS      sum over time of the values that gather_channels adds up per channel
#   PRODUCTS  sum over time of their products with x - mean, or of their squares
#   TOTAL     gradient of an input that is held for all time steps, summed over time
#   STEP      one time step's summand of TOTAL
V, MEAN, SCALE, BIAS, OFFSET, SUMS, PRODUCTS, TOTAL, STEP = range(0, 9 * BLOCK, BLOCK)
SLOPE = BIAS
SCRATCH = 9 * BLOCK


class NeuronValues(NamedTuple):
    """Parameters of a MixedLIF as the kernels take them, in float32.

    Attributes:
        tau: Membrane time constant.
        theta: Firing threshold.
        rest: Membrane at rest and, with a hard reset, after a spike.
        width: Width of the surrogate.
        soft_reset: Whether a spike subtracts theta.
        decay_input: Whether the leak also applies to the input.
    """

    tau: np.float32
    theta: np.float32
    rest: np.float32
    width: np.float32
    soft_reset: bool
    decay_input: bool


class ChannelValues(NamedTuple):
    """Per-channel values, and the channel of neuron n: n // run % period.

    Attributes:
        values: float32 [rows, period], such as mean, scale and bias.
        period: Channels C; with run = 1, a multiple of C in as many copies.
        run: Neighbours in memory that share a channel: H W, or 1 (channels last).
    """

    values: np.ndarray
    period: int
    run: int


FAMILIES = {"rectangle": 0, "triangle": 1, "atan": 2, "sigmoid": 3}
RECTANGLE, TRIANGLE, ATAN = 0, 1, 2

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
PI = np.float32(math.pi)
TAN_1_8, TAN_3_8 = np.float32(math.tan(PI / 8)), np.float32(math.tan(3 * PI / 8))
LOG2_E = np.float32(1 / math.log(2))
LOG_2_HIGH = np.float32(355 / 512)  # exact products with integers; the rest is small
LOG_2_LOW = np.float32(math.log(2) - 355 / 512)
EXP_MIN, EXP_MAX = np.float32(-87), np.float32(88)
EXPONENT_BIAS, MANTISSA_BITS = np.int32(127), np.int32(23)

jit = njit(error_model="numpy")
parallel = functools.partial(njit, parallel=True, cache=True, error_model="numpy")

# Minimax polynomials in float32, lowest power first, after the range reductions of the
# Cephes library (Moshier 1989): exp(r) - 1 - r on |r| <= log(2) / 2 over r^2, and
# atan(r) - r on |r| <= tan(pi / 8) over r^3. Relative error at most 2e-7.
EXP_0, EXP_1, EXP_2, EXP_3, EXP_4, EXP_5 = (
    np.float32(c)
    for c in (
        5.0000001201e-1,
        1.6666665459e-1,
        4.1665795894e-2,
        8.3334519073e-3,
        1.3981999507e-3,
        1.9875691500e-4,
    )
)
ATAN_0, ATAN_1, ATAN_2, ATAN_3 = (
    np.float32(c)
    for c in (-3.33329491539e-1, 1.99777106478e-1, -1.38776856032e-1, 8.05374449538e-2)
)


@jit
def exp(x):  # type: ignore[no-untyped-def]
    """e^x, also inside vectors, where math.exp would be a call per number."""
    x = EXP_MIN if x < EXP_MIN else (EXP_MAX if x > EXP_MAX else x)  # NaN passes
    power = np.float32(np.floor(x * LOG2_E + HALF))
    r = x - power * LOG_2_HIGH - power * LOG_2_LOW
    p = EXP_0 + r * (EXP_1 + r * (EXP_2 + r * (EXP_3 + r * (EXP_4 + r * EXP_5))))
    # 2^power by way of the exponent bits.
    bits = (np.int32(power) + EXPONENT_BIAS) << MANTISSA_BITS
    return (ONE + r + r * r * p) * np.int32(bits).view(np.float32)


@jit
def atan(x):  # type: ignore[no-untyped-def]
    """Arc tangent, also inside vectors."""
    size = abs(x)
    steep, middle = size > TAN_3_8, size > TAN_1_8
    offset = PI * HALF if steep else (PI * HALF * HALF if middle else ZERO)
    above = -ONE if steep else (size - ONE if middle else size)
    below = size if steep else (size + ONE if middle else ONE)
    r = above / below
    s = r * r
    p = ATAN_0 + s * (ATAN_1 + s * (ATAN_2 + s * ATAN_3))
    angle = offset + (r + r * s * p)
    return -angle if x < ZERO else angle


@jit
def derivative(v, a, family):  # type: ignore[no-untyped-def]
    """h(v) of surrogate.py."""
    if family == RECTANGLE:
        return ONE / a if abs(v) < a * HALF else ZERO
    if family == TRIANGLE:
        side = ONE - abs(v) / a
        return (ZERO if side < ZERO else side) / a
    if family == ATAN:
        scaled = PI * HALF * a * v
        return a * HALF / (ONE + scaled * scaled)
    g = ONE / (ONE + exp(-a * v))
    return a * g * (ONE - g)


@jit
def antiderivative(v, a, family):  # type: ignore[no-untyped-def]
    """g(v) of surrogate.py."""
    if family == RECTANGLE:
        ramp = v / a + HALF
        return ZERO if ramp < ZERO else (ONE if ramp > ONE else ramp)
    if family == TRIANGLE:
        side = ONE - abs(v) / a
        tail = ZERO if side < ZERO else side * side * HALF
        return tail if v < ZERO else ONE - tail
    if family == ATAN:
        return atan(PI * HALF * a * v) / PI + HALF
    return ONE / (ONE + exp(-a * v))


@jit
def charge(v, x, neuron):  # type: ignore[no-untyped-def]
    """Membrane u[t] from v[t-1] and the input x[t]."""
    if neuron.decay_input:
        return v + (x - (v - neuron.rest)) / neuron.tau
    return v - (v - neuron.rest) / neuron.tau + x


@jit
def reset(u, neuron):  # type: ignore[no-untyped-def]
    """Membrane v[t] from u[t]: reset where it spikes."""
    after = u - neuron.theta if neuron.soft_reset else neuron.rest
    return after if u - neuron.theta >= ZERO else u


@jit
def current(x, i, scratch, normalized):  # type: ignore[no-untyped-def]
    """Input current of a neuron: ``x``, or its batch norm."""
    if normalized:
        return (x - scratch[MEAN + i]) * scratch[SCALE + i] + scratch[BIAS + i]
    return x


@jit
def fire(x, out, scratch, neuron, family, analog, normalized):  # type: ignore[no-untyped-def]
    """One step of the forward pass: from input to output, membranes in ``scratch``."""
    for i in range(x.size):
        u = charge(scratch[V + i], current(x[i], i, scratch, normalized), neuron)
        if analog:
            out[i] = antiderivative(u - neuron.theta, neuron.width, family)
        else:
            out[i] = ONE if u - neuron.theta >= ZERO else ZERO
        scratch[V + i] = reset(u, neuron)


@jit
def recompute(x, u, scratch, neuron, normalized):  # type: ignore[no-untyped-def]
    """One recomputed step of the forward pass: membranes ``u`` before the reset."""
    for i in range(x.size):
        charged = charge(scratch[V + i], current(x[i], i, scratch, normalized), neuron)
        u[i] = charged
        scratch[V + i] = reset(charged, neuron)


@jit
def propagate(u, grad, grad_v, grad_x, neuron, family, detach_reset):  # type: ignore[no-untyped-def]
    """One step back in time, by the chain rule.

    With o[t] the output (s[t] or g(u[t] - theta)), h = h(u[t] - theta), and G(.) the
    gradient of the loss::

        G(u[t])   = G(o[t]) h + G(v[t]) dv[t]/du[t]
        G(x[t])   = G(u[t]) du[t]/dx[t],      du/dx = 1, or 1 / tau with decay_input
        G(v[t-1]) = G(u[t]) (1 - 1 / tau)

        dv[t]/du[t] = 1 - s[t] - (1 if not detach_reset) h (u[t] - rest)   hard reset
                    = 1        - (1 if not detach_reset) h theta           soft reset

    Both paths share it, because do/du = ds/du = h and their membranes are the same.

    Args:
        u: Membranes u[t] of a block.
        grad: G(o[t]).
        grad_v: G(v[t]), replaced by G(v[t-1]).
        grad_x: G(x[t]), written.
        neuron: NeuronValues.
        family: Surrogate, one of FAMILIES.
        detach_reset: Whether no gradient flows through s[t] in the reset.
    """
    leak = ONE - ONE / neuron.tau  # du[t] / dv[t-1]
    input_gain = ONE / neuron.tau if neuron.decay_input else ONE  # du[t] / dx[t]
    after_spike = ONE if neuron.soft_reset else ZERO  # dv[t] / du[t] where it fired
    for i in range(u.size):
        h = derivative(u[i] - neuron.theta, neuron.width, family)
        kept = after_spike if u[i] - neuron.theta >= ZERO else ONE
        if not detach_reset:
            kept -= h * (neuron.theta if neuron.soft_reset else u[i] - neuron.rest)
        grad_u = grad[i] * h + grad_v[i] * kept
        grad_x[i] = grad_u * input_gain
        grad_v[i] = grad_u * leak


@jit
def denormalize(grad_y, x, scratch):  # type: ignore[no-untyped-def]
    """Gradient of a batch norm's input from that of its output, in place.

    With y = (x - mean) scale + bias, scale = rstd weight, and sums over the M values of
    a channel S = sum G(y), P = sum G(y) (x - mean)::

        G(x) = scale (G(y) - S / M - (x - mean) rstd^2 P / M)

    The last two terms are the gradient through mean and variance of the batch; they are
    0 for running statistics. The rows hold OFFSET = S / M, SLOPE = rstd^2 P / M.
    """
    for i in range(x.size):
        shifted = grad_y[i] - scratch[OFFSET + i]
        sloped = (x[i] - scratch[MEAN + i]) * scratch[SLOPE + i]
        grad_y[i] = scratch[SCALE + i] * (shifted - sloped)


@jit
def accumulate(values, x, mean, sums, products):  # type: ignore[no-untyped-def]
    """Add up G(y) in ``values`` and G(y) (x - mean): S and P of denormalize."""
    for i in range(x.size):
        sums[i] += values[i]
        products[i] += values[i] * (x[i] - mean[i])


@jit
def accumulate_moments(x, shift, sums, squares):  # type: ignore[no-untyped-def]
    """Add up x - shift and its square."""
    for i in range(x.size):
        difference = x[i] - shift[i]
        sums[i] += difference
        squares[i] += difference * difference


@jit
def copy(values, target):  # type: ignore[no-untyped-def]
    """Copy ``values``; numba's slice assignment is slower."""
    for i in range(values.size):
        target[i] = values[i]


@jit
def fill_row(target, value):  # type: ignore[no-untyped-def]
    """Set all of ``target``; slice assignment is slower here too."""
    for i in range(target.size):
        target[i] = value


@jit
def add(values, sums):  # type: ignore[no-untyped-def]
    """Add ``values`` to ``sums``."""
    for i in range(values.size):
        sums[i] += values[i]


@jit
def spread_channels(norm, low, size, scratch):  # type: ignore[no-untyped-def]
    """Write the channels' values to ``scratch``, for ``size`` neurons from ``low`` on.

    Row r of ``norm.values`` goes to the r-th row from MEAN on. With run = 1 (channels
    last) the values are stored repeatedly, so that a block is one copy; else ``run``
    neighbours get the same value.
    """
    for row in range(norm.values.shape[0]):
        target = scratch[MEAN + row * BLOCK : MEAN + row * BLOCK + size]
        if norm.run == 1:
            first = low % norm.period
            copy(norm.values[row, first : first + size], target)
            continue
        done = 0
        while done < size:
            stretch = min(norm.run - (low + done) % norm.run, size - done)
            value = norm.values[row, (low + done) // norm.run % norm.period]
            fill_row(target[done : done + stretch], value)
            done += stretch


@jit
def gather_channels(block, low, norm, sums):  # type: ignore[no-untyped-def]
    """Add the sums of a block's neurons, the first of which is ``low``, per channel.

    ``sums`` [period] is float64: a block's partial sums are short and fit float32, the
    sum over all blocks of a chunk does not.
    """
    done = 0
    while done < block.size:
        channel = (low + done) // norm.run % norm.period
        if norm.run == 1:
            stretch = min(norm.period - channel, block.size - done)
            add(block[done : done + stretch], sums[channel : channel + stretch])
        else:
            stretch = min(norm.run - (low + done) % norm.run, block.size - done)
            sums[channel] += block[done : done + stretch].sum()
        done += stretch


@jit
def chunk_bounds(begin, end, chunk, chunks):  # type: ignore[no-untyped-def]
    """Bounds of one of ``chunks`` even parts of the neurons ``begin`` to ``end``."""
    size = end - begin
    return begin + size * chunk // chunks, begin + size * (chunk + 1) // chunks


# The kernels. Arguments of the functions around them are constants to the compiler.


@functools.cache
def forward_kernel(family: int, analog: bool, normalized: bool) -> Callable[..., None]:
    """Return the kernel that fills ``out`` for the neurons ``begin`` to ``end``.

    ``x`` and ``out`` are float32 [T, neurons], ``x`` also [1, neurons] for an input
    that is held for all time steps.
    """

    @parallel()
    def kernel(x, out, begin, end, chunks, neuron, norm):  # type: ignore[no-untyped-def]
        for chunk in prange(chunks):
            first, last = chunk_bounds(begin, end, chunk, chunks)
            scratch = np.empty(SCRATCH, np.float32)
            for low in range(first, last, BLOCK):
                high = min(low + BLOCK, last)
                if normalized:
                    spread_channels(norm, low, high - low, scratch)
                fill_row(scratch[V : V + BLOCK], neuron.rest)
                for t in range(out.shape[0]):
                    fire(
                        x[min(t, x.shape[0] - 1), low:high],
                        out[t, low:high],
                        scratch,
                        neuron,
                        family,
                        analog,
                        normalized,
                    )

    return kernel


@functools.cache
def backward_kernel(
    family: int, detach_reset: bool, normalized: bool
) -> Callable[..., None]:
    """Return the kernel that fills ``grad_x`` for the neurons ``begin`` to ``end``.

    It recomputes the membranes u [T, BLOCK] of a block, then calls :func:`propagate`
    from the last time step to the first. ``grad`` and ``x`` are float32 [T, neurons].
    ``grad_x`` has the shape of ``x``; if that is [1, neurons] it is summed over time.
    With ``normalized`` it is G(y) of :func:`denormalize`, and ``sums`` [chunks, 2,
    period] in float64 takes S and P of every channel, over the neurons of each chunk.
    """

    @parallel()
    def kernel(grad, x, grad_x, begin, end, chunks, neuron, norm, sums):  # type: ignore[no-untyped-def]
        steps, held = grad.shape[0], x.shape[0] < grad.shape[0]
        for chunk in prange(chunks):
            first, last = chunk_bounds(begin, end, chunk, chunks)
            membranes = np.empty((steps, BLOCK), np.float32)
            scratch = np.empty(SCRATCH, np.float32)
            for low in range(first, last, BLOCK):
                size = min(BLOCK, last - low)
                if normalized:
                    spread_channels(norm, low, size, scratch)
                fill_row(scratch[V : V + BLOCK], neuron.rest)
                for t in range(steps):
                    x_t = x[min(t, x.shape[0] - 1), low : low + size]
                    recompute(x_t, membranes[t, :size], scratch, neuron, normalized)
                mean = scratch[MEAN : MEAN + size]
                plain = scratch[SUMS : SUMS + size]
                products = scratch[PRODUCTS : PRODUCTS + size]
                grad_v = scratch[V : V + size]
                total = scratch[TOTAL : TOTAL + size]
                step = scratch[STEP : STEP + size]
                fill_row(plain, ZERO)
                fill_row(products, ZERO)
                fill_row(grad_v, ZERO)
                fill_row(total, ZERO)
                for t in range(steps - 1, -1, -1):
                    u, grad_t = membranes[t, :size], grad[t, low : low + size]
                    if held:  # two calls: a choice of arrays would forbid vectors
                        propagate(u, grad_t, grad_v, step, neuron, family, detach_reset)
                        add(step, total)
                        continue
                    target = grad_x[t, low : low + size]
                    propagate(u, grad_t, grad_v, target, neuron, family, detach_reset)
                    if normalized:
                        x_t = x[t, low : low + size]
                        accumulate(target, x_t, mean, plain, products)
                if held:
                    copy(total, grad_x[0, low : low + size])
                    if normalized:
                        accumulate(
                            total[:size], x[0, low : low + size], mean, plain, products
                        )
                if normalized:
                    gather_channels(plain, low, norm, sums[chunk, 0])
                    gather_channels(products, low, norm, sums[chunk, 1])

    return kernel


@functools.cache
def statistics_kernel() -> Callable[..., None]:
    """Return the kernel that adds up x - shift and its square for each channel.

    Mean and variance follow from both; with a shift near the mean nothing cancels, as
    it would in E[x^2] - E[x]^2. ``x`` is float32 [T, neurons], ``norm`` holds the
    shift, one value per channel; ``sums`` [chunks, 2, period] is float64.
    """

    @parallel()
    def kernel(x, begin, end, chunks, norm, sums):  # type: ignore[no-untyped-def]
        for chunk in prange(chunks):
            first, last = chunk_bounds(begin, end, chunk, chunks)
            scratch = np.empty(SCRATCH, np.float32)
            for low in range(first, last, BLOCK):
                size = min(BLOCK, last - low)
                spread_channels(norm, low, size, scratch)
                shift = scratch[MEAN : MEAN + size]
                plain = scratch[SUMS : SUMS + size]
                squares = scratch[PRODUCTS : PRODUCTS + size]
                fill_row(plain, ZERO)
                fill_row(squares, ZERO)
                for t in range(x.shape[0]):
                    accumulate_moments(x[t, low : low + size], shift, plain, squares)
                gather_channels(plain, low, norm, sums[chunk, 0])
                gather_channels(squares, low, norm, sums[chunk, 1])

    return kernel


@functools.cache
def denormalize_kernel() -> Callable[..., None]:
    """Return the kernel that applies :func:`denormalize` to ``grad``, in place.

    ``grad`` and ``x`` are float32 [T, neurons]. ``norm`` holds mean, scale, slope and
    offset, in the order of the rows from MEAN on.
    """

    @parallel()
    def kernel(grad, x, begin, end, chunks, norm):  # type: ignore[no-untyped-def]
        for chunk in prange(chunks):
            first, last = chunk_bounds(begin, end, chunk, chunks)
            scratch = np.empty(SCRATCH, np.float32)
            for low in range(first, last, BLOCK):
                high = min(low + BLOCK, last)
                spread_channels(norm, low, high - low, scratch)
                for t in range(x.shape[0]):
                    denormalize(grad[t, low:high], x[t, low:high], scratch)

    return kernel
