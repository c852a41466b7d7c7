"""Mixed precision on a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from snnssl_mm.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """Optimizer wrapper that runs the forward pass under bf16 autocast on a CPU.

    ``--amp`` selects it on a machine without GPU, which mmengine's ``AmpOptimWrapper``
    does not support. Parameters, gradients and optimizer states stay in float32. bf16
    has float32's range of exponents, so losses are not scaled.

    Args:
        **kwargs: As for :class:`mmengine.optim.OptimWrapper`.

    Raises:
        RuntimeError: In a training step, if the model is a detector (mmcv's operators
            on a CPU are float32 only) or is on another device.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enter autocast and the parent's context for gradient accumulation."""
        self._require_supported(model)
        with super().optim_context(model), torch.autocast("cpu", torch.bfloat16):
            yield

    @staticmethod
    def _require_supported(model: nn.Module) -> None:
        inner = getattr(model, "module", model)  # inside DistributedDataParallel
        if any(base.__module__.startswith("mmdet.") for base in type(inner).__mro__):
            raise RuntimeError(
                f"--amp on a CPU does not support {type(inner).__name__}: mmcv's CPU "
                "operators take float32 only; train without --amp"
            )
        device = next(inner.parameters()).device.type
        if device != "cpu":
            raise RuntimeError(
                "CpuAmpOptimWrapper expects a model on the CPU, got one on "
                f"{device!r}; use AmpOptimWrapper"
            )
