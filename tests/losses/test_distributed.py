"""Loss and gradients over several processes equal those on the whole batch."""

from functools import partial

import pytest
import torch
import torch.distributed as dist
from processes import run_group
from torch.utils.flop_counter import FlopCounterMode

from snnssl_mm.losses import (
    BoundaryTemporalLoss,
    CrossTemporalLoss,
    TimeFlattenedLoss,
)

LOSSES = (
    CrossTemporalLoss,
    partial(CrossTemporalLoss, time="step"),
    BoundaryTemporalLoss,
    TimeFlattenedLoss,
)
STEPS, BATCH, DIMS = 3, 8, 5


def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, STEPS, BATCH, DIMS, generator=generator, dtype=torch.float64)
    weight = torch.randn(DIMS, DIMS, generator=generator, dtype=torch.float64)
    return x, weight.requires_grad_()


def loss_and_gradients(x, weight):
    results = []
    for kind in LOSSES:
        loss = kind(lambd=0.1)(*(x @ weight))
        (gradient,) = torch.autograd.grad(loss, weight)
        results.append((loss.detach(), gradient))
    return results


def averaged_share():
    """What one process has after DistributedDataParallel averaged its gradients."""
    world = dist.get_world_size()
    x, weight = data()
    results = loss_and_gradients(x.chunk(world, dim=2)[dist.get_rank()], weight)
    for _, gradient in results:
        dist.all_reduce(gradient)
        gradient /= world
    return results


@pytest.mark.parametrize("world", [2, 4])
def test_processes_compute_the_loss_of_the_whole_batch(world):
    expected = loss_and_gradients(*data())
    for results in run_group(averaged_share, world):
        for own, whole in zip(results, expected, strict=True):
            torch.testing.assert_close(own, whole)


def share_of_the_work(dtype=None):
    """Loss of one process, the gradient of its part, and operations."""
    world, rank = dist.get_world_size(), dist.get_rank()
    x = data()[0].float().chunk(world, dim=2)[rank].clone().requires_grad_()
    with FlopCounterMode(display=False) as counter:
        loss = CrossTemporalLoss(lambd=0.1, gather_dtype=dtype)(*x)
        (gradient,) = torch.autograd.grad(loss, x)
    return loss.detach(), gradient / world, counter.get_total_flops()


def test_each_process_does_its_share_of_the_work():
    ((_, _, alone),) = run_group(share_of_the_work, 1)
    assert [flops for _, _, flops in run_group(share_of_the_work, 4)] == [alone / 4] * 4


def test_embeddings_may_travel_in_bfloat16():
    ((loss, gradient, _),) = run_group(share_of_the_work, 1)
    parts = run_group(share_of_the_work, 2, "bfloat16")
    assert parts[0][0] == parts[1][0]
    torch.testing.assert_close(parts[0][0], loss, rtol=1e-2, atol=0)
    found = torch.cat([part for _, part, _ in parts], dim=2)
    assert 0 < (found - gradient).norm() < 0.01 * gradient.norm()


def refusal_of_unequal_batches():
    rank = dist.get_rank()
    z_a, z_b = torch.randn(2, STEPS, BATCH + rank, DIMS)
    with pytest.raises(ValueError, match="round_up=True") as refusal:
        CrossTemporalLoss()(z_a, z_b)
    alive = torch.ones(1)
    dist.all_reduce(alive)  # nothing of the gather is left in the way
    return str(refusal.value), float(alive)


def test_unequal_batches_are_refused_in_every_process():
    (message, alive), other = run_group(refusal_of_unequal_batches, 2)
    assert other == (message, alive)
    assert alive == 2
    assert "(3, 8, 5) in process 0, (3, 9, 5) in process 1" in message
