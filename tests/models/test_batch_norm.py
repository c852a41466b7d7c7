"""Split batch norm: statistics per path, state-dict keys of nn.BatchNorm2d."""

import pytest
import torch
from torch import nn

from snnssl_mm.models import SplitBatchNorm2d
from snnssl_mm.neurons import MixedLIF, set_path


def example():
    spiking = torch.randn(3, 2, 4, 5, 5)
    analog = 3 * torch.randn(3, 2, 4, 5, 5) + 7
    return spiking, analog, torch.cat([spiking, analog], dim=1)


def test_dual_path_normalises_each_half_by_its_own_statistics():
    spiking, analog, both = example()
    norm = SplitBatchNorm2d(4)
    norm.path = "dual"
    for half, out in zip((spiking, analog), norm(both).chunk(2, dim=1), strict=True):
        expected = nn.BatchNorm2d(4)(half.flatten(0, 1))
        torch.testing.assert_close(out.flatten(0, 1), expected)


def test_running_statistics_follow_the_spiking_half():
    spiking, _, both = example()
    norm, plain = SplitBatchNorm2d(4), nn.BatchNorm2d(4)
    norm.path = "dual"
    norm(both)
    plain(spiking.flatten(0, 1))
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[key], value)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("training", [True, False])
def test_spiking_path_is_nn_batch_norm(training, momentum):
    norm, plain = SplitBatchNorm2d(4), nn.BatchNorm2d(4)
    norm.momentum = plain.momentum = momentum
    norm.train(training)
    plain.train(training)
    for _ in range(3):
        x = torch.randn(3, 2, 4, 5, 5)
        expected = plain(x.flatten(0, 1)).unflatten(0, (3, 2))
        torch.testing.assert_close(norm(x), expected)
    torch.testing.assert_close(norm.running_var, plain.running_var)


def test_set_path_reaches_it():
    norm = SplitBatchNorm2d(4)
    assert set_path(nn.Sequential(norm, MixedLIF()), "dual") == 1
    assert norm.path == "dual"


def test_sync_conversion_leaves_it_alone():
    model = nn.Sequential(SplitBatchNorm2d(4))
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert isinstance(converted[0], SplitBatchNorm2d)
