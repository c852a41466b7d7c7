"""Feature distillation against loops over views, time steps and samples."""

import pytest
import torch
from objectives import random_views

from snnssl_mm.losses import FeatureDistillationLoss


def targets_of(views):
    generator = torch.Generator().manual_seed(1)
    y = 100 + 9 * torch.randn(views[:, :1].shape, generator=generator).double()
    return y.expand_as(views)


def distance(kind, z, y):
    if kind == "cosine":
        return -(z @ y) / (z.norm() * y.norm())
    y = (y - y.mean()) / (y.var(correction=0) + 1e-5).sqrt()
    off = (z - y).abs()
    return torch.where(off < 1, off**2 / 2, off - 0.5).mean()


@pytest.mark.parametrize("time", ["step", "mean"])
@pytest.mark.parametrize("kind", ["cosine", "smooth_l1"])
def test_equals_a_loop_and_its_gradient(kind, time):
    views = random_views()
    goals = targets_of(views)
    found = FeatureDistillationLoss(kind, time)(*views, targets=tuple(goals))
    slices = views if time == "step" else views.mean(1, keepdim=True)
    expected = torch.stack(
        [
            distance(kind, z, goals[v, 0, n])
            for v, steps in enumerate(slices)
            for step in steps
            for n, z in enumerate(step)
        ]
    ).mean()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, views)[0] for loss in (found, expected))
    )


def test_teachers_get_no_gradient_and_their_scale_does_not_matter():
    views = random_views()
    goals = targets_of(views).clone().requires_grad_()
    for kind in ("cosine", "smooth_l1"):
        loss = FeatureDistillationLoss(kind)
        first = loss(*views, targets=tuple(goals))
        scaled = loss(*views, targets=tuple(1e3 * goals))
        torch.testing.assert_close(first, scaled, rtol=1e-5, atol=0)
        (gradient,) = torch.autograd.grad(first, goals, allow_unused=True)
        assert gradient is None


def test_half_precision_is_computed_in_single():
    views = random_views(dtype=torch.float32).detach()
    goals = targets_of(views).float()
    loss = FeatureDistillationLoss()
    halves = [z.bfloat16() for z in views]
    expected = loss(*(z.float() for z in halves), targets=tuple(goals))
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(*halves, targets=tuple(goals))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_embeddings_are_not_their_own_targets():
    with pytest.raises(ValueError, match="targets"):
        FeatureDistillationLoss()(*random_views())


@pytest.mark.parametrize("options", [dict(distance="l2"), dict(time="all")])
def test_unknown_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options.values()))):
        FeatureDistillationLoss(**options)
