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

BLOCK = 256  # neurons; their scratch and four time steps fit a 32 KiB L1 cache
SUMMANDS = 64  # that float32 adds up before their sum goes to one in float64

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
#   UNPOOLED  one time step's gradient of the output, from that of its max-pooling
V, MEAN, SCALE, BIAS, OFFSET, SUMS, PRODUCTS, TOTAL, STEP, UNPOOLED = range(
    0, 10 * BLOCK, BLOCK
)
SLOPE = BIAS
SCRATCH = 10 * BLOCK


class NeuronValues(NamedTuple):
    """Parameters of a neuron as the kernels take them, in float32.

    Attributes:
        tau: Membrane time constant.
        theta: Firing threshold.
        rest: Membrane at rest and, with a hard reset, after a spike.
        width: Width of the surrogate; D of an integer neuron.
        by_tau: 1 / tau.
        by_theta: 1 / theta.
        by_width: 1 / width.
        soft_reset: Whether a spike subtracts theta.
        decay_input: Whether the leak also applies to the input.
    """

    tau: np.float32
    theta: np.float32
    rest: np.float32
    width: np.float32
    by_tau: np.float32
    by_theta: np.float32
    by_width: np.float32
    soft_reset: bool
    decay_input: bool


class ChannelValues(NamedTuple):
    """Per-channel values, and the channel of neuron n: n // run % C.

    Attributes:
        values: float32 [P, rows, C], such as mean, scale and bias, of each of P equal
            parts of the samples.
        run: Neighbours in memory that share a channel: H W, or 1 (channels last).
    """

    values: np.ndarray
    run: int


class Windows(NamedTuple):
    """Where max-pooling of channels-last maps found its maxima.

    Window (oh, ow) covers rows 2 oh - 1 to 2 oh + 1 and columns 2 ow - 1 to 2 ow + 1 of
    a map; the place of (h, w) in it is 3 (h - 2 oh + 1) + (w - 2 ow + 1), from 0 to 8.

    Attributes:
        places: uint8 [T, N ceil(H/2) ceil(W/2) C].
        height: H.
        width: W.
    """

    places: np.ndarray
    height: int
    width: int


SURROGATES = {"rectangle": 0, "triangle": 1, "atan": 2, "sigmoid": 3}
FAMILIES = {**SURROGATES, "integer": 4, "fraction": 5}  # see LIFParameters
RECTANGLE, TRIANGLE, ATAN, INTEGER, FRACTION = 0, 1, 2, 4, 5

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
LOWEST = np.float32(-math.inf)
PI = np.float32(math.pi)
TAN_1_8, TAN_3_8 = np.float32(math.tan(PI / 8)), np.float32(math.tan(3 * PI / 8))
LOG2_E = np.float32(1 / math.log(2))
LOG_2_HIGH = np.float32(355 / 512)  # exact products with integers; the rest is small
LOG_2_LOW = np.float32(math.log(2) - 355 / 512)
EXP_MIN, EXP_MAX = np.float32(-87), np.float32(88)
HALF_TO_EVEN = np.float32(3 << 22)  # float32 has no fractions from here to 2^24
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
def over_tau(x, neuron, exact):  # type: ignore[no-untyped-def]
    """Divide by tau; a product is faster, and the same if 1 / tau is ``exact``."""
    return x * neuron.by_tau if exact else x / neuron.tau


@jit
def over_width(x, neuron, exact):  # type: ignore[no-untyped-def]
    """Divide by the width of the surrogate, likewise."""
    return x * neuron.by_width if exact else x / neuron.width


@jit
def over_theta(x, neuron, exact):  # type: ignore[no-untyped-def]
    """Divide by the threshold of an integer neuron, likewise."""
    return x * neuron.by_theta if exact else x / neuron.theta


