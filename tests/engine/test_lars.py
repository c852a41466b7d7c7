"""LARS gives mmpretrain's weights, and asks for no number on the host."""

import pytest
import torch
from mmpretrain.engine.optimizers import LARS as MMPretrainLARS
from torch.utils._python_dispatch import TorchDispatchMode

from snnssl_mm.engine import LARS


def weights():
    generator = torch.manual_seed(0)
    shapes = ((4, 3), (5,), (2, 3, 3), (3,))
    made = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    made[-1].zero_()  # no layer-wise rate
    return [weight.requires_grad_() for weight in made]


def groups(of):
    return [dict(params=of[::2]), dict(params=of[1::2], lars_exclude=True, lr=0.3)]


def set_gradients(of, step):
    generator = torch.manual_seed(step)
    for index, weight in enumerate(of):
        weight.grad = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        if (step, index) == (1, 0):
            weight.grad.zero_()
    if step == 2:
        of[1].grad = None


@pytest.mark.parametrize("last_in_first", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        dict(),
        dict(momentum=0.9),
        dict(momentum=0.9, dampening=0.3),
        dict(momentum=0.9, nesterov=True),
    ],
)
def test_weights_are_mmpretrains(options, last_in_first):
    results = []
    for kind in (MMPretrainLARS, LARS):
        of = weights()
        given = groups(of[::-1] if last_in_first else of)
        optimizer = kind(given, lr=0.5, weight_decay=0.1, eta=0.02, **options)
        for step in range(4):
            set_gradients(of, step)
            optimizer.step()
        results.append([weight.detach() for weight in of])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


class Reads(TorchDispatchMode):
    """Count the numbers that are read back to the host."""

    number = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.number += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_no_step_waits_for_the_device():
    found = []
    for kind in (MMPretrainLARS, LARS):
        of = weights()
        set_gradients(of, 0)
        optimizer = kind(groups(of), lr=0.5, momentum=0.9, weight_decay=0.1)
        with Reads() as reads:
            optimizer.step()
        found.append(reads.number)
    assert found == [4, 0]
