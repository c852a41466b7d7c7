#!/usr/bin/env python3
"""Compile mmcv's operators for this environment and install them.

usage: python -m snnssl_mm.setup_mmcv

Detection needs it after a ``pip install``; pretraining, probes and segmentation do not.
It takes minutes and a C++ compiler; on a CUDA machine with its toolkit the operators
are compiled for the GPU too. The wheel is kept in $SNNSSL_MM_CACHE (else
$XDG_CACHE_HOME, else ~/.cache), under a key of all that its content depends on, and the
next call takes it from there. Why this exists:

* In pip's isolated build torch is missing, so a plain ``pip install onedl-mmcv``
  succeeds *without operators and without a word*; pip's wheel cache then hands
  that wheel out again. Hence ``--no-build-isolation --no-cache-dir``.
* Each of the 78 source files parses the same torch headers, 30 s apiece. One
  precompiled header brings all of them from about 2,500 to about 330 CPU-seconds.
  GCC takes it only if header and files are compiled with the same flags, so both
  get theirs from here.

Standard library only: tools/setup_env.py runs this file before the package exists.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
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
BUILD_TOOLS = ["setuptools", "wheel", "packaging", "ninja"]
MMCV_STANDARD = "c++17"
# Handed over as CFLAGS, which replace the interpreter's own in setuptools >= 75.
# Debug symbols of torch headers would cost half of the compiler's time and memory.
CFLAGS = ["-fPIC", "-g0", "-O2", "-DNDEBUG", "-fwrapv"]


class BuildError(RuntimeError):
    """Operators that cannot be compiled or do not work; the message is for the user."""


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


def intact_wheel(folder: Path) -> Path | None:
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


def precompile_torch_header(folder: Path, standard: str) -> list[str]:
    """Precompile ``<torch/types.h>``; return the flags that make GCC use it.

    Besides CFLAGS they are what torch's ``BuildExtension`` adds to a C++ source. There
    are none if the header does not compile.

    Args:
        folder: Where it is written.
        standard: Such as ``'c++17'``; the sources must be compiled by the same.
    """
    # In a process of its own: it imports setuptools, which another pip may have just
    # installed, and which refuses to come after the distutils of this process.
    code = "from torch.utils.cpp_extension import include_paths"
    code += "; print(*include_paths(), sep='|')"
    asked = [sys.executable, "-c", code]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        return []
    header = folder / "torch_pch.h"
    header.write_text("#include <torch/types.h>\n")
    command = ["g++", *CFLAGS, f"-std={standard}"]
    command += ["-DTORCH_API_INCLUDE_EXTENSION_H", "-DTORCH_EXTENSION_NAME=_ext"]
    include_paths = found.stdout.strip().splitlines()[-1].split("|")
    for path in [*include_paths, sysconfig.get_path("include")]:
        command += ["-I", path]
    command += ["-x", "c++-header", str(header), "-o", f"{header}.gch"]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        return []
    return ["-include", str(header), "-Winvalid-pch"]


def compiler_of(standard: str, folder: Path) -> str:
    """Write a compiler that takes ``standard`` for the one that mmcv asks for.

    mmcv's setup.py puts ``-std=c++17`` last on the line; torch's headers need C++20
    since 2.14.
    """
    script = folder / "c++"
    script.write_text(
        "#!/bin/sh\n"
        "for argument; do\n"
        "  shift\n"
        f'  [ "$argument" = -std={MMCV_STANDARD} ] && argument=-std={standard}\n'
        '  set -- "$@" "$argument"\n'
        "done\n"
        'exec g++ "$@"\n'
    )
    script.chmod(0o755)
    return str(script)


def cpu_build_options(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Flags and environment for operators without CUDA, as torch's headers need them.

    Without a precompiled header the build takes eight times as long.
    """
    for standard in (MMCV_STANDARD, "c++20", "c++23"):
        if flags := precompile_torch_header(folder, standard):
            if standard == MMCV_STANDARD:
                return flags, {}
            return flags, {"CXX": compiler_of(standard, folder)}
    return [], {}


