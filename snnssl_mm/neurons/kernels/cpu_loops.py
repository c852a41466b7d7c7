"""Inner loops of the CPU kernels: one time step of a block of neurons each.

They are functions of one-dimensional arrays because only then does the compiler turn
them into vector instructions; and numpy's rules of division, which never raise, are a
condition for that too. Arithmetic is float32, in the order of reference.py. What
selects a branch is the same for a whole call, so the branch leaves the loop.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

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
    # 2^power in two steps by way of the exponent bits.
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
def integrate(v, x, u, neuron):  # type: ignore[no-untyped-def]
    """Charge the membranes ``v`` with ``x`` to ``u``, then reset ``v``."""
    tau, theta, rest, _, soft, decay_input = neuron
    for i in range(v.size):
        if decay_input:
            charged = v[i] + (x[i] - (v[i] - rest)) / tau
        else:
            charged = v[i] - (v[i] - rest) / tau + x[i]
        after = charged - theta if soft else rest
        u[i] = charged
        v[i] = after if charged - theta >= ZERO else charged


@jit
def fire(u, out, neuron):  # type: ignore[no-untyped-def]
    """Spikes of the membranes ``u``."""
    theta = neuron[1]
    for i in range(u.size):
        out[i] = ONE if u[i] - theta >= ZERO else ZERO


@jit
def emit(u, out, neuron, family):  # type: ignore[no-untyped-def]
    """Output of the analog path."""
    _, theta, _, width, _, _ = neuron
    for i in range(u.size):
        out[i] = antiderivative(u[i] - theta, width, family)


@jit
def propagate(u, grad, grad_v, grad_x, neuron, family, detach_reset):  # type: ignore[no-untyped-def]
    """One step back in time.

    From the gradients of the output ``grad`` and of the membrane after the step
    ``grad_v`` to those of the input ``grad_x`` and of the membrane before it
    (``grad_v``, in place). Both paths share it: their membranes and h are the same.
    """
    tau, theta, rest, width, soft, decay_input = neuron
    leak = ONE - ONE / tau  # du[t] / dv[t-1]
    input_gain = ONE / tau if decay_input else ONE  # du[t] / dx[t]
    after_spike = ONE if soft else ZERO  # dv[t] / du[t] where it fired
    for i in range(u.size):
        h = derivative(u[i] - theta, width, family)
        kept = after_spike if u[i] - theta >= ZERO else ONE
        if not detach_reset:
            kept -= h * (theta if soft else u[i] - rest)
        grad_u = grad[i] * h + grad_v[i] * kept
        grad_x[i] = grad_u * input_gain
        grad_v[i] = grad_u * leak


@jit
def normalize(x, mean, scale, bias, y):  # type: ignore[no-untyped-def]
    """Apply a batch norm."""
    for i in range(x.size):
        y[i] = (x[i] - mean[i]) * scale[i] + bias[i]


@jit
def denormalize(grad_y, x, mean, scale, shift, slope):  # type: ignore[no-untyped-def]
    """Gradient before a batch norm from that after it, in place."""
    for i in range(x.size):
        grad_y[i] = scale[i] * (grad_y[i] - shift[i] - (x[i] - mean[i]) * slope[i])


@jit
def accumulate(values, x, mean, sums, products):  # type: ignore[no-untyped-def]
    """Add ``values`` and their products with x - mean."""
    for i in range(x.size):
        sums[i] += values[i]
        products[i] += values[i] * (x[i] - mean[i])


@jit
def add(values, sums):  # type: ignore[no-untyped-def]
    """Add ``values`` to ``sums``."""
    for i in range(values.size):
        sums[i] += values[i]


@jit
def add_moments(x, shift, sums, squares):  # type: ignore[no-untyped-def]
    """Add x - shift and its square."""
    for i in range(x.size):
        difference = x[i] - shift[i]
        sums[i] += difference
        squares[i] += difference * difference
