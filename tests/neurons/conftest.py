"""Ways to check the CUDA sources without a GPU: run them on the CPU, or compile."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
import torch
from nvrtc import Compiled, Nvrtc

from snnssl_mm.neurons.kernels import cuda_source, cupy

KERNELS = Path(cuda_source.__file__).parent
SHIM = Path(__file__).with_name("cuda_on_cpu.cpp")
COMPILED = ("SCALAR", "NEURONS_PER_THREAD", "WIDE_INDEX")  # the rest are variables
SETTINGS = (
    "T_STEPS",
    "SURROGATE",
    "SOFT_RESET",
    "DECAY_INPUT",
    "DETACH_RESET",
    "PATH",
    "EXACT_INVERSES",
    "LANE_CHANNELS",
    "BLOCK_COLUMNS",
    "BLOCK_THREADS",
    "HELD",
    "POOLED",
)
BLOCKS, THREADS = 3, 8  # few, so that the kernels' loops take several rounds


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


class CudaOnCpu:
    """The CUDA kernels, compiled by g++ and run on CPU tensors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.launches: list[cuda_source.Launch] = []
        headers = "".join(file.read_text() for file in KERNELS.glob("*.cuh"))
        self.names = dict(re.findall(r"^#define ([A-Z0-9]+) (\d)$", headers, re.M))
        keys = [("FLOAT32", n, w) for n, w in ((1, 0), (2, 0), (4, 0), (1, 1), (4, 1))]
        keys += [(s, n, 0) for s in ("FLOAT16", "BFLOAT16") for n in (1, 2, 4, 8)]
        with ThreadPoolExecutor(2) as pool:
            self.libraries = dict(zip(keys, pool.map(self._build, keys), strict=True))

    def _build(self, key: tuple[str, int, int]) -> ctypes.CDLL:
        library = self.folder / ("_".join(map(str, key)) + ".so")
        macros = [f"-D{k}={v}" for k, v in zip(COMPILED, key, strict=True)]
        command = ["g++", "-O1", "-std=c++17", "-ffp-contract=off", "-shared", "-fPIC"]
        command += [*macros, f"-I{KERNELS}", str(SHIM), "-o", str(library)]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return ctypes.CDLL(str(library))

    def take_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make ``kernels.cupy`` compute on the CPU."""
        monkeypatch.setattr(cupy, "enqueue", self.run)
        monkeypatch.setattr(cupy, "stream_of", lambda device: 0)
        monkeypatch.setattr(cupy, "is_capturing", lambda device: False)
        monkeypatch.setattr(cupy, "multiprocessors", lambda device: 1)

    def run(self, launch: cuda_source.Launch, device: torch.device) -> None:
        """Stand-in for ``kernels.cupy.enqueue``."""
        assert device.type == "cpu"
        self.launches.append(launch)
        macros = dict(o[2:].split("=") for o in launch.options if o.startswith("-D"))
        assert set(COMPILED) <= set(macros) <= {*COMPILED, *SETTINGS}
        key = (
            macros["SCALAR"],
            int(macros["NEURONS_PER_THREAD"]),
            int(macros["WIDE_INDEX"]),
        )
        given = (macros.get(name, "-1") for name in SETTINGS)
        values = [int(self.names.get(value, value)) for value in given]
        settings = (ctypes.c_int * len(SETTINGS))(*values)
        numbers = [
            ctypes.c_longlong(a) if isinstance(a, int) else ctypes.c_float(a)
            for a in launch.arguments
        ]
        entry = ctypes.c_void_p.in_dll(self.libraries[key], f"launch_{launch.name}")
        kernel = ctypes.CFUNCTYPE(None)(entry.value)
        grid = (BLOCKS, 1, 1) if isinstance(launch.grid, int) else launch.grid
        shape = (ctypes.c_uint * 4)(*grid, int(macros.get("BLOCK_THREADS", THREADS)))
        kernel(ctypes.byref(settings), shape, *numbers)


@pytest.fixture(scope="session")
def cuda_on_cpu(tmp_path_factory: pytest.TempPathFactory) -> CudaOnCpu:
    if shutil.which("g++") is None:
        pytest.skip("no g++ on this machine to build the CUDA sources for the CPU")
    return CudaOnCpu(tmp_path_factory.mktemp("cuda_on_cpu"))


@pytest.fixture
def kernels(cuda_on_cpu: CudaOnCpu, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``kernels.cupy`` whose launches run on the CPU; everything else is the same."""
    cuda_on_cpu.take_over(monkeypatch)
    cuda_on_cpu.launches.clear()
    return cupy


@pytest.fixture
def device() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pytest.importorskip("cupy", reason="cupy is not installed")
    return torch.device("cuda")


class Nvcc:
    """CUDA's offline compiler, where a toolkit is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def compile(
        self, name: str, options: tuple[str, ...], architecture: str
    ) -> Compiled:
        """Compile as Nvrtc does."""
        source = self.folder / f"{name}.cu"
        source.write_text(cuda_source.kernel_source(name))
        command = ["nvcc", "-cubin", f"-arch={architecture}", *options, str(source)]
        command += ["-o", str(self.folder / "kernel.cubin")]
        result = subprocess.run(command, capture_output=True, text=True)
        return Compiled(result.stderr, b"")


@pytest.fixture(scope="session")
def cuda_compiler(tmp_path_factory: pytest.TempPathFactory) -> Nvrtc | Nvcc:
    nvrtc = Nvrtc.find()
    if nvrtc is not None:
        return nvrtc
    if shutil.which("nvcc"):
        return Nvcc(tmp_path_factory.mktemp("nvcc"))
    pytest.skip("neither NVRTC (pip install nvidia-cuda-nvrtc) nor nvcc is there")
