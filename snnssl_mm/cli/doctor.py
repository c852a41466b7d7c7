"""Check the environment: installed libraries, and known bugs with their status.

The last line is the verdict. The libraries are imported in other processes, so one that
crashes is named. The exit status is 1 if something is broken.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata

from snnssl_mm.compat import WORKAROUNDS, Status

IMPORTER = """
import json, sys
for name, code in json.loads(sys.argv[1]).items():
    try:
        exec(code)
        result = name, True, str(getattr(m, "__version__", "imports"))
    except BaseException as error:
        result = name, False, f"{type(error).__name__}: {error}"
    print("\\nIMPORTED", json.dumps(result), flush=True)
"""
CURED = "from snnssl_mm import compat; compat.apply(); "
CORE = {
    "torch": "import torch as m",
    "torchvision": CURED + "import torchvision as m",
    "numba": "import numba as m; m.njit(lambda x: x + 1)(1)",
    "OpenCV": "import cv2 as m",
    "scikit-learn": "import sklearn as m",
    "spikingjelly": CURED + "import spikingjelly.activation_based.neuron as m",
}
OPENMMLAB = {
    "mmengine": CURED + "import mmengine.runner, mmengine as m",
    "mmcv": CURED + "import mmcv as m",
    "mmcv operators": CURED + "import mmcv.ops, mmcv as m",
    "mmdet": CURED + "import mmdet.models, mmdet as m",
    "mmseg": CURED + "import mmseg.models, mmseg as m",
    "mmpretrain": CURED + "import mmpretrain.models, mmpretrain as m",
}
LIBRARIES = (CORE, OPENMMLAB)
"""Libraries that share a process."""
VERSION = "; print(getattr(m, '__version__', 'imports'))"
CURES = {
    "OpenCV": "on Debian: apt install libgl1 libglib2.0-0",
    "mmcv operators": "pip's wheel has none: run python -m snnssl_mm.setup_mmcv",
}
STYLES = {"broken": "bold red", "cured": "green", "absent": "green"}


def try_import(code: str) -> tuple[bool, str]:
    """Run ``code``, which imports a module as ``m``, in a separate process.

    Returns:
        Whether it succeeded, and the version or the last line of the error.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code + VERSION],
        capture_output=True,
        text=True,
        cwd=tempfile.gettempdir(),
        check=False,
    )
    if done.returncode < 0:
        return False, f"killed by signal {-done.returncode}"
    return done.returncode == 0, last_line(
        done.stderr if done.returncode else done.stdout
    )


def try_imports(codes: dict[str, str]) -> dict[str, tuple[bool, str]]:
    """Import several modules in one process, and the rest in another if that dies.

    Returns:
        As :func:`try_import`, by name.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORTER, json.dumps(codes)],
        capture_output=True,
        text=True,
        cwd=tempfile.gettempdir(),
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("IMPORTED ")]
    rows = [json.loads(line.removeprefix("IMPORTED ")) for line in lines]
    found = {name: (works, last_line(said)) for name, works, said in rows}
    rest = {name: code for name, code in codes.items() if name not in found}
    if rest:
        name = next(iter(rest))
        said = f"exit status {done.returncode}"
        if done.returncode < 0:
            said = f"killed by signal {-done.returncode}"
        found[name] = False, said
        del rest[name]
    return found | (try_imports(rest) if rest else {})


def last_line(text: str) -> str:
    """Return the last line of a message."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"


def torch_and_gpu() -> Status:
    """A torch for CUDA without a working GPU, or a GPU with a torch for CPUs."""
    import torch

    gpu = shutil.which("nvidia-smi") is not None
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        return Status("absent", f"CUDA {torch.version.cuda}, {name}")
    if gpu and torch.version.cuda is None:
        return Status("broken", "nvidia-smi exists, but torch is built for CPUs only")
    if gpu:
        return Status("broken", f"torch has CUDA {torch.version.cuda} but finds no GPU")
    return Status("not applicable", "no GPU")


