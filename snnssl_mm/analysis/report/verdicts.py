"""Verdicts on the numbers of a report, compared with their baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any, NamedTuple

from snnssl_mm.probing.probe_table import course_of
from snnssl_mm.recording.firing_rates import LIMITS, is_ill
from snnssl_mm.recording.machine import is_busy, load_text
from snnssl_mm.recording.representation_health import COLLAPSED_RANK, signs_of_collapse

Row = Mapping[str, Any]
MARKS = {"good": "✓", "fair": "!", "poor": "✗", "note": "i"}
"""Levels of a verdict, and their marks (which do not rely on colour)."""


class Verdict(NamedTuple):
    """Interpretation of a number.

    Attributes:
        level: ``'good'``, ``'fair'``, ``'poor'``, or ``'note'`` if there is nothing to
            compare with.
        text: Reason, with the baselines.
    """

    level: str
    text: str

    @property
    def mark(self) -> str:
        """Character for the level."""
        return MARKS[self.level]


def probe_verdict(group: Mapping[str, Row]) -> Verdict:
    """Compare a probe of pretrained features with pixels, random weights and chance.

    A difference counts if it exceeds two standard errors of the accuracy, given the
    number of test images.

    Args:
        group: The probe's rows by starting point.
    """
    row = group["pretrained"]
    accuracy, chance = row["top1"], 1 / row["classes"]
    error = 2 * sqrt(max(accuracy * (1 - accuracy), 1e-4) / row["test_images"])
    random = group["random"]["top1"] if "random" in group else chance
    pixels = group["pixels"]["top1"] if "pixels" in group else None
    known = [f"chance {100 * chance:.1f} %"]
    if "random" in group:
        known.insert(0, f"random weights {100 * random:.1f} %")
    if pixels is not None:
        known.insert(0, f"raw pixels {100 * pixels:.1f} %")
    against = ", ".join(known)
    if accuracy <= max(random, chance) + error:
        return Verdict("poor", f"not above random weights or chance ({against})")
    if pixels is None:
        return Verdict("good", f"above random weights and chance ({against})")
    if accuracy <= pixels + error:
        word = "below" if accuracy < pixels - error else "no better than"
        return Verdict("fair", f"learned something, but {word} raw pixels ({against})")
    return Verdict("good", f"above all baselines ({against})")


def rank_verdict(health: Row, classes: int | None = None) -> Verdict:
    """Judge RankMe of the backbone's features by their dimensions and the classes.

    Linear separation of C classes can need C - 1 dimensions.

    Args:
        health: Row of ``snnssl measure health``.
        classes: Number of classes of the probes, if known.
    """
    found, random = health["pretrained"], health["random"]["backbone/rankme"]
    rank, size = found["backbone/rankme"], found["backbone/dimensions"]
    of = f"{rank:.0f} of {size}"
    against = f"random weights {random:.0f}, collapsed 1"
    if rank < COLLAPSED_RANK:
        return Verdict("poor", f"{of}: collapsed ({against})")
    if classes and rank < min(classes - 1, size):
        return Verdict(
            "fair",
            f"{of}: fewer than the {classes - 1} that {classes} classes may need "
            f"({against})",
        )
    share = rank / size
    spread = "few dimensions in use, but not" if share < 0.1 else "not"
    return Verdict(
        "good" if share >= 0.1 else "fair",
        f"{of}: {spread} collapsed ({against}); compare it only between runs of the "
        "same network and data set",
    )


def health_verdict(health: Row) -> Verdict:
    """Judge whether the representation looks collapsed."""
    if signs := signs_of_collapse(health["pretrained"]):
        return Verdict("poor", f"looks collapsed: {'; '.join(signs)}")
    std, random = (health[k]["embedding/std"] for k in ("pretrained", "random"))
    return Verdict(
        "good",
        f"not collapsed: standard deviation per dimension of the embeddings is "
        f"{std:.2f} (1 is ideal, 0 collapsed; random weights {random:.2f})",
    )


def firing_verdict(layers: Sequence[Row]) -> Verdict:
    """Judge layers by their shares of dead and saturated neurons."""
    limits = " or ".join(f"{100 * v:g} % {name}" for name, v in LIMITS.items())
    silent = [layer["name"] for layer in layers if layer["dead"] == layer["neurons"]]
    if silent:
        return Verdict("poor", f"layers that never fire: {', '.join(silent)}")
    if ill := [layer["name"] for layer in layers if is_ill(layer)]:
        count = f"{len(ill)} of {len(layers)} layers have more than {limits} neurons"
        worst = max(layers, key=lambda layer: layer["dead"] / layer["neurons"])
        share = 100 * worst["dead"] / worst["neurons"]
        return Verdict("fair", f"{count} ({worst['name']}: {share:.0f} % dead)")
    return Verdict("good", f"no layer has more than {limits} neurons")


def energy_verdict(row: Row) -> Verdict:
    """Compare with the equal non-spiking network under both accountings."""
    low, high = sorted(total["ratio"] for total in row["totals"][:2])
    shares = f"{low:.2f} to {high:.2f} of the equal non-spiking network's"
    if high < 1:
        return Verdict("good", f"{shares}: less, however integers are counted")
    if low < 1:
        return Verdict("fair", f"{shares}: less only if integers are sent as spikes")
    return Verdict("poor", f"{shares}: the spiking network needs more")


def latency_verdict(row: Row) -> Verdict:
    """State the load under which a latency was measured."""
    load = row.get("load")
    return Verdict("fair" if is_busy(load) else "note", load_text(load))


def steps_verdict(rows: Sequence[Row]) -> Verdict:
    """Judge what fewer time steps would lose and save."""
    trained_at = rows[0]["trained_at"]
    by_steps = {row["time_steps"]: row for row in rows}
    at = by_steps.pop(trained_at, None)
    if at is None or not by_steps:
        return Verdict("note", "only one number of time steps: nothing to compare with")

    def gain(row: Row) -> float:
        return 100 * (row["accuracy"]["linear"] - at["accuracy"]["linear"])

    def energy(row: Row) -> float:
        name = "integers_as_spikes"
        return float(row["energy_uj"][name] / at["energy_uj"][name])

    good_enough = [
        t for t in sorted(by_steps) if t < trained_at and gain(by_steps[t]) > -1
    ]
    best = max(by_steps, key=lambda t: gain(by_steps[t]))
    steps = good_enough[0] if good_enough else best
    text = (
        f"T = {steps}: {gain(by_steps[steps]):+.1f} points of the linear probe at "
        f"{energy(by_steps[steps]):.2g} times the energy of T = {trained_at}"
    )
    if good_enough:
        return Verdict("good", f"{text}: fewer steps would do")
    return Verdict("note", f"{text}, as pretrained")


def knn_verdict(rows: Sequence[Row]) -> Verdict | None:
    """Judge k-NN accuracy over a training by the rows of KNNHook."""
    course = course_of(rows, "knn")
    if not course.epochs:
        return None
    last, pixels, random = course.accuracies[-1], course.pixels, course.random
    text = f"k-NN is {100 * last:.1f} % after epoch {course.epochs[-1]}"
    against = f"raw pixels {100 * pixels:.1f} %, random weights {100 * random:.1f} %"
    if last > pixels:
        since = next(
            epoch
            for epoch, accuracy in zip(course.epochs, course.accuracies, strict=True)
            if accuracy > pixels
        )
        return Verdict("good", f"{text}, above raw pixels since {since} ({against})")
    level = "fair" if last > random else "poor"
    return Verdict(level, f"{text}, not above raw pixels ({against})")
