"""The temporal losses on any views: against the naive sum over pairs in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_temporal import ALL_LOSSES, naive_loss

from snnssl_mm.losses import BoundaryTemporalLoss, TimeFlattenedLoss, pairs

SHAPES = st.tuples(st.integers(1, 5), st.integers(2, 40), st.integers(1, 40))


def views(shape, seed, kind, number=2):
    """Correlated views ``[V, T, B, D]`` in float64, representable in float32."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(number, *shape, generator=generator)
    z = z + torch.randn(shape[1:], generator=generator)
    if kind == "one constant":
        z[..., 0] = 0.75
    elif kind == "zero":
        z = torch.zeros_like(z)
    elif kind == "doubled samples":
        z[:, :, 1::2] = z[:, :, : z.shape[2] // 2 * 2 : 2]
    elif kind == "sparse":
        z = z * (torch.rand(z.shape, generator=generator) < 0.2)
    elif kind == "large":
        z = z * 1e6
    elif kind == "tiny":
        z = z * 1e-6
    elif kind == "spikes":
        z = (z > 0).float()
    return z.double()


KINDS = (
    *("normal", "one constant", "zero", "doubled samples", "sparse", "large"),
    *("tiny", "spikes"),
)


def strided(z):
    """The same numbers with other strides."""
    return z.transpose(0, 1).contiguous().transpose(0, 1)


@pytest.mark.parametrize("loss", ALL_LOSSES)
@given(
    shape=SHAPES,
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(KINDS),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
    layout=st.sampled_from([torch.clone, strided]),
    lambd=st.sampled_from([0.0, 5e-3, 1.0]),
    normalize=st.sampled_from(["mean", "paper"]),
    within_view=st.booleans(),
    number=st.integers(2, 4),
)
def test_equals_the_sum_over_pairs(
    loss, shape, seed, kind, dtype, layout, lambd, normalize, within_view, number
):
    if loss is BoundaryTemporalLoss and shape[0] < 2:
        return
    z = views(shape, seed, kind, number).to(dtype)
    options = {"lambd": lambd}
    if loss is not TimeFlattenedLoss:
        options |= {"normalize": normalize, "within_view": within_view}
    ours = loss(**options)
    z_ours, z_naive = layout(z).requires_grad_(), z.double().requires_grad_()
    found, expected = ours(*z_ours), naive_loss(loss, *z_naive, **options)
    found.backward()
    expected.backward()
    rough = 1e-9 if dtype == torch.float64 else 2e-4
    # Of z of variance v, rounding 1e-7 z grows by 1 / sqrt(v + 1e-5).
    torch.testing.assert_close(
        found.double(),
        expected,
        rtol=rough,
        atol=rough * (1 + float(expected.detach())),
    )
    if kind in ("normal", "doubled samples", "spikes") and shape[1] > 3:
        bound = 2**-7 if dtype == torch.bfloat16 else 20 * rough
        scale = float(z_naive.grad.abs().max())
        torch.testing.assert_close(
            z_ours.grad.double(), z_naive.grad, rtol=bound, atol=bound * scale
        )


@pytest.mark.parametrize("loss", ALL_LOSSES)
@pytest.mark.parametrize("form", [pairs.gram_sums, pairs.correlation_sums])
@given(
    shape=SHAPES,
    value=st.sampled_from([float("nan"), float("inf"), float("-inf")]),
    place=st.tuples(*(st.integers(0, 39) for _ in range(4))),
)
def test_what_is_not_finite_is_never_hidden(loss, form, shape, value, place):
    """A NaN or infinity in a slice that counts makes the loss NaN."""
    z = views(shape, 0, "normal").float()
    where = [number % size for number, size in zip(place, z.shape, strict=True)]
    if loss is BoundaryTemporalLoss:
        if shape[0] < 2:
            return
        where[1] = [0, shape[0] - 1][where[1] % 2]
    z[tuple(where)] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "snnssl_mm.losses.temporal.sum_over_pairs",
            lambda of, *views, dtype: form(of, *views),
        )
        assert loss()(*z).isnan()
