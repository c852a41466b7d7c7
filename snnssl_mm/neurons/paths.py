"""Paths of a neuron: spiking, analog, or one for each view of a batch."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from snnssl_mm.neurons.kernels import ops
from snnssl_mm.neurons.kernels.backends import (
    chosen_backend,
    refusal,
    require_backend,
    takes,
)
from snnssl_mm.neurons.kernels.reference import (
    BatchNormalization,
    LIFParameters,
    Normalization,
)

PATHS = ("spike", "analog", "dual")


class MixedNeuron(nn.Module):
    """Base class of neurons with a spiking and an analog path.

    Path ``'dual'`` takes the first half of the samples as view A through the spiking
    path and the rest as view B through the analog one. Inference and every downstream
    task use ``'spike'``, the default.

    A subclass has parameters for the compiled kernels, and a reference in plain torch.

    Args:
        backend: ``'torch'`` is the readable reference on any device, ``'cpu'`` and
            ``'cupy'`` are the fused kernels. ``'auto'`` takes cupy for CUDA tensors
            where it imports (else torch, said once), cpu for CPU tensors of float32
            and below, torch for float64.

    Attributes:
        config: Named tuple of every setting that changes the result.
        largest: Largest output of the spiking path: 1, or D of an integer neuron.
    """

    config: Any
    largest: float = 1.0

    def __init__(self, backend: str = "auto") -> None:
        super().__init__()
        require_backend(backend)
        self.backend = backend
        self._path = "spike"

    @property
    def path(self) -> str:
        """The emitted output, ``'spike'``, ``'analog'`` or ``'dual'``."""
        return self._path

    @path.setter
    def path(self, value: str) -> None:
        if value not in PATHS:
            raise ValueError(f"unknown path {value!r}; expected one of {PATHS}")
        self._path = value

    @property
    def for_kernels(self) -> LIFParameters:
        """The parameters in the form that the compiled kernels take."""
        raise NotImplementedError

    def reference(self, x: Tensor) -> Tensor:
        """Compute the output in plain torch."""
        raise NotImplementedError

    def forward(
        self,
        x: Tensor,
        norm: Normalization | BatchNormalization | None = None,
        time_steps: int | None = None,
        pooled: bool = False,
    ) -> Tensor:
        """Integrate and fire over the leading time axis of ``x`` [T, N, ...].

        Args:
            x: Input current; with ``norm`` what that normalises, ``[T, N, C, ...]``.
            norm: A batch norm to apply on the way, if :meth:`fuses_norm` says so. Its
                output is neither written nor kept for the backward pass.
            time_steps: With ``norm``, T for an ``x`` of one step that stays the same.
            pooled: With ``norm``, whether to return the output max-pooled, in 3x3
                windows with stride 2 and padding 1, from ``x`` [T, N, C, H, W].
        """
        self._check(x)
        if x.numel() == 0:
            return x.clone()
        backend = chosen_backend(self.backend, x)
        if backend == "torch":
            if norm is not None:
                raise ValueError(
                    "backend 'torch' does not apply a batch norm; apply it first"
                )
            return self.reference(x)
        if not takes(backend, x):
            raise refusal(backend, x)
        if norm is None:
            return ops.mixed_lif(x, self.for_kernels, self._path)
        steps = time_steps or x.shape[0]
        if x.shape[0] not in (1, steps):
            raise ValueError(
                f"an input of {x.shape[0]} time steps cannot be that of {steps}; pass "
                "one step to hold, or leave time_steps out"
            )
        p = self.for_kernels
        return ops.norm_mixed_lif(x, norm, steps, p, self._path, pooled)

    def _check(self, x: Tensor) -> None:
        name = type(self).__name__
        if x.dim() < 2 or x.shape[0] == 0:
            raise ValueError(
                f"{name} expects [T, N, ...] with at least one time step, "
                f"got shape {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            raise TypeError(f"{name} expects floating point input, got {x.dtype}")
        if self._path == "dual" and x.shape[1] % 2:
            raise ValueError(
                "path 'dual' splits the samples into two views, so their number must "
                f"be even; got N={x.shape[1]}. Concatenate both views on dimension 1."
            )

    def fuses_norm(self, x: Tensor) -> bool:
        """Whether :meth:`forward` takes ``x`` together with a batch norm."""
        return takes(chosen_backend(self.backend, x), x)

    def extra_repr(self) -> str:
        """Return every setting that changes the result."""
        fields = zip(self.config._fields, self.config, strict=True)
        return ", ".join(f"{k}={v}" for k, v in fields) + f", path={self._path!r}"


def set_path(module: nn.Module, path: str) -> int:
    """Set ``path`` on every neuron with paths in ``module``; return how many it has."""
    neurons = [child for child in module.modules() if isinstance(child, MixedNeuron)]
    for neuron in neurons:
        neuron.path = path
    return len(neurons)
