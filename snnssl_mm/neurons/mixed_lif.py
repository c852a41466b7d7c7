"""The MixedLIF neuron: a spiking and an analog path over one set of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from snnssl_mm.neurons.kernels.reference import LIFParameters, mixed_lif
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
        backend: ``'auto'``, ``'torch'``, ``'cpu'`` or ``'cupy'``; see MixedNeuron.

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
        super().__init__(backend)
        if not tau >= 1:
            raise ValueError(f"MixedLIF needs tau >= 1 time step, got {tau}")
        self.config = LIFParameters(
            float(tau),
            float(v_threshold),
            None if v_reset is None else float(v_reset),
            decay_input,
            detach_reset,
            Surrogate.parse(surrogate),
        )

    @property
    def for_kernels(self) -> LIFParameters:
        """The parameters in the form that the compiled kernels take."""
        return self.config

    def reference(self, x: Tensor) -> Tensor:
        """Compute the output in plain torch."""
        return mixed_lif(x, self.config, self.path)
