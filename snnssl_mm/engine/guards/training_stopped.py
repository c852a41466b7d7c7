"""How a monitor ends a training: one sentence, in all processes at once."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_reduce, broadcast_object_list, get_world_size
from torch import Tensor


class TrainingStopped(RuntimeError):
    """A training that would come to nothing; the message is for the user."""


def any_process(flag: bool | Tensor, like: Tensor) -> bool:
    """Whether ``flag`` is set in any process; a collective where there are several.

    Args:
        flag: Of this process.
        like: A tensor on the device that the processes talk by.
    """
    if get_world_size() == 1:
        return bool(flag)
    shared = torch.as_tensor(flag, device=like.device).to(torch.float32)
    all_reduce(shared, "max")
    return bool(shared)


def stop_everywhere(runner: Any, message: str | None) -> None:
    """Raise in all processes if the first one has a message.

    Args:
        runner: Its log gets the message too.
        message: Of the first process; that of the others does not count.

    Raises:
        TrainingStopped: If there is one.
    """
    messages = [message]
    broadcast_object_list(messages)
    if messages[0]:
        runner.logger.error(messages[0])
        raise TrainingStopped(messages[0])
