#!/usr/bin/env python3
"""Draw the gallery: run every command, store its picture, and write the pages.

usage: python docs/gallery/draw.py [--only NAME ...] [--keep] [--pages]

Run it from the repository's root after ``make demo``, whose checkpoints and scenes it
uses. With ``--pages`` it runs nothing and only writes the pages.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

from PIL import Image

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
RESULTS = ROOT / "benchmarks" / "results"
OUT = "work_dirs/gallery"
PRETRAINING = "configs/selfsup/spikformer_ctl.py spikformer-digits_ctl"
DETECTION = "configs/detection/mask-rcnn_spikformer_fpn_digits.py"
SPIKING = "configs/detection/retinanet_spikformer_spiking-fpn_digits.py"
SPIKING_RUN = "RetinaNet_spiking_pretrained"
SEGMENTATION = "configs/segmentation/semantic-fpn_spikformer_digits.py"
DEMO = "work_dirs/demo/seed0"
SCENES = "data/multi_digit_scenes/images/validation"
WIDTH = 1000  # pixels; pages of the site are about 750 wide
QUALITIES = (90, 80, 70, 60, 50)
LIMIT = 60_000  # bytes of a picture
PAGES_OF_RESULTS = FOLDER.parent / "results"
ENLARGED = {
    "digit_scenes_curves": 60_000,
    "digit_scenes_neighbours": 90_000,
    "digit_scenes_predictions": 110_000,
    "energy_detection": 60_000,
    "energy_segmentation": 60_000,
}
"""Pictures of ``benchmarks/results`` too heavy for their page; bytes allowed."""


class Drawn(NamedTuple):
    """A picture of the gallery.

    Attributes:
        name: Name of the picture's file, without suffix.
        title: Heading.
        command: What draws it.
        file: The file that the command writes.
        alt: What the picture shows, for people who cannot see it.
        caption: How to read it.
        results: Results file with the command, for pictures that are not drawn here
            because their numbers take too long; ``command`` is empty then.
        top: Share of the height to keep, from the top.
    """

    name: str
    title: str
    command: str
    file: str
    alt: str
    caption: str
    results: str = ""
    top: float = 1.0


def drawn(kind: str, arguments: str, *texts: str, top: float = 1.0) -> Drawn:
    """Return a picture of ``snnssl draw KIND``: title, alt text and caption."""
    title, alt, caption = texts
    name = kind.replace("-", "_")
    file = f"{OUT}/{name}.png"
    command = f"snnssl draw {kind} {arguments} --out {file}"
    return Drawn(name, title, command, file, alt, caption, top=top)


def measured(name: str, results: str, *texts: str, top: float = 1.0) -> Drawn:
    """Return a picture of ``benchmarks/results``: title, alt text and caption."""
    title, alt, caption = texts
    file = f"benchmarks/results/{name}.png"
    return Drawn(name, title, "", file, alt, caption, results, top)


PAGES: dict[str, tuple[str, str, list[Drawn]]] = {
    "maps": (
        "Spikes, maps and attention",
        "What the network computes for one image.",
        [
            drawn(
                "spike-maps",
                f"{PRETRAINING} {SCENES}/00000.png",
                "Spike maps",
                "Maps of a scene with four digits: ten layers in rows, four time steps "
                "in columns. Bright places, where many channels spike, follow the "
                "digits in the first layers and become coarse blocks in the last ones.",
                "One row per layer, one column per time step. Brightness is the share "
                "of the channels that spike; the number above a map is its mean.",
            ),
            drawn(
                "spike-raster",
                f"{PRETRAINING} --images 4 --neurons 32",
                "Spike raster",
                "A panel for each of ten layers, with a row for each neuron: black "
                "marks at the time steps of four unseen images at which it spikes.",
                "A row is a neuron, the liveliest on top, in four time steps an image.",
            ),
            drawn(
                "attention-maps",
                f"{PRETRAINING} {SCENES}/00000.png",
                "Attention maps",
                "A scene with four digits, and over it the attention of a block: the "
                "mean, then each of four heads, which look at different places.",
                "The attention that each place receives, block by block, head by head.",
            ),
            drawn(
                "feature-maps",
                f"{PRETRAINING} {SCENES}/00000.png "
                '--cfg-options "model.backbone.out_indices=(0,1,2,3)"',
                "Feature maps",
                "Four levels of the backbone in rows: the scene, the mean of the "
                "channels, and six channels; fine strokes at stride 1, coarse blobs at "
                "stride 8.",
                "The time-averaged maps that a neck receives, from fine to coarse.",
            ),
        ],
    ),
    "features": (
        "Features of many images",
        "What the network's features say about unseen images.",
        [
            drawn(
                "embedding",
                PRETRAINING,
                "Embedding",
                "Two scatter plots of 1,000 unseen digits, coloured by class. With the "
                "pretrained network the classes form separate clusters; with random "
                "weights they are mixed.",
                "t-SNE of the features; the labels only colour the points.",
            ),
            drawn(
                "neighbours",
                PRETRAINING,
                "Nearest neighbours",
                "Ten rows of small scenes: on the left a test image, to the right its "
                "nearest training images; about two thirds show the same digit.",
                "Test images and their nearest training images in feature space; a "
                "dashed frame marks another digit.",
            ),
        ],
    ),
    "training": (
        "Data and training",
        "What goes into a training, and how it went.",
        [
            Drawn(
                "browse",
                "The network's inputs",
                "snnssl browse configs/selfsup/spikformer_ctl.py "
                f"--out {OUT}/browse.png",
                f"{OUT}/browse.png",
                "Eight scenes with one digit each; below each of them its two "
                "augmented views, moved, turned and scaled.",
                "Originals above their two views, then the images of the evaluation.",
            ),
            drawn(
                "training",
                DEMO,
                "Training curves",
                "Curves over 28 epochs: the parts of the loss fall, k-NN accuracy "
                "rises; the firing rate begins after 22 epochs on the analog path.",
                "Loss parts, k-NN accuracy and firing rate of a run.",
            ),
        ],
    ),
    "predictions": (
        "Predictions and reports",
        "What trained detectors and segmentors find, and a checkpoint on one page.",
        [
            drawn(
                "predictions",
                " ".join(
                    f'"{name}={config},{DEMO}/{run}/epoch_9.pth"'
                    for name, config, run in (
                        ("Mask R-CNN", DETECTION, "detection_pretrained"),
                        ("RetinaNet, spiking", SPIKING, SPIKING_RUN),
                        ("semantic FPN", SEGMENTATION, "segmentation_pretrained"),
                    )
                )
                + " --count 3",
                "Predictions and ground truth",
                "Three scenes in rows. Columns: annotated boxes, boxes and masks of "
                "Mask R-CNN, boxes of a RetinaNet that spikes, annotated classes, "
                "classes of semantic FPN. Nearly all digits are found and named as "
                "annotated.",
                "Any detectors and segmentors on the same test images.",
            ),
            Drawn(
                "infer",
                "Predictions for your images",
                f"snnssl infer {DETECTION} {DEMO}/detection_pretrained/epoch_9.pth "
                f"{SCENES}/00000.png --out {OUT}/infer",
                f"{OUT}/infer/vis/00000.png",
                "A scene with four digits, each with a box, a coloured mask, its class "
                "and a score.",
                "Drawn results are in `vis`; boxes, masks and scores are JSON files in "
                "`pred`.",
            ),
            Drawn(
                "report",
                "Report",
                f"snnssl report {DEMO}/epoch_28.pth --downstream "
                f'"RetinaNet, spiking={SPIKING},{DEMO}/{SPIKING_RUN}/epoch_9.pth"',
                "benchmarks/results/report.png",
                "Top of a report: facts about the network; cards with accuracy, "
                "latency, firing rate, energy and RankMe; training curves.",
                "One HTML page without other files, and the same as Markdown. Shown is "
                "its top.",
            ),
        ],
    ),
    "measurements": (
        "Measurements",
        "Plots of measuring commands; [Results](../results/index.md) has the tables.",
        [
            measured(
                "firing_rates",
                "firing_rates.json",
                "Firing rates",
                "Bars of the firing rate of ten layers at four time steps; the name "
                "of a layer with many dead neurons is red.",
                "[Table and meaning](../results/firing_rates.md).",
            ),
            measured(
                "energy",
                "energy.json",
                "Energy",
                "Bars of the estimated energy: the spiking backbone under two ways of "
                "counting compared with the non-spiking one, and the share of each "
                "layer.",
                "[Table and meaning](../results/energy.md).",
            ),
            measured(
                "representation_health",
                "representation_health.json",
                "Representation health",
                "Spectrum of singular values, spread per dimension, and cosine "
                "similarity of time steps, for the trained and a random network.",
                "[Table and meaning](../results/health.md).",
            ),
            measured(
                "time_steps",
                "time_steps.json",
                "Time steps",
                "Curves of accuracy, latency and energy over 1 to 16 time steps: "
                "accuracy levels off after 4, energy keeps growing.",
                "[Table and meaning](../results/time_steps.md).",
            ),
            measured(
                "ablation",
                "ablation.json",
                "Ablation",
                "Dots with error bars: accuracy of every combination of loss and "
                "neuron with three seeds each.",
                "[Table and meaning](../results/ablation.md).",
            ),
            measured(
                "training_cost",
                "training_cost.json",
                "Training cost of the losses",
                "Bars of the time and memory of a training step for four losses and "
                "three networks.",
                "[Table and meaning](../results/training_cost.md).",
            ),
            measured(
                "growth-amd-epyc-2-cores",
                "growth-amd-epyc-2-cores.json",
                "Cost as a setting grows",
                "Log-log curves of time and memory over time steps, batch, image size, "
                "embedding size and processes.",
                "[Table and meaning](../results/speed.md).",
            ),
        ],
    ),
}


def command_of(picture: Drawn) -> str:
    """Return the command that drew a picture, if need be from its results file."""
    if picture.command:
        return picture.command
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from results_tables import current_files

    report = json.loads(current_files((RESULTS / picture.results).read_text()))
    rows = report.get("rows", [report])
    return str(rows[0]["command"])


VALUE = r'(?:"[^"]*"|\S+)'


def wrapped(command: str, width: int = 78) -> str:
    """Break a command into lines; an option stays with its value."""
    lines = [""]
    for word in re.findall(rf"--\S+ (?!--){VALUE}|{VALUE}", command):
        if len(lines[-1]) + len(word) > width:
            lines.append("   ")
        lines[-1] += f" {word}" if lines[-1] else word
    return " \\\n".join(lines)


def run(command: str) -> None:
    """Run a command ``snnssl ...`` in this process's interpreter."""
    import subprocess

    words = [sys.executable, "-m", "snnssl_mm.cli.main", *shlex.split(command)[1:]]
    subprocess.run(words, cwd=ROOT, check=True)


