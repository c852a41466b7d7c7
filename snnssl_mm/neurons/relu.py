"""ReLU in place of a spiking neuron, for a reference network without spikes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ReLUNeuron(nn.Module):
    """Rectified linear unit max(0, x): the reference that is not spiking.

    It has no membrane, so its time steps are independent (use ``time_steps=1``), and no
    paths: :func:`~snnssl_mm.neurons.set_path` leaves it alone. In attention the product
    of non-negative q, k and v stays as it is, and the batch norm of the projection
    removes its scale.

    Args:
        v_threshold: Not used; attention gives its neuron one.

    Shape:
        - Input and output: any.

    Example:
        >>> ReLUNeuron()(torch.tensor([[[-1.0, 0.5]]]))
        tensor([[[0.0000, 0.5000]]])
    """

    def __init__(self, v_threshold: float | None = None) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Compute max(0, x)."""
        return torch.relu(x)
