"""Re-estimated statistics are means over batches, of the layers that run and learn."""

import pytest
import torch
from torch import nn

from snnssl_mm.recording.bn_statistics import reestimated


class Network(nn.Module):
    """A batch norm that is frozen in training, one that learns, and one that idles."""

    def __init__(self):
        super().__init__()
        self.frozen, self.learning, self.idle = (nn.BatchNorm1d(3) for _ in range(3))
        self.unfollowed = nn.BatchNorm1d(3, track_running_stats=False)
        self.dropout = nn.Dropout(0.5)

    def train(self, mode=True):
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, x):
        return self.unfollowed(self.dropout(self.learning(self.frozen(x))))


def moved(network):
    """Give all layers statistics of their own."""
    for norm in (network.frozen, network.learning, network.idle):
        norm(torch.randn(64, 3) * 3 + 2)
    return {name: b.clone() for name, b in network.named_buffers()}


@pytest.mark.parametrize("training", [True, False])
def test_statistics_are_means_over_the_batches(training):
    network = Network()
    moved(network)
    network.train(training)
    batches = [torch.randn(8, 3), torch.randn(8, 3) + 1]
    with reestimated(network):
        for batch in batches:
            network(batch)
    frozen, learning = network.frozen, network.learning
    inputs = torch.stack([frozen(batch) for batch in batches])
    torch.testing.assert_close(learning.running_mean, inputs.mean((0, 1)))
    torch.testing.assert_close(learning.running_var, inputs.var(1).mean(0))
    assert learning.num_batches_tracked == 2
    assert learning.momentum == 0.1
    assert not any(module.training for module in network.modules())


def test_frozen_and_idle_layers_keep_theirs():
    network = Network()
    before = moved(network)
    with reestimated(network):
        assert network.learning.training
        assert not network.dropout.training
        network(torch.randn(8, 3))
    changed = {
        name.split(".")[0]
        for name, buffer in network.named_buffers()
        if not torch.equal(buffer, before[name])
    }
    assert changed == {"learning"}
    assert network.idle.momentum == 0.1


def test_statistics_of_a_failed_estimation_are_kept_where_nothing_ran():
    network = Network()
    before = moved(network)
    with pytest.raises(ZeroDivisionError), reestimated(network):
        raise ZeroDivisionError
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, before[name])