@jit
def clamped(u, neuron, exact):  # type: ignore[no-untyped-def]
    """clamp(u / theta, 0, D) of an integer neuron; NaN passes."""
    ratio = over_theta(u, neuron, exact)
    return ZERO if ratio < ZERO else (neuron.width if ratio > neuron.width else ratio)


@jit
def rounded(x):  # type: ignore[no-untyped-def]
    """Round 0 <= x <= 2^22, half to even, also inside vectors; NaN passes."""
    return (x + HALF_TO_EVEN) - HALF_TO_EVEN


@jit
def counts(u, neuron, exact):  # type: ignore[no-untyped-def]
    """Whether an integer neuron is between its smallest and its largest output."""
    ratio = over_theta(u, neuron, exact)
    return ratio > ZERO and ratio < neuron.width


@jit
def spike_output(u, neuron, family, exact):  # type: ignore[no-untyped-def]
    """Output of the spiking path for the membrane ``u``."""
    if family >= INTEGER:
        count = rounded(clamped(u, neuron, exact))
        return over_width(count, neuron, exact) if family == FRACTION else count
    return ONE if u - neuron.theta >= ZERO else ZERO


@jit
def analog_output(u, neuron, family, exact):  # type: ignore[no-untyped-def]
    """Output of the analog path."""
    if family >= INTEGER:
        ratio = clamped(u, neuron, exact)
        return over_width(ratio, neuron, exact) if family == FRACTION else ratio
    return antiderivative(u - neuron.theta, neuron, family, exact)


@jit
def slope(u, neuron, family, exact):  # type: ignore[no-untyped-def]
    """Derivative of both outputs."""
    if family >= INTEGER:
        inside = neuron.by_theta * neuron.by_width
        inside = inside if family == FRACTION else neuron.by_theta
        return inside if counts(u, neuron, exact) else ZERO
    return derivative(u - neuron.theta, neuron, family, exact)


@jit
def derivative(v, neuron, family, exact):  # type: ignore[no-untyped-def]
    """h(v) of surrogate.py."""
    a = neuron.width
    if family == RECTANGLE:
        return neuron.by_width if abs(v) < a * HALF else ZERO
    if family == TRIANGLE:
        side = ONE - over_width(abs(v), neuron, exact)
        return over_width(ZERO if side < ZERO else side, neuron, exact)
    if family == ATAN:
        scaled = PI * HALF * a * v
        return a * HALF / (ONE + scaled * scaled)
    g = ONE / (ONE + exp(-a * v))
    return a * g * (ONE - g)


@jit
def antiderivative(v, neuron, family, exact):  # type: ignore[no-untyped-def]
    """g(v) of surrogate.py."""
    a = neuron.width
    if family == RECTANGLE:
        ramp = over_width(v, neuron, exact) + HALF
        return ZERO if ramp < ZERO else (ONE if ramp > ONE else ramp)
    if family == TRIANGLE:
        side = ONE - over_width(abs(v), neuron, exact)
        tail = ZERO if side < ZERO else side * side * HALF
        return tail if v < ZERO else ONE - tail
    if family == ATAN:
        return atan(PI * HALF * a * v) / PI + HALF
    return ONE / (ONE + exp(-a * v))


@jit
def charge(v, x, neuron, family, exact):  # type: ignore[no-untyped-def]
    """Membrane u[t] from v[t-1] and the input x[t]."""
    if family >= INTEGER:
        return (ONE - neuron.by_tau) * v + x
    if neuron.decay_input:
        return v + over_tau(x - (v - neuron.rest), neuron, exact)
    return v - over_tau(v - neuron.rest, neuron, exact) + x


@jit
def reset(u, neuron, family, exact):  # type: ignore[no-untyped-def]
    """Membrane v[t] from u[t]: reset where it spikes."""
    if family >= INTEGER:
        return u - neuron.theta * rounded(clamped(u, neuron, exact))
    after = u - neuron.theta if neuron.soft_reset else neuron.rest
    return after if u - neuron.theta >= ZERO else u


