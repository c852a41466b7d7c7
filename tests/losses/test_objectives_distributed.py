"""The objectives over several processes equal those on the whole batch."""

import torch
import torch.distributed as dist
from objectives import CASES
from processes import run_group

from snnssl_mm.losses import LeJEPALoss

STEPS, BATCH, DIMS = 3, 8, 5


def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, STEPS, BATCH, DIMS, generator=generator, dtype=torch.float64)
    weight = torch.randn(DIMS, DIMS, generator=generator, dtype=torch.float64)
    return x, weight.requires_grad_()


def losses_and_gradients(x, weight, seed):
    torch.manual_seed(seed)
    results = []
    for kind, time in CASES:
        options = dict(directions=16) if kind is LeJEPALoss else {}
        loss = kind(time=time, **options)(*(x @ weight))
        (gradient,) = torch.autograd.grad(loss, weight)
        results.append((loss.detach(), gradient))
    return results


def averaged_share():
    """What one process has after DistributedDataParallel averaged its gradients."""
    world, rank = dist.get_world_size(), dist.get_rank()
    x, weight = data()
    results = losses_and_gradients(x.chunk(world, dim=2)[rank], weight, seed=rank)
    for _, gradient in results:
        dist.all_reduce(gradient)
        gradient /= world
    return results


def test_two_processes_compute_the_loss_of_the_whole_batch():
    expected = losses_and_gradients(*data(), seed=0)
    for results in run_group(averaged_share, 2):
        for own, whole in zip(results, expected, strict=True):
            torch.testing.assert_close(own, whole)
