"""Directive ``results-overview``: a card for every page of results, with its number.

The numbers are cells of the tables that the pages show.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from docutils import nodes
from results_tables import ROOT, markdown
from sphinx.util.docutils import SphinxDirective

RESULTS = ROOT / "benchmarks" / "results"
CELL = re.compile(r"\{([\w-]+)\|(.+?)\|(.+?)\}")
"""A cell in a headline: ``{file|start of its row|heading of its column}``."""


class Card(NamedTuple):
    """What the overview says about a page.

    Attributes:
        page: Name of the page.
        title: Its heading.
        question: What it answers.
        headline: Its most important numbers, with cells as :data:`CELL` has them.
    """

    page: str
    title: str
    question: str
    headline: str


CARDS = (
    Card(
        "digit_scenes",
        "Digit scenes",
        "Does pretraining without labels help on the embedded data?",
        "Box AP {digit_scenes|detection|pretrained} from pretrained, "
        "{digit_scenes|detection|random} from random weights",
    ),
    Card(
        "cifar10",
        "CIFAR-10",
        "How far does an hour of pretraining on photographs go?",
        "k-NN {cifar10_jpeg_cpu|knn|pretrained, %} % after 20 epochs on a CPU, random "
        "weights {cifar10_jpeg_cpu|knn|random weights, %} %, raw pixels "
        "{cifar10_jpeg_cpu|knn|raw pixels, %} %",
    ),
    Card(
        "imagenette",
        "Imagenette",
        "And on larger photographs, within the same hour?",
        "k-NN {imagenette_cpu|knn|pretrained, %} % after 15 epochs on a CPU, random "
        "weights {imagenette_cpu|knn|random weights, %} %, raw pixels "
        "{imagenette_cpu|knn|raw pixels, %} %",
    ),
    Card(
        "blood_cells",
        "Blood cells",
        "Does it help a detector with few labelled photographs?",
        "AP50 {blood_cells|detection|pretrained} from pretrained, "
        "{blood_cells|detection|random} from random weights with 51 labelled images",
    ),
    Card(
        "events",
        "Events",
        "Does it help on recordings of event cameras?",
        "Box AP on simulated digits {events|detection|pretrained} from pretrained, "
        "{events|detection|random} from random weights",
    ),
    Card(
        "probes",
        "Probes",
        "How good are the features, with how many labels?",
        "{probes|semi-1pct|pretrained, %} % with 40 labelled images, "
        "{probes|semi-1pct|random weights, %} % from random weights",
    ),
    Card(
        "time_steps",
        "Time steps",
        "Can the number of time steps be changed after training?",
        "Linear probe {time_steps|1|linear probe, %} % at T = 1, "
        "{time_steps|4|linear probe, %} % at 4, "
        "{time_steps|16|linear probe, %} % at 16",
    ),
    Card(
        "firing_rates",
        "Firing rates",
        "How often do neurons fire, and which never do?",
        "{firing_rates|stem.stages.3|mean} to {firing_rates|blocks.0.attention|mean} % "
        "by layer",
    ),
    Card(
        "energy",
        "Energy",
        "How many operations do spikes save?",
        "Backbone at {energy|4.6 / 0.9|ratio} of the non-spiking one if integers count "
        "as MACs",
    ),
    Card(
        "spiking_heads",
        "Spiking necks and heads",
        "Can a detector spike up to its last layers?",
        "Mask R-CNN, box AP {digits_spiking|Mask R-CNN, spiking|pretrained}, with "
        "ordinary neck and heads {digits_spiking|Mask R-CNN|pretrained}",
    ),
    Card(
        "health",
        "Representation health",
        "Has it collapsed, and do paths and time steps agree?",
        "Cosine of spiking and analog path "
        "{representation_health|cosine of spiking|backbone}",
    ),
    Card(
        "ablation",
        "Ablation",
        "Which parts of the method help?",
        "k-NN with CTL {ablation|CTL, MixedLIF|k-NN} %, with the time-flattened loss "
        "{ablation|flat, MixedLIF|k-NN} %",
    ),
    Card(
        "objectives",
        "Objectives",
        "Is it the loss or the neuron?",
        "Linear probe after five epochs, spikes on both views: CTL "
        "{ablation_objectives|CTL|linear probe} %, VICReg "
        "{ablation_objectives|VICReg|linear probe} %, NT-Xent "
        "{ablation_objectives|NT-Xent|linear probe} %",
    ),
    Card(
        "families",
        "Six spiking transformers",
        "Which backbone learns most from the same images?",
        "Linear probe of Spikformer {families|Spikformer|linear probe, %}, of SDT-V1 "
        "{families|SDT-V1|linear probe, %} %",
    ),
    Card(
        "training_cost",
        "Training cost",
        "What does each loss cost, and what would ImageNet cost?",
        "100 epochs of ImageNet on 8 GPUs, computed: "
        "{step_times|spikformer-16-512_ctl_in1k|100 epochs: hours (GPU hours)} "
        "GPU hours",
    ),
    Card(
        "speed",
        "Speed and memory",
        "How fast is it compared with spikingjelly and mmpretrain?",
        "Neuron on two CPU cores {amd-epyc-2-cores|stem|ours}, spikingjelly's "
        "{amd-epyc-2-cores|stem|its time}",
    ),
    Card(
        "reliability",
        "Reliability",
        "Does it survive kills, damaged files and hours of training?",
        "Resumed to the bit after kills in iterations: "
        "{kills|iteration|equal to the bit}, in checkpoints: "
        "{kills|checkpoint|equal to the bit}",
    ),
    Card(
        "stock_pipelines",
        "Stock pipelines",
        "Do the COCO and ADE20K configs run on real files?",
        "Spiking Mask R-CNN at 1333x800, a training step on a CPU core: "
        "{stock_pipelines|mask-rcnn_spikformer-8-512|s a step} s",
    ),
)


@cache
def rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a results file's tables, each cell by its heading."""
    found: list[dict[str, str]] = []
    heads: list[str] = []
    for line in markdown(RESULTS / f"{name}.json").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("|"):
            heads = []
        elif not heads:
            heads = cells
        elif not set(line) <= set("|-: "):
            found.append({"": cells[0], **dict(zip(heads, cells, strict=False))})
    return found


def cell(name: str, start: str, heading: str) -> str:
    """Return a cell of a results file's tables.

    Raises:
        LookupError: If no row starts so, or it has no such column.
    """
    exact = [row for row in rows(name) if row[""] == start and heading in row]
    near = [row for row in rows(name) if row[""].startswith(start) and heading in row]
    for row in (*exact, *near):
        return row[heading]
    raise LookupError(f"{name} has no row {start!r} with a column {heading!r}")


def overview() -> str:
    """Return the grid of cards."""
    lines = [":::::{grid} 1 2 2 3", ":gutter: 3", ""]
    for card in CARDS:
        headline = CELL.sub(lambda found: cell(*found.groups()), card.headline)
        lines += [
            f"::::{{grid-item-card}} {card.title}",
            f":link: {card.page}",
            ":link-type: doc",
            "",
            card.question,
            ":::{card-footer}",
            headline,
            ":::",
            "::::",
            "",
        ]
    return "\n".join([*lines, ":::::"])


class ResultsOverview(SphinxDirective):
    """A card for every page of results."""

    def run(self) -> list[nodes.Node]:
        """Render the grid."""
        for file in RESULTS.glob("*.json"):
            self.env.note_dependency(str(file))
        return self.parse_text_to_nodes(overview())
