"""Functions that run in several processes at once, a gloo group on this machine.

On CPUs the processes are forks of one server, which has imported the libraries: a
group of four starts in a second, where four interpreters would take half a minute.
"""

import datetime
import gc
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

PRELOAD = ["pytest", "snnssl_mm.models", "snnssl_mm.engine.launch"]
PATIENCE = datetime.timedelta(seconds=60)  # of what would hang forever


def run_group(function, world, *args, gpu=False):
    """Return what ``function(*args)`` returns in each process of a gloo group.

    Args:
        function: Of a module that the processes can import; it may use
            ``torch.distributed``. What it raises is raised here.
        world: Number of processes.
        *args: Its arguments, and its results, must be of types that pickle takes.
        gpu: Whether the processes see GPUs; CUDA does not survive a fork.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOAD)
    visible = {} if gpu else {"CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, visible):
        mp.start_processes(
            member,
            args=(world, folder, function, args),
            nprocs=world,
            start_method="spawn" if gpu else "forkserver",
        )
        files = [Path(folder, f"{rank}.pt") for rank in range(world)]
        return [torch.load(file, weights_only=False) for file in files]


def member(rank, world, folder, function, args):
    """Run the function in one process of the group."""
    torch.set_num_threads(1)
    gc.freeze()  # mmengine collects before each dataset, and a fork knows many objects
    store = dist.FileStore(f"{folder}/store", world)  # outlives every process
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=world, timeout=PATIENCE
    )
    torch.save(function(*args), f"{folder}/{rank}.pt")
    # Not a barrier: who leaves one first closes connections that others still read.
    store.set(f"done {rank}", "")
    store.wait([f"done {other}" for other in range(world)])
    dist.destroy_process_group()  # gloo's threads must not outlive the interpreter


def train(*arguments):
    """Run ``snnssl train`` in a process of a group, as torchrun starts it."""
    from mmengine_state import forget_runs
    from yapf.yapflib import yapf_api

    from snnssl_mm.cli.main import main

    forget_runs()
    yapf_api.FormatCode = lambda text, **_: (text, True)  # a second a training
    rank, world = str(dist.get_rank()), str(dist.get_world_size())
    os.environ.update(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=world)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")  # not asked again
    sys.argv = ["snnssl", *map(str, arguments), "--launcher", "pytorch"]
    main("train")
