"""Training curves: loss parts, k-NN accuracy and firing rate over epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.ticker import MaxNLocator

from snnssl_mm.analysis.plots.plot_style import GREEN, GREY, ORANGE, styled_figure
from snnssl_mm.probing.probe_table import course_of
from snnssl_mm.recording.probe_names import probe_title
from snnssl_mm.recording.results_file import read_report
from snnssl_mm.recording.run_log import read_scalars

PARTS = (
    ("on_diagonal", "alignment of views"),
    ("off_diagonal", "redundancy, weighted"),
    ("invariance", "distance of views, weighted"),
    ("variance", "lack of variance, weighted"),
    ("covariance", "covariance, weighted"),
    ("gaussianity", "distance to a Gaussian, weighted"),
)
LOSS = (("loss", "loss"),)


def read_log(work_dir: Path) -> list[dict[str, Any]]:
    """Read the logged iterations of a run, in order, across resumptions.

    Args:
        work_dir: Work directory that holds ``<time>/vis_data/scalars.json``.

    Raises:
        FileNotFoundError: If there is no log, or it has no iteration yet.
    """
    rows: list[dict[str, Any]] = []
    for start in read_scalars(work_dir):
        later = [row for row in start if "loss" in row]
        if later:  # a resumed run repeats the iterations after its checkpoint
            rows = [row for row in rows if row["step"] < later[0]["step"]] + later
    if not rows:
        raise FileNotFoundError(
            f"{work_dir} has no logged training iteration yet; draw it after the first "
            "log line of a training"
        )
    return rows


def epochs_of(rows: list[dict[str, Any]]) -> list[float]:
    """Return the time of the logged iterations in epochs (else in iterations)."""
    first, last = rows[0], rows[-1]
    if "epoch" not in first:
        return [row["step"] for row in rows]
    if last["epoch"] > first["epoch"]:
        start = next(row["step"] for row in rows if row["epoch"] == last["epoch"])
        per_epoch = (start - first["step"]) / (last["epoch"] - first["epoch"])
    else:
        per_epoch = last["step"]
    return [row["step"] / per_epoch for row in rows]


def plot_training(work_dir: Path, out: Path) -> Path:
    """Draw the training curves of a run to ``out``."""
    rows = read_log(work_dir)
    epochs = epochs_of(rows)
    with styled_figure(out, 3.0) as figure:
        axes = figure.subplots(1, 3)
        parts = [part for part in PARTS if all(part[0] in row for row in rows)]
        for key, label in parts or LOSS:
            axes[0].plot(epochs, [row[key] for row in rows], label=label, lw=1.2)
        positive = all(row[key] > 0 for key, _ in parts or LOSS for row in rows)
        axes[0].set(title="Parts of the loss", yscale="log" if positive else "linear")
        axes[0].legend()
        draw_knn(axes[1], Path(work_dir, "probes.json"))
        draw_firing_rate(axes[2], epochs, rows)
        for axis in axes:
            axis.set_xlim(0, max(1.0, epochs[-1]) * 1.03)
            axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axis.set_xlabel("epoch" if "epoch" in rows[0] else "iteration")
    return out


def draw_firing_rate(
    axis: Any, epochs: list[float], rows: list[dict[str, Any]]
) -> None:
    """Draw the mean firing rate; the analog path, which does not spike, has none."""
    spiking = [
        (epoch, 100 * row["firing_rate"])
        for epoch, row in zip(epochs, rows, strict=True)
        if "firing_rate" in row
    ]
    axis.set(title="Firing rate, all neurons", ylabel="spikes per step, %")
    highest = max((rate for _, rate in spiking), default=1.0)
    axis.set_ylim(0, 1.1 * highest)
    if spiking:
        axis.plot(*zip(*spiking, strict=True), color=GREEN, lw=1.2)
    before = spiking[0][0] if spiking else epochs[-1]
    if before > 0.2 * epochs[-1]:
        axis.axvspan(0, before, color=GREY, alpha=0.12, lw=0)
        text = "no spikes:\nanalog path"
        axis.text(before / 2, 0.55 * highest, text, ha="center", va="center")


def draw_knn(axis: Any, probes: Path) -> None:
    """Draw k-NN accuracy with its baselines."""
    rows = read_report(probes, "probes")["rows"] if probes.exists() else []
    course = course_of(rows, "knn")
    axis.set(title="k-NN on unseen images", ylabel="top-1, %", ylim=(0, 100))
    if not course.epochs:
        place = dict(ha="center", transform=axis.transAxes)
        axis.text(0.5, 0.5, "not measured", **place)
        return
    values = [100 * accuracy for accuracy in course.accuracies]
    axis.plot(course.epochs, values, "o-", label=probe_title("pretrained"))
    axis.axhline(
        100 * course.pixels, color=ORANGE, ls="--", label=probe_title("pixels")
    )
    axis.axhline(100 * course.random, color=GREY, ls=":", label=probe_title("random"))
    axis.legend()
