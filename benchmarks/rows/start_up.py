"""Durations of imports, and of a training until its first iteration is done."""

from __future__ import annotations

import atexit
import re
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from harness import Case, Run, Side

TITLE = "start of a process"
ROOT = Path(__file__).resolve().parents[2]
IMPORTS = {
    "snnssl_mm.neurons": "import snnssl_mm.neurons",
    "snnssl_mm": "import snnssl_mm",
    "snnssl_mm.models, with mmpretrain": "import snnssl_mm.models",
    "python alone": "",
    "torch": "import torch",
    "spikingjelly's neurons": "import spikingjelly.activation_based.neuron",
}
FIRST_ITERATION = re.compile(r"Epoch\(train\)\s+\[1\]\[\s*1/")


def python(code: str, _: object) -> Run:
    """Run a line of Python in a separate process."""

    def run() -> None:
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

    return run


def first_iteration(_: object) -> Run:
    """Start the demo's training; its warm-up run draws the scenes."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    names = ("train", "eval_train", "eval_test")
    command = [
        *(sys.executable, "-u", "tools/train.py", "configs/selfsup/spikformer_ctl.py"),
        *("--work-dir", str(folder / "run"), "--cfg-options"),
        *(f"{name}_dataloader.dataset.data_root={folder}/scenes" for name in names),
        "default_hooks.logger.interval=1",
    ]

    def run() -> None:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        lines = []
        with process:
            for line in process.stdout:
                lines.append(line)
                if FIRST_ITERATION.search(line):
                    process.kill()
                    return
        raise RuntimeError(f"no first iteration: {''.join(lines[-20:])}")

    return run


def cases(device: str, quick: bool) -> list[Case]:
    """Imports in turn, then training."""
    sides = {
        name: Side(partial(python, code), compared=False, memory=False)
        for name, code in IMPORTS.items()
    }
    if quick:
        sides = {"python alone": sides["python alone"]}
    found = [Case("import", sides, budget_s=10, rounds=(2, 5))]
    if not quick:
        training = {"ours": Side(first_iteration, memory=False)}
        found.append(
            Case(
                "tools/train.py until the first iteration is done",
                training,
                budget_s=10,
                rounds=(2, 5),
                headline=True,
            )
        )
    return found