def store(picture: Drawn) -> None:
    """Store a picture of the gallery."""
    image = Image.open(ROOT / picture.file).convert("RGB")
    image = image.crop((0, 0, image.width, round(picture.top * image.height)))
    if image.width < WIDTH // 4:  # an image of the data, enlarged pixel by pixel
        scale = WIDTH // 3 // image.width
        size = (image.width * scale, image.height * scale)
        image = image.resize(size, Image.Resampling.NEAREST)
    save(image, FOLDER / f"{picture.name}.webp", LIMIT)


def save(image: Image.Image, file: Path, limit: int) -> None:
    """Save as WebP, not wider than a page needs, in at most ``limit`` bytes."""
    for width, quality in product((WIDTH, 850, 700), QUALITIES):
        image.thumbnail((width, 10_000))
        image.save(file, quality=quality, method=6)
        if file.stat().st_size <= limit:
            return
    raise SystemExit(f"{file} is larger than {limit:,} bytes")


def section(picture: Drawn) -> Iterator[str]:
    """Yield the lines of a picture's section."""
    with Image.open(FOLDER / f"{picture.name}.webp") as image:
        width = min(image.width, 760)
    yield f"## {picture.title}"
    yield ""
    yield f"```bash\n{wrapped(command_of(picture))}\n```"
    yield ""
    yield f"```{{image}} {picture.name}.webp"
    yield f":alt: {picture.alt}"
    yield f":width: {width}px"
    yield "```"
    yield ""
    yield picture.caption
    yield ""