@jit
def current(x, i, scratch, normalized):  # type: ignore[no-untyped-def]
    """Input current of a neuron: ``x``, or its batch norm."""
    if normalized:
        return (x - scratch[MEAN + i]) * scratch[SCALE + i] + scratch[BIAS + i]
    return x


@jit
def spike(x, out, scratch, neuron, family, exact, normalized):  # type: ignore[no-untyped-def]
    """One step of the spiking path: from input to output, membranes in ``scratch``."""
    for i in range(x.size):
        input_current = current(x[i], i, scratch, normalized)
        u = charge(scratch[V + i], input_current, neuron, family, exact)
        out[i] = spike_output(u, neuron, family, exact)
        scratch[V + i] = reset(u, neuron, family, exact)


@jit
def smooth(x, out, scratch, neuron, family, exact, normalized):  # type: ignore[no-untyped-def]
    """One step of the analog path, likewise."""
    for i in range(x.size):
        input_current = current(x[i], i, scratch, normalized)
        u = charge(scratch[V + i], input_current, neuron, family, exact)
        out[i] = analog_output(u, neuron, family, exact)
        scratch[V + i] = reset(u, neuron, family, exact)


@jit
def recompute(x, u, scratch, neuron, family, exact, normalized):  # type: ignore[no-untyped-def]
    """One recomputed step of the forward pass: membranes ``u`` before the reset."""
    for i in range(x.size):
        input_current = current(x[i], i, scratch, normalized)
        charged = charge(scratch[V + i], input_current, neuron, family, exact)
        u[i] = charged
        scratch[V + i] = reset(charged, neuron, family, exact)


@jit
def propagate(u, grad, grad_v, grad_x, neuron, family, exact, detach_reset):  # type: ignore[no-untyped-def]
    """One step back in time, by the chain rule.

    With o[t] the output (s[t] or g(u[t] - theta)), h = h(u[t] - theta), and G(.) the
    gradient of the loss::

        G(u[t])   = G(o[t]) h + G(v[t]) dv[t]/du[t]
        G(x[t])   = G(u[t]) du[t]/dx[t],      du/dx = 1, or 1 / tau with decay_input
        G(v[t-1]) = G(u[t]) (1 - 1 / tau)

        dv[t]/du[t] = 1 - s[t] - (1 if not detach_reset) h (u[t] - rest)   hard reset
                    = 1        - (1 if not detach_reset) h theta           soft reset

    An integer neuron has a soft reset, and where 0 < u / theta < D no gradient flows
    through it unless detach_reset: what is subtracted grows as fast as u.

    Both paths share it, because do/du = ds/du = h and their membranes are the same.

    Args:
        u: Membranes u[t] of a block.
        grad: G(o[t]).
        grad_v: G(v[t]), replaced by G(v[t-1]).
        grad_x: G(x[t]), written.
        neuron: NeuronValues.
        family: One of FAMILIES.
        exact: Whether products by inverses are exact.
        detach_reset: Whether no gradient flows through s[t] in the reset.
    """
    leak = ONE - neuron.by_tau  # du[t] / dv[t-1]
    input_gain = neuron.by_tau if neuron.decay_input else ONE  # du[t] / dx[t]
    after_spike = ONE if neuron.soft_reset else ZERO  # dv[t] / du[t] where it fired
    for i in range(u.size):
        h = slope(u[i], neuron, family, exact)
        kept = after_spike if u[i] - neuron.theta >= ZERO else ONE
        if not detach_reset and family >= INTEGER:
            kept = ZERO if counts(u[i], neuron, exact) else ONE
        elif not detach_reset:
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
def spread_channels(norm, part, low, size, scratch):  # type: ignore[no-untyped-def]
    """Write the channels' values to ``scratch``, for ``size`` neurons from ``low`` on.

    Row r of the part's values goes to the r-th row from MEAN on.
    """
    rows, channels = norm.values.shape[1:]
    for row in range(rows):
        target = scratch[MEAN + row * BLOCK : MEAN + row * BLOCK + size]
        done = 0
        while done < size:
            channel = (low + done) // norm.run % channels
            if norm.run == 1:
                stretch = min(channels - channel, size - done)
                values = norm.values[part, row, channel : channel + stretch]
                copy(values, target[done : done + stretch])
            else:
                stretch = min(norm.run - (low + done) % norm.run, size - done)
                value = norm.values[part, row, channel]
                fill_row(target[done : done + stretch], value)
            done += stretch


