"""Teacher of DualPathSSL: an exponential moving average of its networks."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

PATHS = (None, "spike", "analog", "dual")


class Teacher(nn.Module):
    """Copies of a backbone and a projector that follow them slowly.

    Their embeddings are the targets of a prediction loss. Grill et al., "Bootstrap Your
    Own Latent", NeurIPS 2020, arXiv 2006.07733.

    In training mode batch norms use the statistics of the batch, as in BYOL. The copies
    are not trained and not part of the result: a pretrained backbone is the student's.
    Not a BaseModule: mmengine would initialise it apart from the student, whose copy it
    is to be.

    Args:
        student: Module with ``backbone`` and ``neck``.
        momentum: Momentum of the first update; TeacherHook increases it to 1.
        path: Path of the teacher's neurons in training: ``'spike'``, ``'analog'`` or
            ``'dual'``, or None for that of the student.
    """

    backbone: nn.Module
    neck: nn.Module

    def __init__(
        self, student: Any, momentum: float = 0.996, path: str | None = None
    ) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(
                f"the teacher's momentum must be from 0 to 1, got {momentum}"
            )
        if path not in PATHS:
            raise ValueError(f"the teacher's path must be one of {PATHS}, got {path!r}")
        self.momentum = momentum
        self.path = path
        self.backbone = copy.deepcopy(student.backbone)
        self.neck = copy.deepcopy(student.neck)
        self.requires_grad_(False)

    @torch.no_grad()
    def copy_student(self, student: Any) -> None:
        """Take over the weights and statistics of the student."""
        for own, of_student in self.networks(student):
            own.load_state_dict(of_student.state_dict())

    @torch.no_grad()
    def update(self, student: Any, momentum: float | None = None) -> None:
        """Move the weights towards the student's: m teacher + (1 - m) student.

        Args:
            student: Module with ``backbone`` and ``neck``.
            momentum: m; the teacher's by default.
        """
        share = 1 - (self.momentum if momentum is None else momentum)
        for own, of_student in self.networks(student):
            torch._foreach_lerp_(
                [p.detach() for p in own.parameters()],
                [p.detach() for p in of_student.parameters()],
                share,
            )

    def networks(self, student: Any) -> list[tuple[nn.Module, nn.Module]]:
        """Return own networks, each with that of the student."""
        return [(self.backbone, student.backbone), (self.neck, student.neck)]
