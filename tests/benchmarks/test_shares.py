"""Shares of time: each kernel counts once, backward passes with their forward pass."""

from types import SimpleNamespace

import pytest
from shares import shares
from torch.autograd import DeviceType

CPU, CUDA = DeviceType.CPU, DeviceType.CUDA


def event(name, start, device=CPU, parent=None, sequence=-1, cpu=0.0, gpu=0.0):
    return SimpleNamespace(
        name=name,
        cpu_parent=parent,
        device_type=device,
        sequence_nr=sequence,
        time_range=SimpleNamespace(start=start),
        self_cpu_time_total=cpu,
        self_device_time_total=gpu,
    )


def test_a_kernel_counts_once_with_the_operator_that_launched_it():
    node = "autograd::engine::evaluate_function: ConvolutionBackward0"
    backward = event(node, 5, sequence=7)
    events = [
        event("aten::convolution", 0, sequence=7, cpu=1.0, gpu=20.0),
        event("implicit_gemm_kernel", 0, CUDA, gpu=20.0),
        event("snnssl_mm::norm_mixed_lif", 1, gpu=20.0),
        event("norm_mixed_lif_forward", 1, CUDA, gpu=20.0),
        event("aten::add", 2, gpu=20.0),
        event("elementwise_kernel", 2, CUDA, gpu=20.0),
        backward,
        event("aten::dgrad", 6, parent=backward, cpu=1.0, gpu=40.0),
        event("dgrad_kernel", 6, CUDA, gpu=40.0),
    ]
    expected = {"convolution": 60.0, "neurons": 20.0, "other": 20.0}
    assert shares(events, on_cuda=True) == pytest.approx(expected)
    assert shares(events, on_cuda=False) == {"convolution": 100.0}
