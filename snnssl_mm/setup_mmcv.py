#!/usr/bin/env python3
"""Compile mmcv's operators for this environment and install them.

usage: python -m snnssl_mm.setup_mmcv

Detection needs it after a ``pip install``; pretraining, probes and segmentation do not.
It takes minutes and a C++ compiler; on a CUDA machine with the CUDA toolkit the
operators are compiled for the GPU too. The wheel is cached in $SNNSSL_MM_CACHE (else
$XDG_CACHE_HOME, else ~/.cache), under a key of everything that its content depends on.
Why this exists:

* torch is missing in pip's isolated build, so a plain ``pip install onedl-mmcv``
  succeeds *silently without operators*, and pip's wheel cache reuses that wheel.
  Hence ``--no-build-isolation --no-cache-dir``.
* Each of the 78 source files parses the same torch headers, which takes 30 s. One
  precompiled header reduces the total from about 2,500 to about 330 CPU-seconds. GCC
  uses it only if header and files are compiled with the same flags, so this file sets
  both.

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
# Passed as CFLAGS, which replace the interpreter's own in setuptools >= 75.
# Debug symbols of torch headers would take half of the compiler's time and memory.
CFLAGS = ["-fPIC", "-g0", "-O2", "-DNDEBUG", "-fwrapv"]


class BuildError(RuntimeError):
    """Operators that cannot be built or do not work; the message is for the user."""


def cache_folder() -> Path:
    """Return the folder of cached wheels, with one subfolder per key."""
    for name in ("SNNSSL_MM_CACHE", "XDG_CACHE_HOME"):
        if os.environ.get(name):
            return Path(os.environ[name]).resolve() / "snnssl_mm" / "wheels"
    return Path.home() / ".cache" / "snnssl_mm" / "wheels"


def cache_key(requirement: str, torch: str, target: str) -> str:
    """Return the cache's subfolder for a wheel, from everything it depends on.

    Args:
        requirement: Requirement such as ``onedl-mmcv==2.3.6``.
        torch: ``torch.__version__``, with ``+cpu`` or ``+cu130``.
        target: Result of :func:`operators_target`.
    """
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    parts = [requirement, python, platform.machine(), f"torch-{torch}", target]
    return re.sub(r"[^\w.+-]+", "-", "-".join(parts))


def operators_target() -> str:
    """Return the target of the operators: ``cpu`` or GPU architectures."""
    import torch

    if os.environ.get("FORCE_CUDA") == "1":
        return os.environ.get("TORCH_CUDA_ARCH_LIST", "cuda")
    if not torch.cuda.is_available():
        return "cpu"
    if shutil.which("nvcc") is None and not os.environ.get("CUDA_HOME"):
        return "cpu"  # snnssl doctor reports the missing CUDA toolkit
    major, minor = torch.cuda.get_device_capability()
    return os.environ.get("TORCH_CUDA_ARCH_LIST", f"{major}.{minor}")


def intact_wheel(folder: Path) -> Path | None:
    """Return the intact wheel with operators in ``folder``; delete damaged ones."""
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

    The header is compiled with CFLAGS and the flags that torch's ``BuildExtension``
    adds to a C++ source.

    Args:
        folder: Output folder.
        standard: C++ standard such as ``'c++17'``, which the sources must use, too.

    Returns:
        The flags; none if the header does not compile.
    """
    # In a separate process: it imports setuptools, which pip may have just installed,
    # and which cannot be imported after this process's distutils.
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
    """Write a compiler wrapper that replaces mmcv's C++ standard by ``standard``.

    mmcv's setup.py appends ``-std=c++17`` to the command; torch's headers need C++20
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
    """Return compiler flags and environment for a build without CUDA.

    They contain a precompiled header, without which the build takes eight times as
    long, and the C++ standard that torch's headers need.
    """
    for standard in (MMCV_STANDARD, "c++20", "c++23"):
        if flags := precompile_torch_header(folder, standard):
            if standard == MMCV_STANDARD:
                return flags, {}
            return flags, {"CXX": compiler_of(standard, folder)}
    return [], {}


def build_wheel(requirement: str, outdir: Path, target: str) -> Path:
    """Build ``requirement`` for ``target`` in ``outdir``; return the wheel's path."""
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
            raise RuntimeError(f"the wheel of {requirement} has no operators")
        outdir.mkdir(parents=True, exist_ok=True)
        # Copy under another name first: an interrupted copy must not look complete.
        partial = outdir / f"{built.name}.partial"
        shutil.copyfile(built, partial)
        return partial.rename(outdir / built.name)


def missing_compiler() -> str | None:
    """Describe what a build lacks on this machine, and the fix; None if nothing."""
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if shutil.which("g++") is None:
        missing, package = "no C++ compiler (g++) was found", "g++"
    elif not header.exists():
        missing, package = f"{header} is missing", "python3-dev"
    else:
        return None
    return (
        f"{missing}, which compiling mmcv's operators needs; install it (Debian: apt "
        f"install {package}) and run this again"
    )


def installed_requirement() -> str:
    """Return the requirement of the installed mmcv; the tested version if none is."""
    try:
        return f"onedl-mmcv=={importlib.metadata.version('onedl-mmcv')}"
    except importlib.metadata.PackageNotFoundError:
        return DEFAULT_REQUIREMENT


def wheel_of(requirement: str, out: Path | None) -> Path:
    """Return a wheel with operators from the cache, or build it; in ``out`` if given.

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
        # Only detection needs mmcv's CUDA operators.
        print("mmcv's CUDA operators do not compile here; building them for the CPU")
        return build_wheel(requirement, folder, "cpu")


def pip_install(*arguments: str) -> None:
    """Run ``pip install`` in this environment."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", *arguments]
    subprocess.run(command, check=True)


def operators_work() -> bool:
    """Whether ``import mmcv.ops`` works in a separate process."""
    # the workarounds include one for torchvision, which mmcv imports
    code = "from snnssl_mm import compat; compat.apply(); import mmcv.ops"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode == 0


def install(requirement: str) -> str:
    """Compile and install the operators; return a message about what was done.

    Raises:
        BuildError: If something is missing; says what, and how to fix it.
    """
    if operators_work():
        return f"{requirement} has its operators already"
    if importlib.util.find_spec("pip") is None:
        raise BuildError(
            f"{sys.executable} has no pip, which builds and installs mmcv; run "
            "python -m ensurepip (uv: uv pip install pip), then run this again"
        )
    if missing := missing_compiler():
        raise BuildError(missing)
    print(f"compiling the operators of {requirement} (minutes, unless cached) ...")
    tools = [name for name in BUILD_TOOLS if importlib.util.find_spec(name) is None]
    if tools:
        pip_install(*tools)
    wheel = wheel_of(requirement, None)
    # Forced, because pip does not distinguish an mmcv without operators.
    pip_install("--no-deps", "--force-reinstall", str(wheel))
    if not operators_work():
        raise BuildError(
            f"{wheel} is installed, but import mmcv.ops fails; run "
            "snnssl doctor to see the error"
        )
    return f"{requirement} has its operators now"


def main() -> int:
    """Install the operators, or only build the wheel; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--requirement", help="requirement of mmcv; the installed version by default"
    )
    parser.add_argument(
        "--wheel-only",
        action="store_true",
        help="build only; the last line printed is the wheel's path",
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
