"""Accuracy, latency and energy of the same weights at several numbers of time steps."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from snnssl_mm.analysis.plots.plot_style import BLUE, styled_figure
from snnssl_mm.checkpoints.preprocessing import transforms_named
from snnssl_mm.probing import Loaders, prepared_inputs
from snnssl_mm.probing.labelled_images import EVAL_LOADERS
from snnssl_mm.recording.machine import is_busy
from snnssl_mm.recording.probe_names import probe_title
from snnssl_mm.recording.table import Table

ENERGIES = {
    "integers_as_spikes": "integers as spikes",
    "integers_as_macs": "integers as MACs",
    "non_spiking": "non-spiking",
}
"""Keys of a row's energy, and their titles."""

FRAMES = ("EventFrames", "PhotometricFrames")
"""Transforms that make clips; their ``time_steps`` is T."""


def config_at(cfg: Config, steps: int) -> Config:
    """Return a copy of a config whose evaluation runs ``steps`` time steps.

    This is a setting of the backbone for still images, and of the pipelines for clips.
    """
    cfg = copy.deepcopy(cfg)
    cfg.model.backbone.time_steps = steps
    set_frames(cfg, EVAL_LOADERS, steps)
    return cfg


def set_frames(cfg: Config, loaders: Iterable[str], steps: int) -> None:
    """Set T of the transforms that make clips in the pipelines of loaders."""
    for name in loaders:
        for transform in transforms_named(cfg.get(name), *FRAMES):
            transform["time_steps"] = steps


def clip_steps(cfg: Config) -> int | None:
    """Return T that the test pipeline sets for clips; None without clips."""
    for name in ("test_dataloader", "eval_test_dataloader"):
        for transform in transforms_named(cfg.get(name), *FRAMES):
            found: int | None = transform.get("time_steps")
            return found
    return None


def require_time_steps(cfg: Config, all_steps: Sequence[int]) -> None:
    """Build the config's backbone for every T, without weights, as a check.

    Raises:
        ValueError: If the backbone refuses a number of time steps.
    """
    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    for steps in all_steps:
        backbone = config_at(cfg, steps).model.backbone
        backbone.pop("init_cfg", None)
        try:
            with torch.device("meta"):
                MODELS.build(backbone)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{backbone.type} refuses T = {steps}: {error}; choose other numbers "
                "with --time-steps"
            ) from error


def first_input(model: Any, loaders: Loaders, steps: int | None = None) -> Tensor:
    """Return the first test image or clip, prepared for the network.

    Args:
        model: The model; its data preprocessor is used.
        loaders: Loaders of labelled images.
        steps: Required T of clips.

    Returns:
        ``[1, C, H, W]`` or ``[T, 1, C, H, W]``.

    Raises:
        ValueError: If a clip has another T.
    """
    inputs, _ = next(iter(prepared_inputs(model, loaders.test)))
    if inputs.dim() == 5 and steps not in (None, len(inputs)):
        raise ValueError(
            f"the test data are clips of {len(inputs)} frames, expected T = {steps}; "
            f"T is set in the pipeline of a loader, by {' or '.join(FRAMES)}"
        )
    return inputs.narrow(-4, 0, 1)


@torch.no_grad()
def latencies_ms(
    networks: Mapping[int, nn.Module],
    inputs: Mapping[int, Tensor],
    seconds: float = 2.0,
) -> dict[int, list[float]]:
    """Measure a forward pass in ms: lower quartile, median, upper quartile.

    The networks run in turn, so that load from other processes affects them equally.

    Args:
        networks: Networks in evaluation mode, by T.
        inputs: Images ``[N, C, H, W]`` or clips ``[T, N, C, H, W]``, by T; the time is
            for all N.
        seconds: Measuring time per network; at least one pass is measured.
    """
    timers = {
        steps: Timer(
            "network(inputs)",
            globals={"network": network, "inputs": inputs[steps]},
            num_threads=torch.get_num_threads(),
        )
        for steps, network in networks.items()
    }
    times: dict[int, list[float]] = {steps: [] for steps in networks}
    end = time.monotonic() + seconds * len(networks)
    for steps, timer in cycle(timers.items()):
        if times[steps] and time.monotonic() > end:
            break
        times[steps].append(1e3 * timer.timeit(1).median)
    return {
        steps: [float(q) for q in np.percentile(found, [25, 50, 75])]
        for steps, found in times.items()
    }


