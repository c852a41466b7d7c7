"""Estimate the energy of a spiking network from its firing rates, layer by layer.

Supports configs of pretraining, classification, detection and segmentation; the energy
is compared with that of the equivalent non-spiking network. One results file may have
several models; a model that is already present is printed without measuring again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.measure.known import known_or_measured
from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.options import add_measuring_arguments
from snnssl_mm.cli.shared.user_errors import errors_as_messages

if TYPE_CHECKING:
    from mmengine.config import Config


KEY = ("config", "sha256", "options", "expanded")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_measuring_arguments(
        parser, 64, "test images to measure rates on", "energy.json"
    )
    parser.add_argument(
        "--expand",
        action="store_true",
        help="measure a network of integer neurons as the network of binary spikes "
        "that computes the same",
    )
    parser.add_argument("--csv", type=Path, help="file for the layers as CSV")
    parser.add_argument("--markdown", type=Path, help="file for the tables as Markdown")


def measure(cfg: Config, args: argparse.Namespace, loader: Any) -> dict[str, Any]:
    """Measure the model on the images; return a row."""
    from mmengine.analysis import parameter_count

    from snnssl_mm.analysis.energy_measurement import (
        count_images,
        deployed,
        expand,
        measure_layers,
        prediction,
        require_measurable,
    )
    from snnssl_mm.analysis.unseen_images import is_pretraining
    from snnssl_mm.apis.loaded_models import load_pictured_model
    from snnssl_mm.recording.energy import totals
    from snnssl_mm.recording.progress import progress

    with errors_as_messages():
        model = load_pictured_model(cfg, args.checkpoint, not is_pretraining(cfg))
        require_measurable(model)
        single = expand(model, cfg) if args.expand else None
    start = time.perf_counter()
    images = count_images(loader)
    batches = progress(loader, "counting", len(loader))
    predict = prediction(model, cfg)
    layers, steps = measure_layers(model, batches, predict, images, single)
    return {
        "images": images,
        "time_steps": steps,
        "parameters": parameter_count(deployed(model, cfg))[""],
        "flops": 2 * sum(layer["macs"] for layer in layers),
        "layers": layers,
        "totals": totals(layers),
        "seconds": round(time.perf_counter() - start, 1),
    }


def print_energy(row: dict[str, Any]) -> None:
    """Print the layers, the formula of the energy, and the totals."""
    from snnssl_mm.recording.energy import CONSTANTS, FORMULA
    from snnssl_mm.recording.energy_tables import (
        constant_values,
        layer_table,
        summary,
        total_table,
    )

    layer_table(row).print()
    print(FORMULA)
    for constants in CONSTANTS:
        print(f"{constant_values(constants)} pJ: {constants.name}")
    total_table(row).print()
    print(summary(row))


def run(args: argparse.Namespace) -> None:
    """Measure, unless the row is present already; print, write and draw."""
    from snnssl_mm.analysis.plots.energy_plot import plot_energy
    from snnssl_mm.analysis.unseen_images import unseen_images
    from snnssl_mm.probing.digests import inputs_digest
    from snnssl_mm.recording.energy_tables import energy_markdown, write_csv
    from snnssl_mm.recording.provenance import provenance
    from snnssl_mm.recording.results_file import ResultsFile

    cfg = load_config(args)
    with errors_as_messages():
        require_writable(args.out, args.csv, args.markdown, args.plot)
        results = ResultsFile(args.out, "energy", KEY)
        loader = unseen_images(cfg, args.images)
        about = provenance(args.config, args.checkpoint, cfg)
        about["options"] = args.cfg_options
        about["expanded"] = args.expand or None
        about["digest"] = inputs_digest(cfg, loader.dataset)
    row = known_or_measured(results, about, lambda: measure(cfg, args, loader))
    print_energy(row)
    for file in filter(None, (args.csv, args.markdown)):
        file.parent.mkdir(parents=True, exist_ok=True)
    if args.csv:
        print(write_csv(row, args.csv))
    if args.markdown:
        args.markdown.write_text(energy_markdown(row))
        print(args.markdown)
    if args.plot:
        print(plot_energy(row, args.plot))
