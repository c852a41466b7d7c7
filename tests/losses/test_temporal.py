"""The temporal losses against a naive double loop, mmpretrain and invariances."""

import copy
import itertools

import pytest
import torch

from snnssl_mm.losses import (
    BoundaryTemporalLoss,
    CrossTemporalLoss,
    TimeFlattenedLoss,
    pairs,
)

ALL_LOSSES = [CrossTemporalLoss, BoundaryTemporalLoss, TimeFlattenedLoss]


def naive_pair_loss(p, q, lambd):
    p, q = ((z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt() for z in (p, q))
    c = p.T @ q / len(p)
    on = (torch.diagonal(c) - 1).square().sum()
    off = c.square().sum() - torch.diagonal(c).square().sum()
    return on + lambd * off


def naive_loss(kind, *views, lambd=5e-3, normalize="mean", within_view=True):
    """The definitions, pair by pair."""
    steps = len(views[0])
    if kind is TimeFlattenedLoss:
        views = [view.flatten(0, 1)[None] for view in views]
    chosen = {CrossTemporalLoss: range(steps), BoundaryTemporalLoss: [0, steps - 1]}
    slices = [(v, z[t]) for v, z in enumerate(views) for t in chosen.get(kind, [0])]
    terms = [
        naive_pair_loss(p, q, lambd)
        for (v, p), (w, q) in itertools.permutations(slices, 2)
        if within_view or v != w
    ]
    divisor = len(terms) if normalize == "mean" else len(chosen[kind])
    return sum(terms) / divisor


def random_views(steps=3, batch=8, dims=6, dtype=torch.float64, seed=0, number=2):
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(batch, dims, generator=generator, dtype=dtype)
    z = torch.randn(number, steps, batch, dims, generator=generator, dtype=dtype)
    return (z + shared).requires_grad_()


# B = 8 takes the Gram form at D = 6, B = 40 the correlation form.
@pytest.mark.parametrize("batch", [8, 40])
@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("within_view", [True, False])
@pytest.mark.parametrize("normalize", ["mean", "paper"])
@pytest.mark.parametrize("kind", [CrossTemporalLoss, BoundaryTemporalLoss])
def test_value_and_gradient_equal_the_double_loop(
    kind, normalize, within_view, number, batch
):
    z, z_naive = (random_views(batch=batch, number=number) for _ in range(2))
    options = dict(lambd=0.02, normalize=normalize, within_view=within_view)
    loss = kind(**options)(*z)
    expected = naive_loss(kind, *z_naive, **options)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(z.grad, z_naive.grad)


@pytest.mark.parametrize(("batch", "dims"), [(2, 30), (8, 6), (40, 6)])
@pytest.mark.parametrize("number", [2, 3])
def test_time_flattened_equals_one_large_batch(batch, dims, number):
    z, z_naive = (random_views(batch=batch, dims=dims, number=number) for _ in "ab")
    TimeFlattenedLoss()(*z).backward()
    naive_loss(TimeFlattenedLoss, *z_naive).backward()
    torch.testing.assert_close(z.grad, z_naive.grad)


@pytest.mark.parametrize("batch", [2, 8, 40])  # both forms of the sums
@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("normalize", ["mean", "paper"])
def test_each_step_by_itself_equals_a_loop(normalize, number, batch):
    z, z_naive = (random_views(batch=batch, number=number) for _ in "ab")
    loss = CrossTemporalLoss(0.02, normalize, time="step")(*z)
    loss.backward()
    terms = [
        naive_pair_loss(p[t], q[t], 0.02)
        for t in range(3)
        for p, q in itertools.permutations(z_naive, 2)
    ]
    expected = sum(terms) / (len(terms) if normalize == "mean" else 3)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(z.grad, z_naive.grad)


@pytest.mark.parametrize("time", ["flat", "boundary", None])
def test_other_time_structures_have_names_of_their_own(time):
    with pytest.raises(ValueError, match=repr(time)):
        CrossTemporalLoss(time=time)


def test_float32_gram_form_keeps_its_precision():
    z = random_views(steps=4, batch=64, dims=256).detach()
    exact = naive_loss(CrossTemporalLoss, *z)
    loss = CrossTemporalLoss()(*z.float())
    assert abs(loss.double() / exact - 1) < 1e-5


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("within_view", [True, False])
def test_both_forms_of_the_sums_agree(within_view, number, monkeypatch):
    """Sums and gradients; three tiles of the dimensions in the Gram form."""
    monkeypatch.setitem(pairs.TILE, "cpu", 0)
    views = list(random_views(dims=150, number=number).detach().requires_grad_())
    which = pairs.Pairs(3, within_view, number)
    forms = []
    for form in (pairs.gram_sums, pairs.correlation_sums):
        sums = form(which, *views)
        forms.append((*sums, *torch.autograd.grad(sums[0] + 0.3 * sums[1], views)))
    for gram, correlation in zip(*forms, strict=True):
        torch.testing.assert_close(gram, correlation)


def test_gram_form_ignores_autocast_in_the_backward_pass():
    z_a, z_b = random_views(dims=150, dtype=torch.float32).detach().requires_grad_()
    loss = CrossTemporalLoss()(z_a, z_b)
    (plain,) = torch.autograd.grad(loss, z_a, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        (inside,) = torch.autograd.grad(loss, z_a)
    assert torch.equal(plain, inside)


@pytest.mark.parametrize("kind", [CrossTemporalLoss, TimeFlattenedLoss])
def test_one_step_is_mmpretrains_barlow_twins(kind):
    from mmpretrain.models.heads import LatentCrossCorrelationHead

    head = LatentCrossCorrelationHead(
        6, loss=dict(type="mmpretrain.CrossCorrelationLoss", lambd=0.0051)
    ).double()
    z, z_theirs = (random_views(steps=1) for _ in range(2))
    loss = kind(lambd=0.0051)(*z)
    expected = head.loss(z_theirs[0, 0], z_theirs[1, 0])
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(z.grad, z_theirs.grad)


@pytest.mark.parametrize("normalize", ["mean", "paper"])
def test_ctl_is_btl_at_two_steps(normalize):
    z_a, z_b = random_views(steps=2)
    ctl, btl = (
        CrossTemporalLoss(normalize=normalize),
        BoundaryTemporalLoss(normalize=normalize),
    )
    torch.testing.assert_close(ctl(z_a, z_b), btl(z_a, z_b))


@pytest.mark.parametrize("steps", [2, 4])
def test_papers_normaliser_against_the_mean(steps):
    z = random_views(steps=steps)
    ratio = CrossTemporalLoss(normalize="paper")(*z) / CrossTemporalLoss()(*z)
    assert ratio.item() == pytest.approx(2 * (2 * steps - 1))
    ratio = BoundaryTemporalLoss(normalize="paper")(*z) / BoundaryTemporalLoss()(*z)
    assert ratio.item() == pytest.approx(6)


@pytest.mark.parametrize("kind", ALL_LOSSES)
def test_invariances(kind):
    z_a, z_b = random_views(batch=16).detach()
    loss = kind()(z_a, z_b)
    samples, dims = torch.randperm(16), torch.randperm(6)
    torch.testing.assert_close(kind()(z_a[:, samples], z_b[:, samples]), loss)
    torch.testing.assert_close(kind()(z_a[..., dims], z_b[..., dims]), loss)
    torch.testing.assert_close(kind()(z_b, z_a), loss)
    torch.testing.assert_close(
        kind()(z_a * 3 - 7, z_b / 2 + 1), loss, rtol=1e-3, atol=0
    )


def test_ctl_does_not_depend_on_the_order_of_time():
    z_a, z_b = random_views(steps=4).detach()
    order = torch.randperm(4)
    loss = CrossTemporalLoss()
    torch.testing.assert_close(loss(z_a[order], z_b), loss(z_a, z_b))


@pytest.mark.parametrize("kind", ALL_LOSSES)
def test_autocast_is_off_inside(kind):
    z_a, z_b = random_views(dtype=torch.float32).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = kind()(z_a, z_b)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, kind()(z_a, z_b), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ALL_LOSSES)
def test_half_precision_projections_are_computed_in_float32(kind):
    z_a, z_b = random_views(dtype=torch.float32).detach().bfloat16()
    torch.testing.assert_close(kind()(z_a, z_b), kind()(z_a.float(), z_b.float()))


def test_parts_add_up_and_lambd_weights_the_off_diagonal_one():
    z = random_views()
    on, off = CrossTemporalLoss(lambd=0.3).parts(*z)
    plain_on, plain_off = CrossTemporalLoss(lambd=1).parts(*z)
    torch.testing.assert_close(on, plain_on)
    torch.testing.assert_close(off, 0.3 * plain_off)
    torch.testing.assert_close(CrossTemporalLoss(lambd=0.3)(*z), on + off)


@pytest.mark.parametrize("kind", ALL_LOSSES)
def test_lambd_dims_keeps_the_balance_of_wider_embeddings(kind):
    """For D = 6 and lambd_dims = 2 the weight is a third."""
    z = random_views(dims=6)
    weighted = kind(lambd=0.3, lambd_dims=2)
    torch.testing.assert_close(weighted(*z), kind(lambd=0.1)(*z))
    with pytest.raises(ValueError, match="lambd_dims"):
        kind(lambd_dims=0)


def test_no_parameters_or_buffers_and_deepcopy():
    loss = CrossTemporalLoss()
    assert not loss.state_dict()
    z = random_views()
    torch.testing.assert_close(copy.deepcopy(loss)(*z), loss(*z))


def test_errors_name_the_value_and_the_remedy():
    one_step = random_views(steps=1)
    with pytest.raises(ValueError, match="2 .*T=1.*TimeFlattenedLoss"):
        BoundaryTemporalLoss()(*one_step)
    with pytest.raises(ValueError, match="2 .*B=1"):
        CrossTemporalLoss()(*random_views(batch=1))
    with pytest.raises(ValueError, match=r"\[T, B, D\]"):
        CrossTemporalLoss()(one_step[0], random_views(steps=2)[0])
    with pytest.raises(ValueError, match="two or more"):
        CrossTemporalLoss()(one_step[0])
    with pytest.raises(ValueError, match="'sum'"):
        CrossTemporalLoss(normalize="sum")
