"""The processes of a training run, and collective operations between them.

Without a process group there is one process, and everything here returns its argument.
All processes must call the functions in the same order.
"""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from torch import Tensor


def process_count() -> int:
    """Number of processes W of the process group, 1 without one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def several_processes() -> bool:
    """Whether the process group has more than one process."""
    return process_count() > 1


def sum_over_processes(x: Tensor) -> Tensor:
    """Sum ``x`` over all processes, in place; without a gradient."""
    if several_processes():
        dist.all_reduce(x)
    return x


def from_first_process(x: Tensor) -> Tensor:
    """Replace ``x`` by that of the first process, in place; without a gradient."""
    if several_processes():
        dist.broadcast(x, 0)
    return x


def gather(x: Tensor) -> Tensor:
    """Gather a contiguous ``x`` [n, ...] of each process to [W n, ...], in one message.

    Without a gradient.
    """
    if not several_processes():
        return x
    rows = x.new_empty((process_count() * x.shape[0], *x.shape[1:]))
    dist.all_gather_into_tensor(rows, x)
    return rows


_host_groups: dict[Any, Any] = {}


def host_group() -> Any:
    """Return a process group of all processes for tensors on the CPU.

    It is the default group if that takes them, else one of gloo, which is made once: a
    collective operation.
    """
    default = dist.group.WORLD
    if default not in _host_groups:
        _host_groups.clear()  # of a group that has been destroyed
        takes_it = "cpu:" in str(dist.get_backend_config())
        _host_groups[default] = default if takes_it else dist.new_group(backend="gloo")
    return _host_groups[default]
