#!/usr/bin/env python3
"""Estimate the energy of a spiking network from its firing rates, layer by layer.

usage: python tools/analysis/energy.py CONFIG CHECKPOINT [--images 64] --out FILE.json

For configs of pretraining, classification, detection and segmentation; beside the equal
non-spiking network. Several models may go into one file; one that is in it already is
shown again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import track

from snnssl_mm.cli.arguments import picture, positive
from snnssl_mm.cli.tooling import (
    add_config_arguments,
    add_out_argument,
    errors_as_sentences,
    load_config,
    parse,
    provenance,
    require_writable,
    run_tool,
)

if TYPE_CHECKING:
    from mmengine.config import Config


KEY = ("config", "sha256", "options")


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add_config_arguments(parser, checkpoint=True)
    parser.add_argument(
        "--images",
        type=positive(int),
        default=64,
        help="test images to measure rates on (64)",
    )
    add_out_argument(parser, "energy.json", "JSON file to add to")
    parser.add_argument("--csv", type=Path, help="file for the layers as CSV")
    parser.add_argument("--markdown", type=Path, help="file for all as Markdown")
    parser.add_argument("--plot", type=picture, help="picture to draw")
    return parse(parser)


def measure(cfg: Config, args: argparse.Namespace, loader: Any) -> dict[str, Any]:
    """Run the model over the images."""
    from mmengine.analysis import parameter_count

    from snnssl_mm.analysis.energy_measurement import (
        check_model,
        count_images,
        deployed,
        measure_layers,
        prediction,
    )
    from snnssl_mm.analysis.unseen_images import is_pretraining
    from snnssl_mm.apis.loaded_models import load_pictured_model
    from snnssl_mm.recording.energy import totals

    with errors_as_sentences():
        model = load_pictured_model(cfg, args.checkpoint, not is_pretraining(cfg))
        check_model(model)
    start = time.perf_counter()
    images = count_images(loader)
    batches = track(loader, "counting", len(loader), transient=True)
    predict = prediction(model, cfg)
    layers, steps = measure_layers(model, batches, predict, images)
    return {
        "images": images,
        "time_steps": steps,
        "parameters": parameter_count(deployed(model, cfg))[""],
        "flops": 2 * sum(layer["macs"] for layer in layers),
        "layers": layers,
        "totals": totals(layers),
        "seconds": round(time.perf_counter() - start, 1),
    }


def report(row: dict[str, Any]) -> None:
    """Print the layers, how energy is computed, and the totals."""
    from snnssl_mm.recording.energy import CONSTANTS, FORMULA
    from snnssl_mm.recording.energy_tables import (
        layer_table,
        pair_of,
        summary,
        total_table,
    )

    layer_table(row).print()
    print(FORMULA)
    for constants in CONSTANTS:
        print(f"{pair_of(constants)} pJ: {constants.name}")
    total_table(row).print()
    print(summary(row))


def main() -> None:
    """Measure, unless it is done already; print, write and draw."""
    args = parse_args()

    from snnssl_mm.analysis.energy_measurement import count_images
    from snnssl_mm.analysis.plots.energy_plot import plot_energy
    from snnssl_mm.analysis.unseen_images import unseen_images
    from snnssl_mm.recording.energy_tables import energy_markdown, write_csv
    from snnssl_mm.recording.results_file import ResultsFile

    cfg = load_config(args)
    with errors_as_sentences():
        require_writable(args.out, args.csv, args.markdown, args.plot)
        results = ResultsFile(args.out, "energy", KEY)
        loader = unseen_images(cfg, args.images)
        about = provenance(args, cfg) | {"options": args.cfg_options}
    key = {name: about[name] for name in KEY}
    row = results.find(**key, images=count_images(loader))
    if row is None:
        row = results.append(about | measure(cfg, args, loader))
    report(row)
    if args.csv:
        print(write_csv(row, args.csv))
    if args.markdown:
        args.markdown.write_text(energy_markdown(row))
        print(args.markdown)
    if args.plot:
        print(plot_energy(row, args.plot))


if __name__ == "__main__":
    run_tool(main)
