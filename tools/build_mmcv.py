#!/usr/bin/env python3
"""Build a wheel of onedl-mmcv with its compiled operators, in minutes, and keep it.

usage: python tools/build_mmcv.py [OUTDIR] [--requirement onedl-mmcv==2.3.6]

Run it with the interpreter that will use the wheel; torch must be installed there.
The last line printed is the wheel's path. Without OUTDIR the wheel is kept in
$SNNSSL_MM_CACHE (else $XDG_CACHE_HOME, else ~/.cache), under a key of all that its
content depends on, and the next call takes it from there. Why this exists:

* In pip's isolated build torch is missing, so a plain ``pip install onedl-mmcv``
  succeeds *without operators and without a word*; pip's wheel cache then hands
  that wheel out again. Hence ``--no-build-isolation --no-cache-dir``.
* Each of the 78 source files parses the same torch headers, 30 s apiece. One
  precompiled header brings all of them from about 2,500 to about 330 CPU-seconds.
  GCC takes it only if header and files are compiled with the same flags, so both
  get theirs from here.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

DEFAULT_REQUIREMENT = "onedl-mmcv==2.3.6"
# Handed over as CFLAGS, which replace the interpreter's own in setuptools >= 75.
# Debug symbols of torch headers would cost half of the compiler's time and memory.
CFLAGS = ["-fPIC", "-g0", "-O2", "-DNDEBUG", "-fwrapv"]


def cache_folder() -> Path:
    """Return the folder in which built wheels are kept, one subfolder a key."""
    for name in ("SNNSSL_MM_CACHE", "XDG_CACHE_HOME"):
        if os.environ.get(name):
            return Path(os.environ[name]).resolve() / "snnssl_mm" / "wheels"
    return Path.home() / ".cache" / "snnssl_mm" / "wheels"


def cache_key(requirement: str, torch: str, target: str) -> str:
    """Name the cache's subfolder for a wheel; all parts of it change the content.

    Args:
        requirement: Such as ``onedl-mmcv==2.3.6``.
        torch: ``torch.__version__``, with ``+cpu`` or ``+cu130``.
        target: As :func:`operators_target` returns it.
    """
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    parts = [requirement, python, platform.machine(), f"torch-{torch}", target]
    return re.sub(r"[^\w.+-]+", "-", "-".join(parts))


def operators_target() -> str:
    """Return what operators are compiled for: ``cpu`` or GPU architectures."""
    import torch

    if os.environ.get("FORCE_CUDA") == "1":
        return os.environ.get("TORCH_CUDA_ARCH_LIST", "cuda")
    if not torch.cuda.is_available():
        return "cpu"
    if shutil.which("nvcc") is None and not os.environ.get("CUDA_HOME"):
        return "cpu"  # tools/check_env.py names the missing CUDA toolkit
    major, minor = torch.cuda.get_device_capability()
    return os.environ.get("TORCH_CUDA_ARCH_LIST", f"{major}.{minor}")


def whole_wheel(folder: Path) -> Path | None:
    """Return the wheel with operators in `folder`; delete damaged ones."""
    for wheel in sorted(folder.glob("onedl_mmcv-*.whl")):
        try:
            with zipfile.ZipFile(wheel) as archive:
                names = archive.namelist() if archive.testzip() is None else []
        except (zipfile.BadZipFile, EOFError):
            names = []
        if any(name.startswith("mmcv/_ext.") for name in names):
            return wheel
        wheel.unlink()
    return None


def precompile_torch_header(folder: Path) -> list[str]:
    """Precompile ``<torch/types.h>``; return the flags that make GCC use it.

    Besides CFLAGS they are what torch's ``BuildExtension`` adds to a C++ source.
    """
    from torch.utils.cpp_extension import include_paths

    header = folder / "torch_pch.h"
    header.write_text("#include <torch/types.h>\n")
    command = ["g++", *CFLAGS, "-std=c++17"]
    command += ["-DTORCH_API_INCLUDE_EXTENSION_H", "-DTORCH_EXTENSION_NAME=_ext"]
    for path in [*include_paths(), sysconfig.get_path("include")]:
        command += ["-I", path]
    command += ["-x", "c++-header", str(header), "-o", f"{header}.gch"]
    if subprocess.run(command, check=False).returncode != 0:
        return []  # the build then takes eight times as long, and says itself why
    return ["-include", str(header), "-Winvalid-pch"]


def build_wheel(requirement: str, outdir: Path, target: str) -> Path:
    """Build `requirement` for `target` into `outdir` and return the wheel's path."""
    env = dict(os.environ, MMCV_WITH_OPS="1")
    env.setdefault("MAX_JOBS", str(os.cpu_count() or 1))
    with tempfile.TemporaryDirectory(prefix="mmcv-build-") as scratch:
        flags = list(CFLAGS)
        if target == "cpu":
            env["CUDA_VISIBLE_DEVICES"] = ""  # mmcv's setup.py asks torch for a GPU
            if sys.platform == "linux":
                flags += precompile_torch_header(Path(scratch))
        env["CFLAGS"] = " ".join([env.get("CFLAGS", ""), *flags]).strip()
        pip = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation"]
        pip += ["--no-deps", "--no-cache-dir", "--no-binary", "onedl-mmcv"]
        subprocess.run([*pip, "-w", scratch, requirement], check=True, env=env)
        built = whole_wheel(Path(scratch))
        if built is None:
            raise RuntimeError(f"the wheel of {requirement} holds no operators")
        outdir.mkdir(parents=True, exist_ok=True)
        # Copy under another name first: an interrupted copy must not look whole.
        partial = outdir / f"{built.name}.partial"
        shutil.copyfile(built, partial)
        return partial.rename(outdir / built.name)


def main() -> None:
    """Parse the command line, and build unless the cache has the wheel."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("outdir", type=Path, nargs="?", help="default: the cache")
    parser.add_argument("--requirement", default=DEFAULT_REQUIREMENT)
    args = parser.parse_args()

    import torch

    target = operators_target()
    key = cache_key(args.requirement, torch.__version__, target)
    wheel = None if args.outdir else whole_wheel(cache_folder() / key)
    outdir = args.outdir or cache_folder() / key
    try:
        print(wheel or build_wheel(args.requirement, outdir, target))
    except subprocess.CalledProcessError:
        if target == "cpu":
            raise
        # Pretraining and segmentation need no CUDA operator of mmcv; detection does.
        print("mmcv's CUDA operators do not compile here; building those for the CPU")
        print(build_wheel(args.requirement, outdir, "cpu"))


if __name__ == "__main__":
    main()
