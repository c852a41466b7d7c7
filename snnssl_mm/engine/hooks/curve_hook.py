"""Record every evaluation of a training, with the time until then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from snnssl_mm.probing.trained_probes import ClockHook
from snnssl_mm.registry import HOOKS

FILE = "evaluations.jsonl"


@HOOKS.register_module()
class CurveHook(ClockHook):
    """Append each evaluation to ``evaluations.jsonl`` in the work directory.

    A line has ``seconds`` of training until then, with evaluations, before and after
    resumptions; ``step``, the iteration; and ``metrics`` as the evaluators named them.
    """

    def after_val_epoch(
        self, runner: Any, metrics: dict[str, float] | None = None
    ) -> None:
        """Write a line."""
        row = {
            "seconds": round(self.seconds(), 1),
            "step": runner.iter,
            "metrics": {k: float(v) for k, v in (metrics or {}).items()},
        }
        with Path(runner.work_dir, FILE).open("a") as file:
            file.write(json.dumps(row) + "\n")


def read_curve(work_dir: Path) -> list[dict[str, Any]]:
    """Read the evaluations of a work directory, by iteration.

    An evaluation that a resumed run repeated counts once; one of several processes too.
    """
    file = work_dir / FILE
    found: dict[int, dict[str, Any]] = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:  # a killed run left it incomplete
            continue
        found[row["step"]] = row
    return [found[step] for step in sorted(found)]
