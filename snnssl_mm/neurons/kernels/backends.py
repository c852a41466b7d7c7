"""Choice of a neuron's kernels: which backend computes a tensor, and where it lies.

Backend ``'torch'`` is the reference on any device and in any type. The fused ones each
have a device, a library and a module of this folder.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from typing import Any

import torch
from torch import Tensor

BACKENDS = ("auto", "torch", "cpu", "cupy")
DEVICES = {"cpu": "cpu", "cupy": "cuda"}
"""Type of device that each fused backend computes on."""
LIBRARIES = {"cpu": "numba", "cupy": "cupy"}
FUSED_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def kernels_for(x: Tensor) -> Any:
    """Import the fused kernels of a tensor's device; only here does numba or cupy."""
    for backend, device in DEVICES.items():
        if device == x.device.type:
            return kernels(backend)
    raise ValueError(f"no fused kernels for tensors on {x.device}")


def kernels(backend: str) -> Any:
    """Import the module of a fused backend."""
    return importlib.import_module(f"snnssl_mm.neurons.kernels.{backend}")


def takes(backend: str, x: Tensor) -> bool:
    """Whether a backend is a fused one that computes ``x``."""
    return x.device.type == DEVICES.get(backend) and x.dtype in FUSED_DTYPES


def refusal(backend: str, x: Tensor) -> Exception:
    """Error that says why a fused backend does not compute ``x``."""
    if x.device.type != DEVICES[backend]:
        return ValueError(
            f"backend {backend!r} got a tensor on {x.device}; "
            "move it, or use backend='auto'"
        )
    return TypeError(
        f"backend {backend!r} computes in float32 and got {x.dtype}; "
        "use backend='torch' for float64"
    )


def chosen_backend(backend: str, x: Tensor) -> str:
    """Backend that computes ``x``: the one named, or the best for ``'auto'``."""
    if backend != "auto":
        return backend
    return automatic_backend(x.device.type, x.dtype)


def automatic_backend(device: str, dtype: torch.dtype) -> str:
    """Choose the backend of ``'auto'``; warn once if the fused one is not usable."""
    return _automatic_backend(device, dtype)


def is_usable(backend: str) -> bool:
    """Whether ``'cpu'`` or ``'cupy'`` can be used here."""
    return not backend_problem(backend)


# They import, which cannot be traced. This is all that assume_constant_result of
# torch.compiler does besides importing torch._dynamo, which is slow.
for function in (automatic_backend, is_usable):
    vars(function)["_dynamo_marked_constant"] = True


@functools.cache
def _automatic_backend(device: str, dtype: torch.dtype) -> str:
    fused = (backend for backend, where in DEVICES.items() if where == device)
    backend = next(fused, "torch")
    if dtype not in FUSED_DTYPES or backend == "torch":
        return "torch"
    problem = backend_problem(backend)
    if problem:
        warnings.warn(
            f"neurons fall back to the slow 'torch' backend: {problem}", stacklevel=3
        )
        return "torch"
    return backend


def require_backend(backend: str) -> None:
    """Refuse a backend that is unknown or cannot be used here.

    Raises:
        ValueError: If there is none of that name.
        ImportError: If it cannot be used, with the true cause.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; expected one of {BACKENDS}")
    if backend in DEVICES and (problem := backend_problem(backend)):
        raise ImportError(problem)


@functools.cache
def backend_problem(backend: str) -> str:
    """Say why a fused backend cannot be used here; empty if it can."""
    try:
        library = importlib.import_module(LIBRARIES[backend])
        kernels(backend)
        if backend == "cupy":  # it imports without the compiler that it needs later
            library.cuda.nvrtc.getVersion()
    except Exception as cause:  # a broken CUDA driver raises other things on import
        return f"backend {backend!r} is not usable: {cause!r}. {_remedy(backend)}"
    return ""


def _remedy(backend: str) -> str:
    if backend == "cpu":
        return "Install it with `pip install numba`."
    cuda = torch.version.cuda
    if cuda is None:
        return (
            "This torch has no CUDA: install one that has and `pip install "
            "cupy-cuda13x` (cupy-cuda12x for CUDA 12), or use backend='auto'."
        )
    package = f"cupy-cuda{cuda.split('.')[0]}x"
    return f"Install it with `pip install {package}` (torch is built for CUDA {cuda})."
