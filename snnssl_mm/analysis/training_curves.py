"""Training curves: loss parts, k-NN accuracy and firing rate over epochs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from snnssl_mm.analysis.run_log import read_scalars

LABELS = {
    "pretrained": "pretrained",
    "random_init": "random init",
    "raw_pixels": "raw pixels",
}


def read_log(work_dir: Path) -> list[dict[str, Any]]:
    """Read the logged iterations of a run, in order; a resumed run is one run.

    Args:
        work_dir: Work directory that holds ``<time>/vis_data/scalars.json``.

    Raises:
        FileNotFoundError: If there is no log.
    """
    rows: list[dict[str, Any]] = []
    for start in read_scalars(work_dir):
        later = [row for row in start if "loss" in row]
        if later:  # a resumed run repeats what its checkpoint did not hold
            rows = [row for row in rows if row["step"] < later[0]["step"]] + later
    return rows


def epochs_of(rows: list[dict[str, Any]]) -> list[float]:
    """Time of the logged iterations in epochs."""
    first, last = rows[0], rows[-1]
    if last["epoch"] > first["epoch"]:
        start = next(row["step"] for row in rows if row["epoch"] == last["epoch"])
        per_epoch = (start - first["step"]) / (last["epoch"] - first["epoch"])
    else:
        per_epoch = last["step"]
    return [row["step"] / per_epoch for row in rows]


def plot_training(work_dir: Path, out: Path) -> Path:
    """Draw a run's curves to the picture ``out``."""
    rows = read_log(work_dir)
    epochs = epochs_of(rows)
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), constrained_layout=True)

    for key, label in (
        ("on_diagonal", "alignment (on-diagonal)"),
        ("off_diagonal", "redundancy (off-diagonal, weighted)"),
    ):
        axes[0].plot(epochs, [row[key] for row in rows], label=label)
    axes[0].set(title="loss parts", xlabel="epoch", yscale="log")
    axes[0].legend(frameon=False)

    probes = Path(work_dir, "probes.json")
    knn = json.loads(probes.read_text()) if probes.exists() else []
    knn = sorted((r for r in knn if r["probe"] == "k-NN"), key=lambda r: r["epoch"])
    for key, style in zip(LABELS, ("o-", "--", ":"), strict=True):
        values = [100 * row[key] for row in knn]
        axes[1].plot([r["epoch"] for r in knn], values, style, label=LABELS[key])
    axes[1].set(title="k-NN on unseen images", xlabel="epoch", ylabel="top-1, %")
    axes[1].set_ylim(0, 100)
    if knn:
        axes[1].legend(frameon=False)
    else:
        middle = dict(ha="center", transform=axes[1].transAxes)
        axes[1].text(0.5, 0.5, "no labelled images", **middle)

    measured = [
        (epoch, row["firing_rate"])
        for epoch, row in zip(epochs, rows, strict=True)
        if "firing_rate" in row
    ]
    if measured:
        axes[2].plot(*zip(*measured, strict=True), color="tab:green")
    axes[2].set(title="firing rate, mean of all neurons", xlabel="epoch")
    axes[2].set_ylabel("spikes per neuron and step")
    axes[2].set_ylim(bottom=0)

    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
    plt.close(figure)
    return out
