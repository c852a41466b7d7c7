"""State of a finished training, to be compared bit by bit with another's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from snnssl_mm.checkpoints.resuming import recorded_checkpoint

CLOCK = ("time", "memory", "eta")  # in names of values that differ between any two runs
RESULTS = ("probes.json", "health.json", "firing_rates.json")


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested mappings and sequences, with their paths."""
    if isinstance(value, HistoryBuffer):
        yield from flat(value.data, name)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{name}/{key}")
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for index, inner in enumerate(value):
            yield from flat(inner, f"{name}/{index}")
    elif isinstance(value, torch.Tensor):
        yield name, value.detach().cpu().numpy()
    else:
        yield name, value


def is_clock(name: str) -> bool:
    """Tell whether a value depends on time or memory."""
    return any(word in name.rpartition("/")[2] for word in CLOCK)


def checkpoint_state(file: Path) -> dict[str, Any]:
    """Read weights, EMA weights, optimizer, schedules, counters and logged numbers."""
    checkpoint = torch.load(file, map_location="cpu", weights_only=False)
    meta, hub = checkpoint["meta"], checkpoint["message_hub"]
    parts = {
        key: checkpoint.get(key)
        for key in ("state_dict", "ema_state_dict", "optimizer", "param_schedulers")
    }
    parts["counters"] = {key: meta[key] for key in ("epoch", "iter", "seed")}
    scalars = hub["log_scalars"].items()
    parts["log"] = {k: v for k, v in scalars if not is_clock(k)}
    parts["kept"] = hub["runtime_info"].get("keep_ckpt_ids")
    return dict(flat(parts))


def logged_rows(work_dir: Path) -> dict[Any, Any]:
    """Read the logged numbers of a run and its resumptions, by step.

    For repeated iterations the last value is used.
    """
    rows: dict[Any, Any] = {}
    for file in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            values = {k: v for k, v in row.items() if not is_clock(k)}
            step = values.pop("step")
            for name, value in values.items():
                rows[f"log {step}/{name}"] = value
    return rows


def run_state(work_dir: Path, last: str) -> dict[str, Any]:
    """Read the state of a finished run that must not depend on interruptions."""
    state = checkpoint_state(work_dir / last) | logged_rows(work_dir)
    for name in RESULTS:
        rows = json.loads((work_dir / name).read_text())["rows"]
        ordered = sorted(rows, key=sort_key)
        state |= dict(flat(ordered, name))
    files = sorted(file.name for file in work_dir.glob("*.pth"))
    return state | {"files": files, "named": Path(recorded_checkpoint(work_dir)).name}


def sort_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the sort key of a results file's row, independent of the writing order."""
    return row["epoch"], row.get("probe", ""), row.get("start", "")


def same(one: Any, two: Any) -> bool:
    """Compare bit by bit; NaN equals NaN."""
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        return one.dtype == two.dtype and one.tobytes() == two.tobytes()
    return type(one) is type(two) and (one == two or (one != one and two != two))


def differences(one: Path, two: Path, last: str) -> list[str]:
    """Name the values in which two runs with the final checkpoint ``last`` differ."""
    a, b = run_state(one, last), run_state(two, last)
    return [
        n for n in sorted({*a, *b}) if n not in a or n not in b or not same(a[n], b[n])
    ]