def cupy_and_cuda() -> Status:
    """CuPy of another CUDA than torch's: kernels fail to load."""
    import torch

    names = {dist.name.lower() for dist in metadata.distributions()}
    found = sorted(name for name in names if name.startswith("cupy"))
    if torch.version.cuda is None:
        return Status("not applicable", "torch is built for CPUs")
    wanted = f"cupy-cuda{torch.version.cuda.partition('.')[0]}x"
    if not found and not torch.cuda.is_available():
        return Status("not applicable", "torch sees no GPU")
    if not found:
        return Status("absent", f"no CuPy: neurons run in torch; pip install {wanted}")
    if found != [wanted]:
        return Status("broken", f"{', '.join(found)} installed, expected {wanted} only")
    works, said = try_import("import cupy as m; m.zeros(1)")
    return Status("absent" if works else "broken", f"{wanted} {said}")


def mmcv_on_gpu() -> Status:
    """Mmcv's nms: implementation for device cuda:0 not found."""
    import torch

    if not torch.cuda.is_available():
        return Status("not applicable", "no GPU")
    works, said = try_import(
        "import torch, mmcv as m; from mmcv.ops import nms; "
        "nms(torch.rand(2, 4).cuda(), torch.rand(2).cuda(), 0.5)"
    )
    if works:
        return Status("absent", "mmcv's operators have CUDA kernels")
    cure = "install the CUDA toolkit, remove .venv and run tools/setup_env.py"
    return Status("broken", f"{said}; {cure}")


def stray_packages() -> Status:
    """Top-level packages ``tests`` and ``docs`` of other distributions."""
    stray = {"tests", "docs"} & metadata.packages_distributions().keys()
    if not stray:
        return Status("absent", "neither tests nor docs is in site-packages")
    return Status("cured", f"{', '.join(sorted(stray))}: our tests do not import them")


MACHINE: tuple[Callable[[], Status], ...] = (torch_and_gpu, cupy_and_cuda, mmcv_on_gpu)


def status_of(function: Callable[[], Status]) -> Status:
    """Return the status of a check; one that raises is broken."""
    try:
        return function()
    except Exception as error:  # a damaged installation may raise anything
        return Status("broken", f"{type(error).__name__}: {error}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--all",
        action="store_true",
        help="list all known bugs of other libraries, also those that are worked "
        "around or do not occur here",
    )


def run(args: argparse.Namespace) -> int:
    """Print both tables and the verdict; return 1 if a row is broken."""
    print("importing all libraries, which takes some seconds ...", flush=True)
    broken = print_libraries() + print_bugs(args.all)
    print(f"{broken} broken" if broken else "nothing is broken")
    return int(broken > 0)


def print_libraries() -> int:
    """Print which libraries can be imported; return how many cannot."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    broken = 0
    table = Table("library", "version", title=f"Python {platform.python_version()}")
    with ThreadPoolExecutor(max_workers=2) as pool:
        found = [
            row for part in pool.map(try_imports, LIBRARIES) for row in part.items()
        ]
        for name, (works, said) in found:
            broken += not works
            said = said if works else f"{said}; {CURES.get(name, 'reinstall it')}"
            table.add_row(name, Text(said), style="" if works else STYLES["broken"])
    Console().print(table)
    return broken


def print_bugs(every: bool = False) -> int:
    """Print the status of known bugs; return how many are not worked around.

    Args:
        every: Whether to print all; otherwise those that are broken, what was found
            about the GPU, and how many others there are.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("known bug", "status", "what was found")
    counts: Counter[str] = Counter()
    for function in (*MACHINE, stray_packages, *(row.function for row in WORKAROUNDS)):
        status = status_of(function)
        counts[status.state] += 1
        of_gpu = function in MACHINE and status.state != "not applicable"
        if not (every or of_gpu or status.state == "broken"):
            continue
        symptom = (function.__doc__ or "").splitlines()[0].replace("``", "")
        state = Text(status.state, style=STYLES.get(status.state, ""))
        table.add_row(Text(symptom), state, Text(status.detail))
    if table.row_count:
        Console().print(table)
    print(
        f"{counts.total()} known bugs of other libraries: {counts['cured']} worked "
        f"around, {counts['absent'] + counts['not applicable']} do not occur here"
        + ("" if every else "; --all lists them")
    )
    return counts["broken"]
