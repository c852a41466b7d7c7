"""Update of the teacher after each optimizer step, with a momentum schedule."""

from __future__ import annotations

import math
from typing import Any

from mmengine.hooks import Hook

from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.checks.config.problem import ConfigError
from snnssl_mm.registry import HOOKS


def require_updates(runner: Any) -> None:
    """Refuse a model whose teacher no hook updates.

    Args:
        runner: Runner with the model and the hooks.

    Raises:
        ConfigError: If the teacher would stay as it is.
    """
    has_teacher = getattr(unwrapped(runner.model), "teacher", None) is not None
    if has_teacher and not any(isinstance(h, TeacherHook) for h in runner.hooks):
        raise ConfigError(
            "the model has a teacher, but nothing updates it; add "
            "default_hooks=dict(teacher=dict(type='snnssl_mm.TeacherHook'))"
        )


@HOOKS.register_module()
class TeacherHook(Hook):
    """Move the teacher of DualPathSSL towards the student after each optimizer step.

    The momentum rises from that of the model's ``teacher`` to 1 along a cosine (Grill
    et al., "Bootstrap Your Own Latent", NeurIPS 2020, arXiv 2006.07733)::

        m_k = 1 - (1 - m_0) (cos(pi k / K) + 1) / 2

    in iteration k of K, so that a resumed training continues the schedule. All
    pretraining configs have the hook; without a teacher it is off.

    Args:
        schedule: ``'cosine'``, or ``'constant'`` for the model's momentum throughout.
    """

    priority = "NORMAL"  # after the optimizer step, before the checkpoint

    def __init__(self, schedule: str = "cosine") -> None:
        if schedule not in ("cosine", "constant"):
            raise ValueError(
                f"schedule must be 'cosine' or 'constant', got {schedule!r}"
            )
        self.schedule = schedule

    def before_train(self, runner: Any) -> None:
        """Refuse a model whose average would be wrong.

        Raises:
            ValueError: If the weights are split over processes, so that the teacher's
                and the student's have other shapes, or have half precision.
        """
        model = unwrapped(runner.model)
        teacher = getattr(model, "teacher", None)
        if teacher is None:
            return
        for own, of_student in teacher.networks(model):
            pairs = zip(own.parameters(), of_student.parameters(), strict=False)
            if any(p.shape != q.shape for p, q in pairs):
                raise ValueError(
                    "the teacher is an average of whole weights, but the model's are "
                    "split over processes; train with DDP instead of FSDP or DeepSpeed"
                )
            for weight in (*own.parameters(), *of_student.parameters()):
                if weight.is_floating_point() and weight.element_size() < 4:
                    raise ValueError(
                        "the teacher is an average that moves by small steps, such as "
                        f"0.4 %, which {weight.dtype} rounds off; expected weights in "
                        "float32. Build the model in float32, and compute in half "
                        "precision by --amp bfloat16 or --amp, which keep them so"
                    )

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Update the teacher, if the optimizer has updated the weights."""
        model = unwrapped(runner.model)
        teacher = getattr(model, "teacher", None)
        if teacher is None:
            return
        stepped = getattr(runner.optim_wrapper, "should_update", None)
        if stepped is None or stepped():
            share = runner.iter / runner.max_iters
            teacher.update(model, self.momentum(teacher.momentum, share))

    def momentum(self, first: float, share: float) -> float:
        """Return the momentum after a share of the training, from 0 to 1."""
        if self.schedule == "constant":
            return first
        return 1 - (1 - first) * (math.cos(math.pi * share) + 1) / 2
