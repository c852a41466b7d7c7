"""spikingjelly's neuron, and the options that make MixedLIF the same function."""

from __future__ import annotations

import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import Tensor

OUR_NEURON = dict(decay_input=True, surrogate=dict(type="sigmoid", alpha=4.0))
"""Options that make MixedLIF the neuron of spikingjelly's Spikformer."""


def lif_node() -> neuron.LIFNode:
    """Make spikingjelly's neuron as its Spikformer has it, over many steps."""
    return neuron.LIFNode(
        tau=2.0,
        decay_input=True,
        v_threshold=1.0,
        v_reset=0.0,
        surrogate_function=surrogate.Sigmoid(alpha=4.0),
        detach_reset=True,
        step_mode="m",
    )


def lif_multi_step(x: Tensor) -> Tensor:
    """Call the same neuron's function with a float32 state, whatever ``x`` is.

    The module makes its state in the type of ``x`` and then leaves the fused kernel
    for half precision; the function is spikingjelly's best there.
    """
    state = torch.zeros_like(x[0], dtype=torch.float32)
    sigmoid = surrogate.Sigmoid(alpha=4.0)
    spikes: Tensor
    spikes, *_ = functional.lif_multi_step(
        x, state, 2.0, True, 1.0, 0.0, sigmoid, detach_reset=True
    )
    return spikes
