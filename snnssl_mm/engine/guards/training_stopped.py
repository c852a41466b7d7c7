"""Stopping of a training by a monitor: one message, in all processes."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_reduce, broadcast_object_list, get_world_size
from torch import Tensor


class TrainingStopped(RuntimeError):
    """A training that a monitor or guard has stopped; the message is for the user."""


def any_process(flag: bool | Tensor, like: Tensor) -> bool:
    """Whether ``flag`` is set in any process; a collective operation.

    Args:
        flag: Flag of this process.
        like: A tensor on the device of the process group.
    """
    if get_world_size() == 1:
        return bool(flag)
    shared = torch.as_tensor(flag, device=like.device).to(torch.float32)
    all_reduce(shared, "max")
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
