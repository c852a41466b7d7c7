"""The objectives against naive loops, lightly and invariances; their cost."""

import copy

import pytest
import torch
from objectives import (
    CASES,
    OBJECTIVES,
    PAIRED,
    TIMES,
    case_name,
    naive,
    random_views,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from snnssl_mm import compat
from snnssl_mm.losses import (
    LeJEPALoss,
    NegativeCosineLoss,
    NextStepLoss,
    NTXentLoss,
    VICRegLoss,
)


def agree(loss, z, z_naive, expected):
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(z.grad, z_naive.grad)


@pytest.mark.parametrize("batch", [4, 9], ids=["B below D", "B above D"])
@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize(("kind", "time"), CASES, ids=case_name)
def test_value_and_gradient_equal_the_naive_loops(kind, time, number, batch):
    z, z_naive = (random_views(batch=batch, number=number) for _ in "ab")
    options = dict(time=time)
    if kind is not LeJEPALoss:
        options["within_view"] = kind is not NextStepLoss
    torch.manual_seed(0)
    loss = kind(**options)(*z)
    torch.manual_seed(0)
    agree(loss, z, z_naive, naive(kind, *z_naive, **options))


@pytest.mark.parametrize("time", ["all", "boundary"])
@pytest.mark.parametrize("kind", [*PAIRED, NextStepLoss], ids=case_name)
def test_the_other_choice_of_pairs_equals_the_naive_loops(kind, time):
    z, z_naive = (random_views(steps=4, number=3) for _ in "ab")
    options = dict(time=time, within_view=kind is NextStepLoss)
    agree(kind(**options)(*z), z, z_naive, naive(kind, *z_naive, **options))


@pytest.fixture(scope="module")
def lightly():
    compat.torchvision_operators()  # lightly imports torchvision
    import lightly.loss

    return lightly.loss


@pytest.mark.parametrize("time", ["all", "flat", "step"])
def test_one_step_is_lightlys_loss(time, lightly):
    for ours, theirs in (
        (VICRegLoss, lightly.VICRegLoss()),
        (NTXentLoss, lightly.NTXentLoss()),
    ):
        z, z_theirs = (random_views(steps=1) for _ in "ab")
        expected = theirs(z_theirs[0, 0], z_theirs[1, 0])
        agree(ours(time=time)(*z), z, z_theirs, expected)


def test_one_step_of_predictions_is_lightlys_symmetrised_cosine(lightly):
    theirs = lightly.NegativeCosineSimilarity()
    targets = random_views(steps=1, seed=1).detach()
    z, z_theirs = (random_views(steps=1) for _ in "ab")
    expected = sum(theirs(z_theirs[v, 0], targets[1 - v, 0]) for v in (0, 1)) / 2
    agree(NegativeCosineLoss()(*z, targets=targets), z, z_theirs, expected)


def test_one_step_is_lightlys_lejepa(lightly):
    z, z_theirs = (random_views(steps=1, dtype=torch.float32) for _ in "ab")
    torch.manual_seed(3)
    loss = LeJEPALoss()(*z)
    torch.manual_seed(3)
    projections = z_theirs[:, 0]
    theirs = lightly.LeJEPALoss()(local_proj=projections, global_proj=projections)
    agree(loss, z, z_theirs, theirs)


@pytest.mark.parametrize("kind", [NegativeCosineLoss, NextStepLoss], ids=case_name)
def test_targets_get_no_gradient(kind):
    z, targets = random_views(), random_views(seed=1)
    kind()(*z, targets=targets).backward()
    assert targets.grad is None
    assert z.grad.any()
    with pytest.raises(ValueError, match="target for each view"):
        kind()(*z, targets=targets[:1])


def test_the_past_predicts_the_future_only():
    z = random_views(steps=4)
    NextStepLoss(time="all")(*z).backward()
    assert z.grad[:, :-1].any()
    assert not z.grad[:, -1].any()


@pytest.mark.parametrize("kind", OBJECTIVES, ids=case_name)
def test_samples_and_views_have_no_order(kind):
    z = random_views(batch=12).detach()
    order = torch.randperm(12)
    values = []
    for views in (z, z[:, :, order], z.flip(0)):
        torch.manual_seed(0)
        values.append(kind()(*views))
    torch.testing.assert_close(values[1], values[0])
    torch.testing.assert_close(values[2], values[0])


@pytest.mark.parametrize("kind", OBJECTIVES, ids=case_name)
def test_half_precision_is_computed_in_float32(kind):
    z = random_views(dtype=torch.float32).detach().bfloat16()
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = kind()(*z)
    torch.manual_seed(0)
    assert found.dtype == torch.float32
    assert torch.equal(found, kind()(*z.float()))


@pytest.mark.parametrize("kind", OBJECTIVES, ids=case_name)
def test_what_is_not_finite_is_never_hidden(kind):
    z = random_views().detach()
    z[0, 0, 1, 2] = torch.nan
    assert kind()(*z).isnan()


@pytest.mark.parametrize("kind", OBJECTIVES, ids=case_name)
def test_no_parameters_or_buffers_and_deepcopy(kind):
    loss = kind()
    assert not loss.state_dict()
    assert repr(copy.deepcopy(loss)) == repr(loss)


def test_parts_are_weighted():
    z = random_views().detach()
    weights = VICRegLoss(invariance=2, variance=3, covariance=5).parts(*z)
    plain = VICRegLoss(invariance=1, variance=1, covariance=1).parts(*z)
    torch.testing.assert_close(
        torch.stack(weights), torch.stack(plain) * z.new([2, 3, 5])
    )


class Elements(TorchDispatchMode):
    """Count the numbers that all operations write."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        tensors = out if isinstance(out, (tuple, list)) else [out]
        views = function.is_view
        self.count += sum(
            t.numel() for t in tensors if isinstance(t, torch.Tensor) and not views
        )
        return out


def cost(kind, time, steps, batch=32, dims=64):
    """Numbers written and multiplications, forward and backward."""
    options = dict(directions=32) if kind is LeJEPALoss else {}
    loss = kind(time=time, **options)
    z = random_views(steps, batch, dims, torch.float32)
    with FlopCounterMode(display=False) as flops, Elements() as elements:
        loss(*z).backward()
    return elements.count, flops.get_total_flops()


LINEAR = [VICRegLoss, NegativeCosineLoss, NextStepLoss, LeJEPALoss]


@pytest.mark.parametrize("kind", LINEAR, ids=case_name)
@pytest.mark.parametrize("time", ["all", "step"])
def test_cost_is_linear_in_time(kind, time):
    short, long = (cost(kind, time, steps) for steps in (4, 16))
    for few, many in zip(short, long, strict=True):
        assert many <= 4.6 * few  # a little more, where T - 1 steps count


def test_ntxent_of_each_step_is_linear_in_time():
    short, long = (cost(NTXentLoss, "step", steps) for steps in (4, 16))
    assert [many / few for few, many in zip(short, long, strict=True)] == (
        pytest.approx([4, 4], rel=0.1)
    )


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("kind", OBJECTIVES, ids=case_name)
def test_no_structure_costs_more_than_the_flat_one(kind, time):
    if (kind, time) == (NextStepLoss, "mean"):
        return
    own, flat = (cost(kind, which, 4) for which in (time, "flat"))
    for number, of_flat in zip(own, flat, strict=True):
        assert number <= 1.1 * of_flat


@pytest.mark.parametrize("kind", OBJECTIVES, ids=case_name)
def test_errors_name_the_value_and_the_remedy(kind):
    z = random_views(steps=1)
    with pytest.raises(ValueError, match="'sum'"):
        kind(time="sum")
    with pytest.raises(ValueError, match="two or more"):
        kind()(z[0])
    with pytest.raises(ValueError, match="T=1"):
        kind(time="boundary")(*z)
    with pytest.raises(ValueError, match=r"\[T, B, D\]"):
        kind()(z[0], random_views(steps=2)[0])


def test_errors_of_settings():
    for kind in (VICRegLoss, NTXentLoss, LeJEPALoss):
        with pytest.raises(ValueError, match="B=1"):
            kind()(*random_views(batch=1))
    with pytest.raises(ValueError, match="temperature"):
        NTXentLoss(temperature=0)
    with pytest.raises(ValueError, match="lambd=2"):
        LeJEPALoss(lambd=2)
    with pytest.raises(ValueError, match="'mean'"):
        NextStepLoss(time="mean")
