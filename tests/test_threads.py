"""Threads: their waiting time, their number, and a message during compilation."""

import os
import subprocess
import sys
from collections import defaultdict

import numba
import pytest
import torch
from numba.core import event

from snnssl_mm.neurons.kernels import cpu
from snnssl_mm.neurons.kernels.compile_notice import announce_compilation

REPORT = "import os, snnssl_mm; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "passive"}, "None"),
    ],
)
def test_importing_the_package_bounds_spinning_unless_the_user_said_otherwise(
    given, expected
):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    kept = {key: value for key, value in os.environ.items() if key not in names}
    command = [sys.executable, "-c", REPORT]
    done = subprocess.run(command, env=kept | given, capture_output=True, text=True)
    assert done.stdout.split()[-1:] == [expected]


def test_numba_starting_its_threads_leaves_the_number_of_torchs(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(numba, "set_num_threads", lambda _: torch.set_num_threads(7))
    try:
        torch.set_num_threads(1)
        assert cpu.chunk_count() == cpu.CHUNKS_PER_THREAD
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_compiling_is_announced_once_and_only_for_own_kernels(capsys, monkeypatch):
    def plus(x):
        return x + 1

    monkeypatch.setattr(event, "_registered", defaultdict(list))
    announce_compilation()
    numba.njit(plus)(1)
    assert capsys.readouterr().err == ""
    plus.__module__ = "snnssl_mm.neurons.kernels.example"
    kernel = numba.njit(plus)
    kernel(1)
    kernel(1.0)
    assert len(capsys.readouterr().err.splitlines()) == 1
