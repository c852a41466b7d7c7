"""Functions that run in several processes at once, a gloo group on this machine.

The processes are forks of one server, which has imported the libraries: a group of
four starts in a second, where four interpreters would take half a minute.
"""

import datetime
import multiprocessing
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

PRELOAD = ["snnssl_mm", "pytest", "mmpretrain.models", "snnssl_mm.models"]
PATIENCE = datetime.timedelta(seconds=60)  # of what would hang forever


def run_group(function, world, *args):
    """Return what ``function(*args)`` returns in each process of a gloo group.

    Args:
        function: Of a module that the processes can import; it may use
            ``torch.distributed``. What it raises is raised here.
        world: Number of processes.
        *args: Its arguments, and its results, must be of types that pickle takes.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOAD)
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(
            member,
            args=(world, folder, function, args),
            nprocs=world,
            start_method="forkserver",
        )
        files = [Path(folder, f"{rank}.pt") for rank in range(world)]
        return [torch.load(file, weights_only=False) for file in files]


def member(rank, world, folder, function, args):
    """Be one process of the group."""
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", world)  # outlives every process
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=world, timeout=PATIENCE
    )
    torch.save(function(*args), f"{folder}/{rank}.pt")
    # Not a barrier: who leaves one first closes connections that others still read.
    store.set(f"done {rank}", "")
    store.wait([f"done {other}" for other in range(world)])
    dist.destroy_process_group()  # gloo's threads must not outlive the interpreter
