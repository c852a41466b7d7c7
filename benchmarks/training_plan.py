r"""Cost of a pretraining run on many GPUs, computed from measurements on one.

With b images a GPU on W GPUs, a step takes

    t(b, W) = s(b) + l(W b) / W - l(b) + c(b, W),
    c(b, W) = 2 (W - 1) / W G / beta + (W - 1) b e / beta
              + (W - 1) / W n / beta + k alpha,

where s is a measured step of one GPU, l the measured loss with its gradient (of which
every process computes a W-th), G the bytes of the gradients (ring all-reduce), e those
of an image's embeddings (gathered), n those of the synchronised batch norms' statistics
in k calls, beta the bandwidth of a GPU and alpha the latency of a call. Nothing is
taken to overlap, so c is an upper bound for these beta and alpha; both are assumptions,
everything else is measured. The loss also sums moments and diagonals over the
processes: calls are counted, their bytes, a twentieth of the gathered ones, are not.
Synchronised batch norms keep the kernels of s, and pool their moments by small
operations between them, which s lacks. A run of E epochs of N images takes
E floor(N / (W b)) steps. Evaluation and start-up are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from snnssl_mm.recording.table import Table

Row = Mapping[str, Any]
"""A row of benchmarks/step_times.py: one network."""

IMAGENET_IMAGES = 1_281_167
GPUS_PER_NODE = 8
EPOCHS = (100, 300)
GLOBAL_BATCHES = {8: 512, 64: 2048, 512: 4096}
"""GPUs -> images of a step: the recipe's 2048 where memory and GPUs allow it."""


LOSS_CALLS = 6
"""Mean, variance, rows, diagonals, total; sums of the gradient (one tile)."""


class Network(NamedTuple):
    """Assumptions on the connection between GPUs.

    Attributes:
        bandwidth: Bytes per second that a GPU can send and receive at the same time.
        latency: Seconds of a call with negligible data.
    """

    bandwidth: float
    latency: float


IN_NODE = Network(bandwidth=300e9, latency=20e-6)
BETWEEN_NODES = Network(bandwidth=40e9, latency=40e-6)
"""NVLink and 400 Gb/s a GPU, at two thirds and at 80 % of their nominal rates."""


class Plan(NamedTuple):
    """Plan of a run.

    Attributes:
        gpus: Number of GPUs, W.
        images: Images per GPU, b.
        step: Seconds of a step.
        loss: Part of ``step``: additional seconds of the loss compared with one GPU.
        sending: Part of ``step``: seconds of communication.
        hours: Hours of an epoch.
        cores: Cores that the data loading of a GPU needs.
    """

    gpus: int
    images: int
    step: float
    loss: float
    sending: float
    hours: float
    cores: float


def sending_seconds(row: Row, gpus: int, images: int, network: Network) -> float:
    """Compute the seconds c(b, W) of a step's communication."""
    sizes = row["communication"]
    share = (gpus - 1) / gpus
    sent = 2 * share * sizes["gradient_bytes"]
    sent += (gpus - 1) * images * sizes["embedding_bytes"]
    sent += share * sizes["norm_bytes"]
    calls = sizes["norm_calls"] + 1 + LOSS_CALLS  # 1 for the gradients
    return sent / network.bandwidth + calls * network.latency


def plan(row: Row, gpus: int, images: int, network: Network | None = None) -> Plan:
    """Plan pretraining on ``gpus`` GPUs with ``images`` each.

    Args:
        row: Row of benchmarks/step_times.py; both batch sizes must be measured.
        gpus: Number of GPUs.
        images: Images of a step on one GPU.
        network: Connection; by default within a node or between nodes.

    Raises:
        ValueError: If a batch size was not measured.
    """
    if network is None:
        network = IN_NODE if gpus <= GPUS_PER_NODE else BETWEEN_NODES
    step = _seconds(row["steps"], images)
    whole, alone = (_seconds(row["losses"], n) for n in (gpus * images, images))
    loss = whole / gpus - alone
    sending = sending_seconds(row, gpus, images, network)
    total = step + loss + sending
    hours = IMAGENET_IMAGES // (gpus * images) * total / 3600
    cores = images / total / row["pairs_per_second_of_a_core"]
    return Plan(gpus, images, total, loss, sending, hours, cores)


def _seconds(measured: Mapping[str, Any], batch: int) -> float:
    found = measured.get(str(batch), {})
    if "seconds" not in found:
        known = ", ".join(size for size, one in measured.items() if "seconds" in one)
        raise ValueError(
            f"a batch of {batch} was not measured, only {known}; run "
            "benchmarks/step_times.py with it"
        )
    return float(found["seconds"]["median"])


def step_times_table(rows: Sequence[Row]) -> Table:
    """Make the table of measurements, one line per batch size of one GPU."""
    lines = []
    for row in rows:
        for batch, found in row["steps"].items():
            if "seconds" not in found:
                lines.append([_name(row), batch, found["failed"], "-", "-"])
                continue
            seconds = found["seconds"]["median"]
            rate = f"{int(batch) / seconds:,.0f}"
            memory = f"{found['peak_mib'] / 1024:.1f} GiB"
            lines.append([_name(row), batch, f"{1e3 * seconds:.0f} ms", rate, memory])
    head = ["network", "images", "a step", "images/s", "peak memory"]
    return Table(head, lines, "measured on one GPU")


def plan_table(rows: Sequence[Row]) -> Table:
    """Make the table of the cost of ImageNet-1K, one line per number of GPUs."""
    lines = []
    for row in rows:
        for gpus, batch in GLOBAL_BATCHES.items():
            found = plan(row, gpus, batch // gpus)
            parts = f"{max(0, 1e3 * found.loss):.0f} + {1e3 * found.sending:.0f} ms"
            runs = [
                f"{epochs * found.hours:,.1f} h ({epochs * found.hours * gpus:,.0f})"
                for epochs in EPOCHS
            ]
            step = f"{1e3 * found.step:.0f} ms"
            sizes = [f"{found.gpus} x {found.images}", f"{batch:,}", step, parts]
            lines.append([_name(row), *sizes, *runs, f"{found.cores:.1f}"])
    sizes = ["GPUs x images", "batch", "a step", "of it loss + sending"]
    runs = [f"{epochs} epochs: hours (GPU hours)" for epochs in EPOCHS]
    head = ["network", *sizes, *runs, "cores a GPU"]
    return Table(head, lines, "computed for ImageNet-1K")


def _name(row: Row) -> str:
    return Path(row["config"]).stem + (" with_cp" if row["with_cp"] else "")
