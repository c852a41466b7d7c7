"""MixedLIF and MixedILIF on any input: the kernel against the reference in float64.

Inputs are multiples of 1/8 and the time constant a power of two, so that no membrane is
rounded and every spike has to be the same.
"""

import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from lif_cases import channels_last, contiguous, misaligned, strided, time_second

from snnssl_mm.neurons import MixedILIF, MixedLIF
from snnssl_mm.neurons.surrogate import DEFAULT_WIDTH

EXTREME = (2.0**100, -(2.0**100), 3e38, -3e38, 1e-45, float("inf"), float("-inf"))
LAYOUTS = (contiguous, channels_last, time_second, strided, misaligned)
BINARY = st.fixed_dictionaries(
    dict(
        tau=st.sampled_from([1.0, 2.0]),
        v_threshold=st.sampled_from([0.5, 1.0]),
        v_reset=st.sampled_from([0.0, -0.25, None]),
        decay_input=st.booleans(),
        detach_reset=st.booleans(),
        surrogate=st.sampled_from(sorted(DEFAULT_WIDTH)),
    )
)
INTEGER = st.fixed_dictionaries(
    dict(
        tau=st.sampled_from([1.0, 4 / 3, 2.0]),
        v_threshold=st.sampled_from([0.5, 1.0]),
        levels=st.integers(1, 8),
        normalize=st.booleans(),
        detach_reset=st.booleans(),
    )
)
OPTIONS = BINARY | INTEGER


def run(path, backend, x, grad, options):
    """Output and gradient in float64."""
    kind = MixedILIF if "levels" in options else MixedLIF
    neuron = kind(backend=backend, **options)
    neuron.path = path
    leaf = x.detach().requires_grad_()
    out = neuron(leaf)
    out.backward(grad.to(out.dtype))
    assert out.dtype == leaf.grad.dtype == x.dtype
    return out.detach().double(), leaf.grad.double()


def multiples(shape, seed):
    """Random multiples of 1/8 between -2 and 2."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-16, 17, shape, generator=generator) / 8


@given(
    options=OPTIONS,
    path=st.sampled_from(["spike", "analog", "dual"]),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    layout=st.sampled_from(LAYOUTS),
    steps=st.integers(1, 9),
    samples=st.integers(1, 4),
    sides=st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 3)),
    seed=st.integers(0, 2**31),
)
def test_any_shape_type_and_layout(
    options, path, dtype, layout, steps, samples, sides, seed
):
    shape = (steps, samples * (2 if path == "dual" else 1), *sides)
    x, grad = (layout(multiples(shape, seed + k).to(dtype)) for k in (0, 1))
    exact = run(path, "torch", x.double(), grad.double(), options)
    found = run(path, "cpu", x, grad, options)
    bound = {torch.float32: 2e-6, torch.float16: 2**-10, torch.bfloat16: 2**-7}[dtype]
    torch.testing.assert_close(found[0], exact[0], rtol=bound, atol=bound)
    scale = max(float(exact[1].abs().max()), 1.0)
    torch.testing.assert_close(found[1], exact[1], rtol=4 * bound, atol=bound * scale)
    spiking = slice(0, samples) if path == "dual" else slice(None)
    if path != "analog":
        rounded = exact[0].to(dtype).double()  # n / D
        assert torch.equal(found[0][:, spiking], rounded[:, spiking])


@given(
    options=OPTIONS,
    path=st.sampled_from(["spike", "analog"]),
    steps=st.integers(1, 6),
    value=st.sampled_from([*EXTREME, float("nan")]),
    when=st.integers(0, 5),
    seed=st.integers(0, 2**31),
)
def test_extreme_values_stay_where_they_are(options, path, steps, value, when, seed):
    """As in the reference; other neurons and earlier steps do not see them."""
    assume(when < steps)
    finite = abs(value) < float("inf")
    if not finite:  # the gate's gradient would multiply 0 and infinity
        options = {**options, "detach_reset": True}
    x, grad = multiples((steps, 2, 3), seed), multiples((steps, 2, 3), seed + 1)
    normal = run(path, "cpu", x, grad, options)
    x[when, 0, 1] = value
    found = run(path, "cpu", x, grad, options)
    expected = run(path, "torch", x, grad, options)
    for k in range(1 + finite):  # a gradient that meets NaN or infinity may be either
        torch.testing.assert_close(
            found[k], expected[k], rtol=1e-5, atol=1e-5, equal_nan=True
        )
    assert torch.equal(found[0][:when], normal[0][:when])
    others = torch.ones(2, 3, dtype=torch.bool)
    others[0, 1] = False
    for k in (0, 1):
        assert torch.equal(found[k][:, others], normal[k][:, others])
    if value > 1e30 and options.get("v_reset") is not None and path == "spike":
        assert found[0][when:].isfinite().all()
        assert found[0][when, 0, 1] == 1