def build_wheel(requirement: str, outdir: Path, target: str) -> Path:
    """Build `requirement` for `target` into `outdir` and return the wheel's path."""
    env = dict(os.environ, MMCV_WITH_OPS="1")
    env.setdefault("MAX_JOBS", str(os.cpu_count() or 1))
    with tempfile.TemporaryDirectory(prefix="mmcv-build-") as scratch:
        flags = list(CFLAGS)
        if target == "cpu":
            env["CUDA_VISIBLE_DEVICES"] = ""  # mmcv's setup.py asks torch for a GPU
            if sys.platform == "linux":
                found, variables = cpu_build_options(Path(scratch))
                flags += found
                env.update(variables)
        env["CFLAGS"] = " ".join([env.get("CFLAGS", ""), *flags]).strip()
        pip = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation"]
        pip += ["--no-deps", "--no-cache-dir", "--no-binary", "onedl-mmcv"]
        subprocess.run([*pip, "-w", scratch, requirement], check=True, env=env)
        built = intact_wheel(Path(scratch))
        if built is None:
            raise RuntimeError(f"the wheel of {requirement} holds no operators")
        outdir.mkdir(parents=True, exist_ok=True)
        # Copy under another name first: an interrupted copy must not look whole.
        partial = outdir / f"{built.name}.partial"
        shutil.copyfile(built, partial)
        return partial.rename(outdir / built.name)


def missing_compiler() -> str | None:
    """Say what a build lacks on this machine, and the cure; None if nothing."""
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if shutil.which("g++") is None:
        missing, package = "no C++ compiler (g++) was found", "g++"
    elif not header.exists():
        missing, package = f"{header} is missing", "python3-dev"
    else:
        return None
    return (
        f"{missing}, but mmcv's operators must be compiled; install it (Debian: apt "
        f"install {package}) and run this again"
    )


def installed_requirement() -> str:
    """Return the mmcv that is installed, as pip names it; the tried one if none is."""
    try:
        return f"onedl-mmcv=={importlib.metadata.version('onedl-mmcv')}"
    except importlib.metadata.PackageNotFoundError:
        return DEFAULT_REQUIREMENT


def wheel_of(requirement: str, out: Path | None) -> Path:
    """Return a wheel with operators, from the cache or built; into ``out`` if given.

    Raises:
        subprocess.CalledProcessError: If compilation fails.
    """
    import torch

    target = operators_target()
    folder = out or cache_folder() / cache_key(requirement, torch.__version__, target)
    wheel = intact_wheel(folder) if folder.is_dir() else None
    try:
        return wheel or build_wheel(requirement, folder, target)
    except subprocess.CalledProcessError:
        if target == "cpu":
            raise
        # Pretraining and segmentation need no CUDA operator of mmcv; detection does.
        print("mmcv's CUDA operators do not compile here; building those for the CPU")
        return build_wheel(requirement, folder, "cpu")


def pip_install(*arguments: str) -> None:
    """Run ``pip install`` in this environment."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", *arguments]
    subprocess.run(command, check=True)


def operators_work() -> bool:
    """Whether ``import mmcv.ops`` works, in a process of its own."""
    # the workarounds mend what breaks torchvision
    code = "from snnssl_mm import compat; compat.apply(); import mmcv.ops"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode == 0


def install(requirement: str) -> str:
    """Compile and install the operators; return what was done.

    Raises:
        BuildError: If something is missing; it says what, and the cure.
    """
    if operators_work():
        return f"{requirement} has its operators already"
    if importlib.util.find_spec("pip") is None:
        raise BuildError(
            f"{sys.executable} has no pip, which builds and installs mmcv; run "
            "python -m ensurepip (uv: uv pip install pip) and this again"
        )
    if missing := missing_compiler():
        raise BuildError(missing)
    print(f"compiling the operators of {requirement} (minutes, unless cached) ...")
    tools = [name for name in BUILD_TOOLS if importlib.util.find_spec(name) is None]
    if tools:
        pip_install(*tools)
    wheel = wheel_of(requirement, None)
    # Forced, because to pip an mmcv without operators is the same thing.
    pip_install("--no-deps", "--force-reinstall", str(wheel))
    if not operators_work():
        raise BuildError(
            f"{wheel} is installed, but import mmcv.ops fails; run "
            "snnssl doctor, which shows the error"
        )
    return f"{requirement} has its operators now"


def main() -> int:
    """Install the operators, or only make the wheel; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--requirement", help="which mmcv; the installed one by default"
    )
    parser.add_argument(
        "--wheel-only",
        action="store_true",
        help="install nothing; the last line printed is the wheel's path",
    )
    parser.add_argument(
        "--out", type=Path, help="folder for the wheel; the cache by default"
    )
    args = parser.parse_args()
    requirement = args.requirement or installed_requirement()
    try:
        if args.wheel_only or args.out:
            print(wheel_of(requirement, args.out))
        else:
            print(install(requirement))
    except BuildError as error:
        message = str(error)
    except subprocess.CalledProcessError as error:
        message = (
            f"{' '.join(map(str, error.cmd[2:5]))} failed (see above); check compiler, "
            "disk and network, and run this again"
        )
    else:
        return 0
    print(f"error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
