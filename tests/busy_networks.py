"""Networks with random weights whose neurons fire."""

import torch
from torch.nn.modules.batchnorm import _NormBase


def busy(model, weight=(0.8, 1.5), bias=(-0.1, 0.5)):
    """Give batch norms parameters and statistics with which neurons fire."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, _NormBase):
            for tensor, (low, high) in (
                (module.running_mean, (-0.1, 0.1)),
                (module.running_var, (0.5, 1.5)),
                (module.weight, weight),
                (module.bias, bias),
            ):
                tensor.data.uniform_(low, high, generator=generator)
            module.num_batches_tracked.fill_(7)
    return model
