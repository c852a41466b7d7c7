"""Anatomy of a step from events of the profiler, made by hand."""

from types import SimpleNamespace

import anatomy
import pytest
import torch
from shares import STEP, within_step
from torch.autograd import DeviceType

CPU, CUDA = DeviceType.CPU, DeviceType.CUDA


def event(name, start, end, device=CPU, parent=None, marked=False):
    return SimpleNamespace(
        name=name,
        device_type=device,
        time_range=SimpleNamespace(start=start, end=end),
        cpu_parent=parent,
        is_user_annotation=marked,
    )


def test_busy_time_counts_overlaps_once_and_gaps_never():
    assert anatomy.busy([]) == 0
    assert anatomy.busy([(5, 6), (0, 2), (1, 4), (1, 2)]) == 5
    assert anatomy.busy([(0, 10), (2, 3), (9, 12)]) == 12


def gpu_step():
    return [
        event("cudaDeviceSynchronize", -5, -1),  # of the profiler
        event(STEP, 0, 100),
        event(STEP, 10, 300, CUDA, marked=True),
        event("aten::conv2d", 1, 30),
        event("cudaLaunchKernel", 2, 3),
        event("cuLaunchKernelEx", 4, 5),
        event("cudaMemcpyAsync", 6, 7),
        event("cudaStreamSynchronize", 8, 20),
        event("cudaGraphLaunch", 21, 22),
        event("sm90_xmma_fprop_implicit_gemm", 100, 1100, CUDA),
        event("norm_mixed_lif_forward", 1000, 2100, CUDA),
        event("Memcpy DtoH (Device -> Pageable)", 3100, 4100, CUDA),
        event("cudaDeviceSynchronize", 101, 5000),  # after the step
    ]


def test_step_on_a_gpu_counts_what_happened_in_it():
    counts = anatomy.gpu_counts(within_step(gpu_step()))
    assert counts == {
        "launches": 4,
        "kernels": 3,
        "busy_ms": 3.0,
        "synchronisations": 1,
    }
    result = anatomy.summary(counts, 5e-3, 1e-3)
    assert (result["step_ms"], result["idle_ms"], result["host_ms"]) == (5.0, 2.0, 1.0)
    # A GPU that is never idle may seem to work longer than the mean step.
    assert anatomy.summary(counts, 2.9e-3, 1e-3)["idle_ms"] == 0


def test_kernels_are_added_up_by_kind_and_by_name():
    times = anatomy.kernel_times(within_step(gpu_step()), most=1)
    assert times["ms_by_kind"] == {
        "convolution": 1.0,
        "norm and neuron": 1.1,
        "copy": 1.0,
    }
    assert times["largest"] == [["norm_mixed_lif_forward", 1.1, 1]]
    assert (
        anatomy.kind_of("void cudnn::ops::nchwToNhwcKernel<float>") == "transposition"
    )
    assert anatomy.kind_of("vectorized_elementwise_kernel") == "elementwise"


def test_step_on_a_cpu_counts_operators_without_calls_below():
    caller = event("aten::linear", 1, 9)
    events = [
        caller,
        event("aten::addmm", 2, 8, parent=caller),
        event("snnssl_mm::mixed_lif", 10, 20),
        event("aten::_local_scalar_dense", 21, 22),
        event("Optimizer.step", 23, 24),
        event("aten::_fused_adamw_", 25, 30),
    ]
    # A GPU's fused optimizer does not read the step counters.
    events.append(event("aten::_local_scalar_dense", 26, 27, parent=events[-1]))
    counts = anatomy.cpu_counts(events)
    assert counts == {"operators": 4, "synchronisations": 1}
    assert anatomy.summary(counts, 4e-3, None, steps=2) == {
        "operators": 2,
        "synchronisations": 0.5,
        "step_ms": 2.0,
        "host_ms": 2.0,
    }


def test_a_real_step_is_counted():
    x = torch.ones(3, requires_grad=True)

    def run():
        (2 * x).sum().backward()
        return float(x.grad[0])

    run()
    counts = anatomy.anatomy(run, "cpu", seconds=1e-3)
    assert counts["synchronisations"] == 1
    assert counts["operators"] == pytest.approx(10, abs=6)