def latency_text(row: Mapping[str, Any]) -> str:
    """Format the median latency of a row in ms, with ≤ if the machine was busy."""
    bound = "≤ " if is_busy(row.get("load")) else ""
    return f"{bound}{row['latency_ms'][1]:.2f}"


def time_steps_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Make the table of accuracy, latency and energy, one line per T.

    Args:
        rows: Rows of ``snnssl measure time-steps``, in any order.
    """
    accuracies = rows[0]["accuracy"]
    head = ["T", *(f"{probe_title(name)}, %" for name in accuracies), "ms an image"]
    head += [f"µJ, {text}" for text in ENERGIES.values()]
    lines = [
        [
            str(row["time_steps"]),
            *(f"{100 * row['accuracy'][name]:.1f}" for name in accuracies),
            latency_text(row),
            *(f"{row['energy_uj'][name]:.3g}" for name in ENERGIES),
        ]
        for row in sorted(rows, key=lambda row: row["time_steps"])
    ]
    return Table(head, lines, "the same weights over time steps")


def plot_time_steps(
    rows: Sequence[Mapping[str, Any]], trained_at: int, out: Path
) -> Path:
    """Draw accuracy, latency and energy over T.

    Args:
        rows: Rows of ``snnssl measure time-steps``, in any order.
        trained_at: T of the pretraining, marked by a line.
        out: Picture to write.
    """
    rows = sorted(rows, key=lambda row: row["time_steps"])
    steps = [row["time_steps"] for row in rows]
    busy = any(is_busy(row.get("load")) for row in rows)
    with styled_figure(out, 3.5) as figure:
        axes = figure.subplots(1, 3)
        for name, style in (
            ("linear", "o-"),
            ("linear_of_trained_T", "s--"),
            ("knn", "^-"),
        ):
            values = [100 * row["accuracy"][name] for row in rows]
            axes[0].plot(steps, values, style, label=probe_title(name))
        axes[0].set(title="Accuracy", ylabel="top-1 on unseen images, %")

        low, middle, high = np.array([row["latency_ms"] for row in rows]).T
        label = "median (busy machine: upper bound)" if busy else "median"
        axes[1].plot(steps, middle, "o-", label=label)
        axes[1].errorbar(
            steps, middle, [middle - low, high - middle], fmt="none", ecolor=BLUE,
            alpha=0.5, capsize=3, label="quartiles",
        )  # fmt: skip
        axes[1].set(title="Latency, one image", ylabel="ms an image")

        for (name, text), style in zip(
            ENERGIES.items(), ("o-", "s-", "k:"), strict=True
        ):
            values = [row["energy_uj"][name] for row in rows]
            if name == "non_spiking" and len(set(values)) == 1:
                axes[2].axhline(values[0], color="black", ls=":", label=text)
            else:
                axes[2].plot(steps, values, style, label=text)
        axes[2].set(title="Energy (estimated)", ylabel="µJ an image")
        for axis in axes[1:]:
            axis.set_ylim(0, 1.25 * axis.get_ylim()[1])
        for axis in axes:
            axis.axvline(trained_at, color="0.6", lw=0.8, zorder=0)
            axis.set_xlabel("time steps T (line: as pretrained)")
            axis.set_xticks(steps if len(steps) <= 9 else steps[::2])
            axis.legend()
            if len(steps) == 1:  # matplotlib would show 3.8 to 4.2
                axis.set_xlim(steps[0] - 1, steps[0] + 1)
        if len(steps) == 1:
            axes[0].set_ylim(0, 100)
    return out
