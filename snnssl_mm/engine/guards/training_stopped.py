"""Stopping of a training by a monitor: one message, in all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import broadcast_object_list
from torch import Tensor

from snnssl_mm.processes import host_group, several_processes


class TrainingStopped(RuntimeError):
    """A training that a monitor or guard has stopped; the message is for the user."""


def any_process(flag: bool | Tensor) -> bool:
    """Whether ``flag`` is set in any process; a collective operation on the host."""
    if not several_processes():
        return bool(flag)
    shared = torch.tensor(float(flag))
    dist.all_reduce(shared, dist.ReduceOp.MAX, group=host_group())
    return bool(shared)


def stop_everywhere(runner: Any, message: str | None) -> None:
    """Raise in all processes if rank 0 has a message.

    Args:
        runner: Runner, whose log gets the message too.
        message: Message of rank 0; those of other ranks are ignored.

    Raises:
        TrainingStopped: If there is a message.
    """
    messages = [message]
    broadcast_object_list(messages)
    if messages[0]:
        runner.logger.error(messages[0])
        raise TrainingStopped(messages[0])
