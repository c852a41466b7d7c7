"""The MixedLIF neuron: a spiking and an analog path over one set of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from snnssl_mm.neurons.kernels import ops, reference
from snnssl_mm.neurons.kernels.backends import (
    chosen_backend,
    refusal,
    require_backend,
    takes,
)
from snnssl_mm.neurons.kernels.reference import BatchNormalization, Normalization
from snnssl_mm.neurons.paths import MixedNeuron
from snnssl_mm.neurons.surrogate import Surrogate


class MixedLIF(MixedNeuron):
    r"""Leaky integrate-and-fire neuron with a spiking and an analog path.

    Multi-step and stateless: the membrane starts at rest in every call, so there is
    nothing to reset. With r = ``v_reset`` (0 if None) and v[0] = r::

        u[t] = v[t-1] - (v[t-1] - r) / tau + x[t]          decay_input=False
        u[t] = v[t-1] + (x[t] - (v[t-1] - r)) / tau        decay_input=True
        s[t] = 1[u[t] >= theta]
        v[t] = (1 - s[t]) u[t] + s[t] v_reset              hard reset
        v[t] = u[t] - s[t] theta                           soft reset, v_reset=None

    Path ``'spike'`` emits s[t], path ``'analog'`` g(u[t] - theta) with its own
    membrane, reset by its own spikes; both have the derivative h(u[t] - theta).
    Path ``'dual'`` takes the first half of the samples as view A through the spiking
    path and the rest as view B through the analog one. Inference and every
    downstream task use ``'spike'``, the default. A reconstruction of MixedLIF from
    arXiv 2511.18542 and its public reviews.

    Args:
        tau: Membrane time constant in time steps, at least 1.
        v_threshold: Firing threshold theta.
        v_reset: Value after a spike; None subtracts the threshold (soft reset).
        decay_input: Whether the leak also applies to the input, as in SpikingJelly.
        detach_reset: Whether no gradient flows through the reset gate s[t]; if it
            does, ds/du = h in both paths.
        surrogate: ``'rectangle'``, ``'triangle'``, ``'atan'``, ``'sigmoid'``, or a
            dict with its width, such as ``dict(type='atan', alpha=3.0)``.
        backend: ``'torch'`` is the readable reference on any device, ``'cpu'`` and
            ``'cupy'`` are the fused kernels. ``'auto'`` takes cupy for CUDA tensors
            where it imports (else torch, said once), cpu for CPU tensors of float32
            and below, torch for float64.

    Shape:
        - Input: ``[T, N, ...]``, floating point.
        - Output: as the input, with its type.

    Example:
        >>> neuron = MixedLIF()
        >>> neuron(torch.full((4, 1, 1), 0.6)).flatten()  # u = .6, .9, 1.05, .6
        tensor([0., 0., 1., 0.])
    """

    def __init__(
        self,
        tau: float = 2.0,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        decay_input: bool = False,
        detach_reset: bool = True,
        surrogate: str | Mapping[str, Any] = "rectangle",
        backend: str = "auto",
    ) -> None:
        super().__init__()
        if not tau >= 1:
            raise ValueError(f"MixedLIF needs tau >= 1 time step, got {tau}")
        require_backend(backend)
        self.config = reference.LIFParameters(
            float(tau),
            float(v_threshold),
            None if v_reset is None else float(v_reset),
            decay_input,
            detach_reset,
            Surrogate.parse(surrogate),
        )
        self.backend = backend

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
        if x.dim() < 2 or x.shape[0] == 0:
            raise ValueError(
                "MixedLIF expects [T, N, ...] with at least one time step, "
                f"got shape {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            raise TypeError(f"MixedLIF expects floating point input, got {x.dtype}")
        if self._path == "dual" and x.shape[1] % 2:
            raise ValueError(
                "path 'dual' splits the samples into two views, so their number must "
                f"be even; got N={x.shape[1]}. Concatenate both views on dimension 1."
            )
        if x.numel() == 0:
            return x.clone()
        backend = chosen_backend(self.backend, x)
        if backend == "torch":
            if norm is not None:
                raise ValueError(
                    "backend 'torch' does not apply a batch norm; apply it first"
                )
            return reference.mixed_lif(x, self.config, self._path)
        if not takes(backend, x):
            raise refusal(backend, x)
        if norm is None:
            return ops.mixed_lif(x, self.config, self._path)
        steps = time_steps or x.shape[0]
        if x.shape[0] not in (1, steps):
            raise ValueError(
                f"an input of {x.shape[0]} time steps cannot be that of {steps}; pass "
                "one step to hold, or leave time_steps out"
            )
        return ops.norm_mixed_lif(x, norm, steps, self.config, self._path, pooled)

    def fuses_norm(self, x: Tensor) -> bool:
        """Whether :meth:`forward` takes ``x`` together with a batch norm."""
        return takes(chosen_backend(self.backend, x), x)

    def extra_repr(self) -> str:
        """Return every setting that changes the result."""
        fields = zip(self.config._fields, self.config, strict=True)
        return ", ".join(f"{k}={v}" for k, v in fields) + f", path={self._path!r}"
