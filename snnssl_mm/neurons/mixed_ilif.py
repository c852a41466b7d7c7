"""The MixedILIF neuron: integer spikes and an analog path over one set of weights."""

from __future__ import annotations

from torch import Tensor

from snnssl_mm.neurons.kernels.integer_reference import ILIFParameters, mixed_ilif
from snnssl_mm.neurons.paths import MixedNeuron

BACKENDS = ("auto", "torch")


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
        backend: ``'torch'`` on any device; ``'auto'`` the fastest there is.

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
        super().__init__()
        if not (isinstance(levels, int) and levels >= 1):
            raise ValueError(f"MixedILIF needs an integer levels >= 1, got {levels!r}")
        if not tau >= 1:
            raise ValueError(f"MixedILIF needs tau >= 1 time step, got {tau}")
        if not v_threshold > 0:
            raise ValueError(f"MixedILIF needs v_threshold > 0, got {v_threshold}")
        if backend not in BACKENDS:
            raise ValueError(f"unknown backend {backend!r}; expected one of {BACKENDS}")
        self.config = ILIFParameters(
            levels, bool(normalize), float(tau), float(v_threshold), detach_reset
        )
        self.backend = backend
        self.largest = 1.0 if normalize else float(levels)

    def forward(self, x: Tensor) -> Tensor:
        """Integrate and fire over the leading time axis of ``x`` [T, N, ...]."""
        if x.dim() < 2 or x.shape[0] == 0:
            raise ValueError(
                "MixedILIF expects [T, N, ...] with at least one time step, "
                f"got shape {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            raise TypeError(f"MixedILIF expects floating point input, got {x.dtype}")
        if self.path == "dual" and x.shape[1] % 2:
            raise ValueError(
                "path 'dual' splits the samples into two views, so their number must "
                f"be even; got N={x.shape[1]}. Concatenate both views on dimension 1."
            )
        return mixed_ilif(x, self.config, self.path)

    def extra_repr(self) -> str:
        """Return every setting that changes the result."""
        fields = zip(self.config._fields, self.config, strict=True)
        return ", ".join(f"{k}={v}" for k, v in fields) + f", path={self.path!r}"
