"""Loss and gradients over several processes equal those on the whole batch."""

import pytest
import torch
import torch.distributed as dist
from processes import run_group

from snnssl_mm.losses import (
    BoundaryTemporalLoss,
    CrossTemporalLoss,
    TimeFlattenedLoss,
)

LOSSES = (CrossTemporalLoss, BoundaryTemporalLoss, TimeFlattenedLoss)
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
