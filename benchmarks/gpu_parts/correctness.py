"""What must hold before times mean anything: tests on the GPU, a graph's loss."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from learners import Size
from rows.training_step import step

from gpu_parts.context import TINY, Context, Jobs
from gpu_parts.graphs import WARM_UP, captured
from gpu_parts.variants import CAPTURABLE

ROOT = Path(__file__).resolve().parents[2]
COUNTED = re.compile(r"(\d+) (passed|failed|skipped|errors?|deselected)")
FOLDERS = ("tests/neurons", "tests/models", "tests/engine/hooks")
"""With tests that need a GPU; what matters most comes first."""

REPLAYS = 2


def tests(context: Context, folder: str) -> dict[str, Any]:
    """Run the tests of a folder that need a GPU.

    Raises:
        subprocess.TimeoutExpired: If the time of the part is over.
    """
    command = [sys.executable, "-m", "pytest", "-m", "gpu", folder]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=ROOT,
        timeout=max(1.0, context.left()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return outcome(done.returncode, done.stdout)


def outcome(code: int, output: str) -> dict[str, Any]:
    """Read pytest's exit code and counts; keep the end of what it says of failures."""
    last = output.strip().splitlines()[-1:] or [""]
    found: dict[str, Any] = {"exit_code": code}
    found |= {word: int(number) for number, word in COUNTED.findall(last[0])}
    if code:
        found["output"] = output[-3000:]
    return found


def graph_against_eager(context: Context) -> dict[str, float]:
    """Compare the losses of eager and captured steps after as many updates.

    Convolutions on a GPU may sum in another order each time, so that the difference
    need not be zero.
    """
    size = Size(TINY, "cifar", 32, 8, context.device, projector=32)
    options = dict(CAPTURABLE, capturable=context.device == "cuda")
    eager = step("dual", size, **options)
    for _ in range(WARM_UP + REPLAYS):
        expected = eager()
    replay = captured(step("dual", size, **options), context.device)
    for _ in range(REPLAYS):
        loss = replay()
    return {
        "eager": expected.item(),
        "graph": loss.item(),
        "relative_difference": abs(loss.item() / expected.item() - 1),
    }


def jobs(context: Context) -> Jobs:
    """Tests of the kernels, of the layers, then the whole step."""
    yield "graph against eager", partial(graph_against_eager, context)
    for folder in FOLDERS[:1] if context.tiny else FOLDERS:
        yield f"GPU tests in {folder}", partial(tests, context, folder)
