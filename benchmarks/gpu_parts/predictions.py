"""What is expected before measuring, with the reason; written first into the file.

The numbers are for an H100, computed from its measured ceilings (copying 3.0 TB/s,
bf16 products 798 TFLOP/s) and the passes over memory of each layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

SMALL, LARGE = "4-384, 256 x 32 px", "8-512, 32 x 224 px"


class Prediction(NamedTuple):
    """A number that a part will measure.

    Attributes:
        part: Name of the part.
        job: Name of the measurement.
        entry: Name of the number.
        expected: Its value.
        reason: Where it comes from.
    """

    part: str
    job: str
    entry: str
    expected: float
    reason: str


PREDICTIONS = (
    Prediction("ceilings", "copy", "TB_s", 3.0, "measured before; H200 4.3"),
    Prediction("ceilings", "product, bf16", "TFLOP_s", 798, "measured before"),
    Prediction(
        "steps",
        f"{SMALL}, bf16",
        "step_ms",
        61,
        "102 before channels last (-24), no idle biases (-3), pooling in the neuron's "
        "kernel (-9), attention in bf16 (-5)",
    ),
    Prediction(
        *("steps", f"{SMALL}, fp32", "step_ms", 105, "157 before; the same, TF32")
    ),
    Prediction("steps", f"{LARGE}, bf16", "step_ms", 80, "140 before; the same"),
    Prediction("steps", f"{LARGE}, fp32", "step_ms", 110, "173 before; the same, TF32"),
    Prediction(
        "steps",
        f"{SMALL}, bf16",
        "kernels",
        630,
        "1,050 before; a norm and neuron have 4 instead of 24, 21 times",
    ),
    Prediction("steps", f"{SMALL}, bf16", "idle_ms", 8, "5 to 20 % of the step"),
    Prediction(
        "variants",
        f"{SMALL}, bf16: graph",
        "step_ms",
        56,
        "a graph leaves no idle time: -3 to -8",
    ),
    Prediction(
        "variants",
        f"{SMALL}, bf16: without channels last",
        "step_ms",
        85,
        "cuDNN transposes around every bf16 convolution",
    ),
    Prediction(
        "variants",
        f"{SMALL}, bf16: with the biases in front of norms",
        "step_ms",
        64,
        "a pass for the bias, another for its gradient",
    ),
    Prediction(
        "variants",
        f"{SMALL}, bf16: attention in float32",
        "step_ms",
        66,
        "68 bytes more for each of 201 million values of q, forward and backward",
    ),
    Prediction(
        "kernels",
        "neuron, 4x64x64x224x224, bfloat16, channels last",
        "of_copy",
        0.8,
        "one pass forward, one backward",
    ),
    Prediction(
        "convolutions",
        "384-384 3x3, 2048 x 8 px, bfloat16, channels last, benchmark",
        "forward",
        400,
        "half of the rate of a large product",
    ),
    Prediction(
        "small batches",
        "16-512, 8 x 224 px, bf16: eager",
        "step_ms",
        218,
        "measured before; the host decides",
    ),
    Prediction(
        "small batches",
        "16-512, 8 x 224 px, bf16: graph",
        "step_ms",
        50,
        "an eighth of the step of 64 images, 404",
    ),
)


def compared(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the predictions of a results file with what was measured, if it was."""
    results = {row["part"]: row["results"] for row in rows}
    found = []
    for prediction in results.get("predictions", {}).values():
        job = results.get(prediction["part"], {}).get(prediction["job"], {})
        found.append({**prediction, "measured": job.get(prediction["entry"])})
    return found
