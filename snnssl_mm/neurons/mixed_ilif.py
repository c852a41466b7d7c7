"""The MixedILIF neuron: integer spikes and an analog path over one set of weights."""

from __future__ import annotations

from torch import Tensor

from snnssl_mm.neurons.kernels.integer_reference import ILIFParameters, mixed_ilif
from snnssl_mm.neurons.kernels.reference import LIFParameters
from snnssl_mm.neurons.paths import MixedNeuron

MOST_LEVELS = 1 << 22  # that float32 rounds to by an addition, as the kernels do


class MixedILIF(MixedNeuron):
    r"""Integer leaky integrate-and-fire neuron with a spiking and an analog path.

    Trained with integers, it is a spiking neuron: an integer n is n ones among
    ``levels`` binary steps, and a linear layer of their sum is the sum over the steps.
    Multi-step and stateless, with beta = 1 - 1 / tau and D = ``levels``::

        u[t] = beta (u[t-1] - theta s[t-1]) + x[t]
        s[t] = round(clamp(u[t] / theta, 0, D))           half to even

    Path ``'spike'`` emits s[t], path ``'analog'`` clamp(u[t] / theta, 0, D) with its
    own membrane, reset by its own integers; both have the derivative
    1[0 < u / theta < D] / theta. For noise eps uniform in (-1/2, 1/2), the mean of the
    spiking path at u / theta + eps is the analog one at u / theta, as for MixedLIF.
    With one time step there is no membrane: the neuron of E-SpikeFormer.

    I-LIF: Luo et al., "Integer-Valued Training and Spike-Driven Inference Spiking
    Neural Network", ECCV 2024, arXiv 2407.20708.

    Args:
        levels: D, the largest integer.
        normalize: Whether the output is divided by D, 0 to 1.
        tau: Membrane time constant in time steps, at least 1; 4/3 is beta = 0.25.
        v_threshold: Threshold theta, the size of one spike.
        detach_reset: Whether no gradient flows through the reset.
        backend: ``'auto'``, ``'torch'``, ``'cpu'`` or ``'cupy'``; see MixedNeuron.

    Shape:
        - Input: ``[T, N, ...]``, floating point.
        - Output: as the input, with its type.

    Example:
        >>> neuron = MixedILIF(levels=4, normalize=False)
        >>> neuron(torch.tensor([0.5, 1.5, 2.4, 7.0]).reshape(1, 1, 4)).flatten()
        tensor([0., 2., 2., 4.])
    """

    def __init__(
        self,
        levels: int = 4,
        normalize: bool = True,
        tau: float = 4 / 3,
        v_threshold: float = 1.0,
        detach_reset: bool = True,
        backend: str = "auto",
    ) -> None:
        super().__init__(backend)
        if not (isinstance(levels, int) and 1 <= levels <= MOST_LEVELS):
            raise ValueError(
                f"MixedILIF needs an integer levels from 1 to {MOST_LEVELS}, "
                f"got {levels!r}"
            )
        if not tau >= 1:
            raise ValueError(f"MixedILIF needs tau >= 1 time step, got {tau}")
        if not v_threshold > 0:
            raise ValueError(f"MixedILIF needs v_threshold > 0, got {v_threshold}")
        self.config = ILIFParameters(
            levels, bool(normalize), float(tau), float(v_threshold), detach_reset
        )
        self.largest = 1.0 if normalize else float(levels)

    @property
    def for_kernels(self) -> LIFParameters:
        """The parameters in the form that the compiled kernels take."""
        return self.config.for_kernels

    def reference(self, x: Tensor) -> Tensor:
        """Compute the output in plain torch."""
        return mixed_ilif(x, self.config, self.path)
