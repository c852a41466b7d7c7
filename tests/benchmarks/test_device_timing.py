"""On a model of a device with a queue, a sample has the device's time only."""

import harness
import pytest
from device_timing import LAUNCHING_S, QUEUED_S, QueuedTimer, Sample


class FakeDevice:
    """A queue and two clocks: kernels start when they are launched, or after others."""

    def __init__(self):
        self.host = self.free = 0.0
        self.spins = []

    def launch(self, host, device):
        self.host += host
        self.free = max(self.free, self.host) + device

    def now(self):
        return self.host

    def finish(self):
        self.host = max(self.host, self.free)

    def spin(self, seconds):
        self.spins.append(seconds)
        self.launch(0.0, seconds)

    def mark(self):
        return max(self.free, self.host)

    def seconds_between(self, start, end):
        return end - start


@pytest.mark.parametrize(
    ("host", "kernel"), [(5e-4, 2e-5), (1e-5, 2e-5), (1e-5, 3e-3), (3e-2, 2e-2)]
)
def test_latency_of_the_host_is_not_in_the_devices_time(host, kernel):
    device = FakeDevice()
    timer = QueuedTimer(lambda: device.launch(host, kernel), device)
    sample = timer()
    assert sample.seconds == pytest.approx(kernel)
    assert sample.host == pytest.approx(host)
    assert not sample.waits
    assert host * timer.number <= max(host, LAUNCHING_S)
    assert kernel * timer.number <= max(kernel, QUEUED_S + kernel)


def test_several_kernels_of_a_run_leave_no_gap():
    device = FakeDevice()

    def run():
        for _ in range(24):
            device.launch(2e-5, 5e-6)

    sample = QueuedTimer(run, device)()
    assert sample.seconds == pytest.approx(24 * 5e-6)
    assert sample.host == pytest.approx(24 * 2e-5)


def test_a_run_that_waits_for_the_device_is_marked():
    device = FakeDevice()

    def run():
        device.launch(1e-3, 1e-3)
        device.finish()
        device.launch(1e-3, 1e-3)

    timer = QueuedTimer(run, device)
    sample = timer()
    assert sample.waits
    assert sample.host == pytest.approx(3e-3)
    before = len(device.spins)
    timer()
    assert len(device.spins) == before + 1  # other lengths are not tried again


def test_a_longer_spin_hides_a_slow_launch():
    device = FakeDevice()
    hosts = iter([1e-3] * 6 + [4e-3] + [1e-3] * 9)

    def run():
        device.launch(next(hosts, 1e-3), 3e-2)

    timer = QueuedTimer(run, device)
    sample = timer()
    assert sample.seconds == pytest.approx(3e-2)
    assert not sample.waits


def test_summary_has_the_hosts_time_only_where_there_is_one():
    on_cpu = {"ours": [Sample(1.0)], "rival": [Sample(2.0)]}
    sides = harness.summarise(on_cpu)
    assert "host_seconds" not in sides["ours"]
    assert harness.seconds_in_turn(sides["ours"]) == 1.0
    queued = {"ours": [Sample(1.0, 3.0)], "rival": [Sample(2.0, 1.0, waits=True)]}
    sides = harness.summarise(queued)
    assert sides["ours"]["host_seconds"]["median"] == 3.0
    assert "waits_for_device" not in sides["ours"]
    assert sides["rival"]["waits_for_device"]
    assert sides["rival"]["times_ours"]["median"] == 2.0  # of the devices' times
    assert harness.seconds_in_turn(sides["ours"]) == 3.0
    assert harness.seconds_in_turn(sides["rival"]) == 2.0