@jit
def gather_channels(scratch, low, size, norm, sums):  # type: ignore[no-untyped-def]
    """Add SUMS and PRODUCTS of ``size`` neurons from ``low`` on per channel; zero them.

    ``sums`` [2, C] is float64: SUMMANDS numbers fit float32, the sum over all blocks of
    a chunk does not.
    """
    channels = norm.values.shape[2]
    for which in range(2):
        start = SUMS + which * BLOCK
        block = scratch[start : start + size]
        done = 0
        while done < size:
            channel = (low + done) // norm.run % channels
            if norm.run == 1:
                stretch = min(channels - channel, size - done)
                part = block[done : done + stretch]
                add(part, sums[which, channel : channel + stretch])
            else:
                stretch = min(norm.run - (low + done) % norm.run, size - done)
                sums[which, channel] += block[done : done + stretch].sum()
            done += stretch
        fill_row(block, ZERO)


@jit
def rows_of_sums(norm, steps):  # type: ignore[no-untyped-def]
    """Blocks of a column whose sums over ``steps`` time steps are gathered at once."""
    return max(1, SUMMANDS // steps) if norm.run == 1 else 1


@jit
def chunk_bounds(neurons, norm, task, chunks):  # type: ignore[no-untyped-def]
    """Part and chunk of a task, and the bounds of the chunk's ``neurons``."""
    part, chunk = task // chunks, task % chunks
    size = neurons // norm.values.shape[0]
    first = part * size + size * chunk // chunks
    last = part * size + size * (chunk + 1) // chunks
    return part, chunk, first, last


@jit
def columns_of(norm):  # type: ignore[no-untyped-def]
    """Distance of the blocks of a column, which hold the same channels.

    Channels last, a column's channels are spread once, and its sums gathered rarely.
    Contiguous, each block has channels of its own.
    """
    channels = norm.values.shape[2]
    return channels * max(1, BLOCK // channels) if norm.run == 1 else BLOCK


@jit
def fire_row(x, start, padded, norm, part, scratch, neuron, family, exact, analog):  # type: ignore[no-untyped-def]
    """Outputs of a row of maps in all time steps.

    The row begins at neuron ``start`` of ``x`` [T or 1, neurons]. The outputs go
    between the first and the last column of ``padded`` [T, (W + 2) C].
    """
    channels, stride = norm.values.shape[2], columns_of(norm)
    size = padded.shape[1] - 2 * channels
    for column in range(0, min(stride, size), BLOCK):
        width = min(BLOCK, stride - column)
        spread_channels(norm, part, column, width, scratch)
        for low in range(column, size, stride):
            high = min(low + width, size)
            fill_row(scratch[V : V + width], neuron.rest)
            for t in range(padded.shape[0]):
                x_t = x[min(t, x.shape[0] - 1), start + low : start + high]
                out_t = padded[t, channels + low : channels + high]
                if analog:
                    smooth(x_t, out_t, scratch, neuron, family, exact, True)
                else:
                    spike(x_t, out_t, scratch, neuron, family, exact, True)


@jit
def take_largest(row, place, best, window, fresh):  # type: ignore[no-untyped-def]
    """Merge three neighbours into the maxima of the windows around them.

    Of equal values the first one counts, and NaN as the largest, as in torch.

    Args:
        row: The three neighbours' channels, [3 C].
        place: Place of the first neighbour in the windows.
        best: Maxima so far [C], replaced.
        window: Their places, likewise.
        fresh: Whether there are none so far.
    """
    size = best.size
    for i in range(size):
        largest, where = row[i], place
        middle, right = row[size + i], row[2 * size + i]
        larger = middle > largest or middle != middle
        largest = middle if larger else largest
        where = np.uint8(place + 1) if larger else where
        larger = right > largest or right != right
        largest = right if larger else largest
        where = np.uint8(place + 2) if larger else where
        larger = fresh or largest > best[i] or largest != largest
        best[i] = largest if larger else best[i]
        window[i] = where if larger else window[i]


@jit
def pool_row(row, place, best, window, channels, fresh):  # type: ignore[no-untyped-def]
    """Merge a row of a map into a row of windows, see :func:`take_largest`.

    Args:
        row: The row [W + 2, C], flat, with a column of LOWEST at either end.
        place: 0, 3 or 6, as the row is the windows' first, second or third.
        best: Maxima so far [ceil(W/2), C], flat.
        window: Their places, likewise.
        channels: C.
        fresh: Whether there are none so far.
    """
    for low in range(0, best.size, channels):
        high = low + channels
        three = row[2 * low : 2 * low + 3 * channels]
        take_largest(three, place, best[low:high], window[low:high], fresh)


@jit
def take_where(window, place, grad, grad_x, fresh):  # type: ignore[no-untyped-def]
    """Add the gradient of a window to ``grad_x`` where its maximum was at ``place``.

    With ``fresh`` there is nothing in ``grad_x`` so far.
    """
    for i in range(grad.size):
        share = grad[i] if window[i] == place else ZERO
        grad_x[i] = share if fresh else grad_x[i] + share


@jit
def unpool(grad, places, low, windows, channels, grad_x):  # type: ignore[no-untyped-def]
    """Fill ``grad_x``, the gradient of neurons from ``low`` on, from that of windows.

    A neuron adds up the windows whose maximum it is. In even rows and columns it lies
    in the middle of one window, in odd ones on the border of two.

    Args:
        grad: Gradient of the pooled output [N ceil(H/2) ceil(W/2) C] in a time step.
        places: Of the maxima in their windows, likewise.
        low: The first neuron.
        windows: Windows; only the sides of the maps are read.
        channels: C.
        grad_x: A block of the gradient of the output.
    """
    height, width = windows.height, windows.width
    rows, columns = (height + 1) // 2, (width + 1) // 2
    position, channel = low // channels, low % channels
    h, w = position // width % height, position % width
    origin = position // width // height * rows * columns  # of the map's windows
    done = 0
    while done < grad_x.size:
        stretch = min(channels - channel, grad_x.size - done)
        target = grad_x[done : done + stretch]
        top, left = h // 2, w // 2
        for oh in range(top, min((h + 1) // 2 + 1, rows)):
            for ow in range(left, min((w + 1) // 2 + 1, columns)):
                place = np.uint8(3 * (h - 2 * oh + 1) + w - 2 * ow + 1)
                first = (origin + oh * columns + ow) * channels + channel
                last = first + stretch
                fresh = oh == top and ow == left
                take_where(places[first:last], place, grad[first:last], target, fresh)
        done, channel, w = done + stretch, 0, w + 1
        if w == width:
            w, h = 0, h + 1
        if h == height:
            h, origin = 0, origin + rows * columns


@jit
def output_gradient(grad, t, low, size, windows, channels, scratch, pooled):  # type: ignore[no-untyped-def]
    """Gradient of a block's output in time step ``t``, from ``grad`` of its pooling."""
    if pooled:
        block = scratch[UNPOOLED : UNPOOLED + size]
        unpool(grad[t], windows.places[t], low, windows, channels, block)
        return block
    return grad[t, low : low + size]


@jit
def propagate_block(  # type: ignore[no-untyped-def]
    grad,
    x,
    grad_x,
    low,
    size,
    membranes,
    scratch,
    neuron,
    family,
    exact,
    detach_reset,
    normalized,
    windows,
    channels,
    pooled,
):
    """Fill a block of ``grad_x`` in all time steps, and add up its sums.

    The arguments are those of :func:`backward_kernel`, but for the block of ``size``
    neurons from ``low`` on and its memory, ``membranes`` [T, BLOCK] and ``scratch``.
    """
    steps, held = grad.shape[0], x.shape[0] < grad.shape[0]
    fill_row(scratch[V : V + size], neuron.rest)
    for t in range(steps):
        x_t = x[min(t, x.shape[0] - 1), low : low + size]
        u = membranes[t, :size]
        recompute(x_t, u, scratch, neuron, family, exact, normalized)
    mean = scratch[MEAN : MEAN + size]
    plain = scratch[SUMS : SUMS + size]
    products = scratch[PRODUCTS : PRODUCTS + size]
    grad_v = scratch[V : V + size]
    total = scratch[TOTAL : TOTAL + size]
    step = scratch[STEP : STEP + size]
    fill_row(grad_v, ZERO)
    if held:
        fill_row(total, ZERO)
    for t in range(steps - 1, -1, -1):
        u = membranes[t, :size]
        grad_t = output_gradient(grad, t, low, size, windows, channels, scratch, pooled)
        if held:  # two calls: a choice of arrays would forbid vectors
            propagate(u, grad_t, grad_v, step, neuron, family, exact, detach_reset)
            add(step, total)
            continue
        target = grad_x[t, low : low + size]
        propagate(u, grad_t, grad_v, target, neuron, family, exact, detach_reset)
        if normalized:
            x_t = x[t, low : low + size]
            accumulate(target, x_t, mean, plain, products)
    if held:
        copy(total, grad_x[0, low : low + size])
        if normalized:
            accumulate(total, x[0, low : low + size], mean, plain, products)


# The kernels. Arguments of the functions around them are constants to the compiler.
# Each part of the samples is cut into ``chunks``, and a chunk is walked column by
# column, each from its first row to its last.


@functools.cache
def forward_kernel(family: int, exact: bool, normalized: bool) -> Callable[..., None]:
    """Return the kernel that fills ``out``.

    ``x`` and ``out`` are float32 [T, neurons], ``x`` also [1, neurons] for an input
    that is held for all time steps. Parts from ``analog_from`` on take the analog path.
    """

    @parallel()
    def kernel(x, out, chunks, neuron, norm, analog_from):  # type: ignore[no-untyped-def]
        stride = columns_of(norm)
        for task in prange(norm.values.shape[0] * chunks):
            part, _, first, last = chunk_bounds(x.shape[1], norm, task, chunks)
            scratch = np.empty(SCRATCH, np.float32)
            for column in range(first, min(first + stride, last), BLOCK):
                width = min(BLOCK, first + stride - column)
                for low in range(column, last, stride):
                    high = min(low + width, last)
                    if normalized and (low == column or norm.run > 1):
                        spread_channels(norm, part, low, high - low, scratch)
                    fill_row(scratch[V : V + width], neuron.rest)
                    for t in range(out.shape[0]):
                        x_t = x[min(t, x.shape[0] - 1), low:high]
                        out_t = out[t, low:high]
                        if part < analog_from:
                            spike(
                                x_t, out_t, scratch, neuron, family, exact, normalized
                            )
                        else:
                            smooth(
                                x_t, out_t, scratch, neuron, family, exact, normalized
                            )

    return kernel


@functools.cache
def pooled_forward_kernel(family: int, exact: bool) -> Callable[..., None]:
    """Return the kernel that fills max-pooled outputs and the places of the maxima.

    ``x`` is float32 [T, N H W C], or of one step that is held; ``out`` and the uint8
    ``window`` are [T, N, ceil(H/2), ceil(W/2) C]. A thread computes the output of a row
    of maps into scratch memory and merges it into the one or two rows of windows that
    cover it. So it computes each row once, but for the one above its first windows.
    """

    @parallel()
    def kernel(x, out, window, height, chunks, neuron, norm, analog_from):  # type: ignore[no-untyped-def]
        channels = norm.values.shape[2]
        steps, samples, rows, _ = out.shape
        size = x.shape[1] // (samples * height)
        for task in prange(norm.values.shape[0] * chunks):
            part, _, first, last = chunk_bounds(samples * rows, norm, task, chunks)
            scratch = np.empty(SCRATCH, np.float32)
            padded = np.full((steps, size + 2 * channels), LOWEST)
            for row in range(first, last):
                n, oh = row // rows, row % rows
                begun = row > first and oh > 0  # when the windows above were done
                top = 2 * oh if begun else max(2 * oh - 1, 0)
                for h in range(top, min(2 * oh + 2, height)):
                    low, analog = (n * height + h) * size, part >= analog_from
                    fire_row(
                        x,
                        low,
                        padded,
                        norm,
                        part,
                        scratch,
                        neuron,
                        family,
                        exact,
                        analog,
                    )
                    place = np.uint8(3 * (h - 2 * oh + 1))
                    fresh = h == top and not begun
                    below = h == 2 * oh + 1 and oh + 1 < rows and row + 1 < last
                    for t in range(steps):
                        row_t, best, where = padded[t], out[t, n], window[t, n]
                        pool_row(row_t, place, best[oh], where[oh], channels, fresh)
                        if below:
                            best, where = best[oh + 1], where[oh + 1]
                            pool_row(row_t, np.uint8(0), best, where, channels, True)

    return kernel


@functools.cache
def backward_kernel(
    family: int,
    exact: bool,
    detach_reset: bool,
    normalized: bool,
    pooled: bool = False,
) -> Callable[..., None]:
    """Return the kernel that fills ``grad_x``.

    It recomputes the membranes u [T, BLOCK] of a block, then calls :func:`propagate`
    from the last time step to the first. ``grad`` and ``x`` are float32 [T, neurons].
    ``grad_x`` has the shape of ``x``; if that is [1, neurons] it is summed over time.
    With ``normalized`` it is G(y) of :func:`denormalize`, and ``sums`` [P, chunks, 2,
    C] in float64 takes S and P of every channel, over the neurons of each chunk.
    With ``pooled`` the output was max-pooled, channels last: ``grad`` is [T, pooled
    neurons], and ``windows`` says where the maxima were.
    """

    @parallel()
    def kernel(grad, x, grad_x, chunks, neuron, norm, sums, windows):  # type: ignore[no-untyped-def]
        stride, rows = columns_of(norm), rows_of_sums(norm, x.shape[0])
        channels = norm.values.shape[2]
        for task in prange(norm.values.shape[0] * chunks):
            part, chunk, first, last = chunk_bounds(x.shape[1], norm, task, chunks)
            membranes = np.empty((grad.shape[0], BLOCK), np.float32)
            scratch = np.empty(SCRATCH, np.float32)
            fill_row(scratch[SUMS : SUMS + 2 * BLOCK], ZERO)
            for column in range(first, min(first + stride, last), BLOCK):
                width = min(BLOCK, first + stride - column)
                for row, low in enumerate(range(column, last, stride), 1):
                    size = min(width, last - low)
                    if normalized and (low == column or norm.run > 1):
                        spread_channels(norm, part, low, size, scratch)
                    propagate_block(
                        grad,
                        x,
                        grad_x,
                        low,
                        size,
                        membranes,
                        scratch,
                        neuron,
                        family,
                        exact,
                        detach_reset,
                        normalized,
                        windows,
                        channels,
                        pooled,
                    )
                    if normalized and (row % rows == 0 or low + stride >= last):
                        gather_channels(scratch, low, width, norm, sums[part, chunk])

    return kernel


@functools.cache
def statistics_kernel() -> Callable[..., None]:
    """Return the kernel that adds up x - shift and its square for each channel.

    Mean and variance follow from both; with a shift near the mean nothing cancels, as
    it would in E[x^2] - E[x]^2. ``x`` is float32 [T, neurons], ``norm`` holds the
    shift, one value per channel; ``sums`` [P, chunks, 2, C] is float64.
    """

    @parallel()
    def kernel(x, chunks, norm, sums):  # type: ignore[no-untyped-def]
        stride, rows = columns_of(norm), rows_of_sums(norm, x.shape[0])
        for task in prange(norm.values.shape[0] * chunks):
            part, chunk, first, last = chunk_bounds(x.shape[1], norm, task, chunks)
            scratch = np.empty(SCRATCH, np.float32)
            fill_row(scratch[SUMS : SUMS + 2 * BLOCK], ZERO)
            for column in range(first, min(first + stride, last), BLOCK):
                width = min(BLOCK, first + stride - column)
                shift = scratch[MEAN : MEAN + width]
                plain = scratch[SUMS : SUMS + width]
                squares = scratch[PRODUCTS : PRODUCTS + width]
                for row, low in enumerate(range(column, last, stride), 1):
                    size = min(width, last - low)
                    if low == column or norm.run > 1:
                        spread_channels(norm, part, low, size, scratch)
                    for t in range(x.shape[0]):
                        x_t = x[t, low : low + size]
                        accumulate_moments(x_t, shift, plain, squares)
                    if row % rows == 0 or low + stride >= last:
                        gather_channels(scratch, low, width, norm, sums[part, chunk])

    return kernel


@functools.cache
def denormalize_kernel() -> Callable[..., None]:
    """Return the kernel that applies :func:`denormalize` to ``grad``, in place.

    ``grad`` and ``x`` are float32 [T, neurons]. ``norm`` holds mean, scale, slope and
    offset, in the order of the rows from MEAN on.
    """

    @parallel()
    def kernel(grad, x, chunks, norm):  # type: ignore[no-untyped-def]
        stride = columns_of(norm)
        for task in prange(norm.values.shape[0] * chunks):
            part, _, first, last = chunk_bounds(x.shape[1], norm, task, chunks)
            scratch = np.empty(SCRATCH, np.float32)
            for column in range(first, min(first + stride, last), BLOCK):
                width = min(BLOCK, first + stride - column)
                for low in range(column, last, stride):
                    high = min(low + width, last)
                    if low == column or norm.run > 1:
                        spread_channels(norm, part, low, high - low, scratch)
                    for t in range(x.shape[0]):
                        denormalize(grad[t, low:high], x[t, low:high], scratch)

    return kernel


@parallel()
def pool_kernel(x, out, window, channels, chunks):  # type: ignore[no-untyped-def]
    """Max-pool ``x`` [M, H, W C] into ``out`` and ``window``, of half the sides."""
    maps, height, size = x.shape
    rows = out.shape[1]
    for chunk in prange(chunks):
        first = maps * rows * chunk // chunks
        last = maps * rows * (chunk + 1) // chunks
        padded = np.full(size + 2 * channels, LOWEST)
        for row in range(first, last):
            m, oh = row // rows, row % rows
            top = max(2 * oh - 1, 0)
            for h in range(top, min(2 * oh + 2, height)):
                copy(x[m, h], padded[channels : channels + size])
                place = np.uint8(3 * (h - 2 * oh + 1))
                pool_row(padded, place, out[m, oh], window[m, oh], channels, h == top)


@parallel()
def unpool_kernel(grad, grad_x, channels, chunks, windows):  # type: ignore[no-untyped-def]
    """Fill ``grad_x``, the gradient of the input of :func:`pool_kernel`; all flat."""
    for chunk in prange(chunks):
        first = grad_x.size * chunk // chunks
        block = grad_x[first : grad_x.size * (chunk + 1) // chunks]
        unpool(grad, windows.places[0], first, windows, channels, block)