def page(title: str, text: str, pictures: list[Drawn]) -> str:
    """Return a page of the gallery."""
    lines = [f"# {title}", "", text, ""]
    for picture in pictures:
        lines += section(picture)
    return "\n".join(lines)


def index() -> str:
    """Return the gallery's first page: a card for every page."""
    lines = [
        "# Gallery",
        "",
        "Every kind of picture, with the command that draws it. `make demo` makes the "
        "checkpoints and scenes that the commands name; "
        "`python docs/gallery/draw.py` draws the gallery again.",
        "",
        "::::{grid} 1 2 2 3",
        ":gutter: 3",
        "",
    ]
    for name, (title, _, pictures) in PAGES.items():
        kinds = ", ".join(picture.title.lower() for picture in pictures)
        lines += [
            f":::{{grid-item-card}} {title}",
            f":link: {name}",
            ":link-type: doc",
            f":img-bottom: {pictures[0].name}_small.webp",
            f":img-alt: {pictures[0].alt}",
            "",
            f"{kinds[0].upper()}{kinds[1:]}.",
            ":::",
            "",
        ]
    names = "\n".join(PAGES)
    return "\n".join(
        [*lines, "::::", "", "```{toctree}", ":hidden:", "", names, "```", ""]
    )


def pages() -> dict[str, str]:
    """Return the text of every page by the name of its file."""
    texts = {f"{name}.md": page(*content) for name, content in PAGES.items()}
    return {"index.md": index(), **texts}


def store_small(picture: Drawn) -> None:
    """Store the top of a picture for the card of its page."""
    with Image.open(FOLDER / f"{picture.name}.webp") as image:
        height = min(image.height, round(0.6 * image.width))
        small = image.crop((0, 0, image.width, height))
        small.thumbnail((480, 480))
        small.save(FOLDER / f"{picture.name}_small.webp", quality=70, method=6)


def main() -> None:
    """Draw the pictures and write the pages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="pictures to draw")
    parser.add_argument("--keep", action="store_true", help="run what is not drawn yet")
    parser.add_argument("--pages", action="store_true", help="only write the pages")
    args = parser.parse_args()
    for _, _, pictures in PAGES.values():
        for picture in pictures:
            if args.pages or (args.only and picture.name not in args.only):
                continue
            drawn_before = args.keep and (ROOT / picture.file).exists()
            if picture.command and picture.file.startswith(OUT) and not drawn_before:
                run(picture.command)
            store(picture)
        store_small(pictures[0])
    for name, limit in ENLARGED.items():
        if not args.pages and not args.only:
            image = Image.open(RESULTS / f"{name}.png").convert("RGB")
            save(image, PAGES_OF_RESULTS / f"{name}.webp", limit)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
