"""NVIDIA's runtime compiler from its pip wheel; needs no GPU and no driver.

Used to inspect the compiled CUDA sources. At run time cupy compiles them with the NVRTC
that it finds.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
from typing import NamedTuple

from snnssl_mm.neurons.kernels.cuda_source import kernel_source

PACKAGES = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")


class Compiled(NamedTuple):
    """Result of a compilation.

    Attributes:
        log: Messages of the compiler; empty unless there are errors or requested infos.
        cubin: Machine code in an ELF file; empty if the compilation failed.
    """

    log: str
    cubin: bytes


class Nvrtc:
    """Compiles kernels to machine code.

    Args:
        library: The loaded ``libnvrtc``; :meth:`find` looks for it.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library

    @classmethod
    def find(cls) -> Nvrtc | None:
        """Load NVRTC from an installed wheel; None if there is none."""
        for package in PACKAGES:
            try:
                files = importlib.metadata.files(package) or []
            except importlib.metadata.PackageNotFoundError:
                continue
            for file in files:
                if re.fullmatch(r"libnvrtc\.so[.\d]*", file.name):
                    return cls(ctypes.CDLL(str(file.locate())))
        return None

    @property
    def version(self) -> str:
        """Version of CUDA, such as ``'13.0'``."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        return f"{major.value}.{minor.value}"

    def compile(
        self, name: str, options: tuple[str, ...], architecture: str
    ) -> Compiled:
        """Compile the kernel ``name`` for ``architecture``, such as ``'sm_90'``."""
        program = ctypes.c_void_p()
        source = kernel_source(name).encode()
        self.library.nvrtcCreateProgram(
            ctypes.byref(program), source, f"{name}.cu".encode(), 0, None, None
        )
        flags = [o.encode() for o in (*options, f"--gpu-architecture={architecture}")]
        array = (ctypes.c_char_p * len(flags))(*flags)
        failed = self.library.nvrtcCompileProgram(program, len(flags), array)
        log = self._read(program, "ProgramLog").rstrip(b"\0").decode()
        cubin = b"" if failed else self._read(program, "CUBIN")
        self.library.nvrtcDestroyProgram(ctypes.byref(program))
        return Compiled(log, cubin)

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        getattr(self.library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(self.library, f"nvrtcGet{what}")(program, buffer)
        return buffer.raw
