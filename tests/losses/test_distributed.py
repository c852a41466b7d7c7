"""Loss and gradients over several processes equal those on the whole batch."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

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


def one_of_many(rank, world, folder):
    store = dist.FileStore(f"{folder}/store", world)  # outlives every process
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    x, weight = data()
    results = loss_and_gradients(x.chunk(world, dim=2)[rank], weight)
    for _, gradient in results:  # as DistributedDataParallel does
        dist.all_reduce(gradient)
        gradient /= world
    torch.save(results, f"{folder}/{rank}.pt")
    # Not a barrier: who leaves one first closes connections that others still read.
    store.set(f"done {rank}", "")
    store.wait([f"done {other}" for other in range(world)])
    dist.destroy_process_group()  # gloo's threads must not outlive the interpreter


@pytest.mark.parametrize("world", [2, 4])
def test_processes_compute_the_loss_of_the_whole_batch(world, tmp_path):
    mp.spawn(one_of_many, args=(world, str(tmp_path)), nprocs=world)
    expected = loss_and_gradients(*data())
    for rank in range(world):
        for own, whole in zip(
            torch.load(tmp_path / f"{rank}.pt"), expected, strict=True
        ):
            torch.testing.assert_close(own, whole)
