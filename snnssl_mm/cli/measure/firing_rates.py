"""Measure the firing rate of each layer at each time step; count dead neurons.

The images are unseen ones: those of ``eval_test_dataloader`` (pretraining) or
``test_dataloader`` (classification, detection, segmentation). Rates are those of the
spiking path. Several checkpoints may be in one file.
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

    from snnssl_mm.recording.results_file import Row


KEY = ("config", "sha256", "options")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_measuring_arguments(
        parser, 512, "maximum number of images, evenly spread", "firing_rates.json"
    )


def measure(args: argparse.Namespace, cfg: Config, loader: Any) -> Row:
    """Measure the firing rates on the images."""
    from snnssl_mm.analysis.energy_measurement import prediction
    from snnssl_mm.apis.loaded_models import load_pictured_model
    from snnssl_mm.recording.firing_rates import firing_rates
    from snnssl_mm.recording.progress import progress

    with errors_as_messages():
        model = load_pictured_model(cfg, args.checkpoint)
    start = time.perf_counter()
    with errors_as_messages():
        batches = progress(loader, "counting spikes", len(loader))
        layers = firing_rates(model, batches, prediction(model, cfg))
    return {
        "images_used": len(loader.dataset),
        "seconds": round(time.perf_counter() - start, 1),
        "layers": [layer._asdict() for layer in layers],
    }


def run(args: argparse.Namespace) -> None:
    """Measure, unless the row is present already; print and draw."""
    from snnssl_mm.analysis.plots.firing_rates_plot import plot_firing_rates
    from snnssl_mm.analysis.unseen_images import unseen_images
    from snnssl_mm.probing.digests import inputs_digest
    from snnssl_mm.recording.firing_rates import firing_rates_table
    from snnssl_mm.recording.provenance import provenance
    from snnssl_mm.recording.results_file import ResultsFile

    cfg = load_config(args)
    with errors_as_messages():
        require_writable(args.out, args.plot)
        results = ResultsFile(args.out, "firing_rates", KEY)
        loader = unseen_images(cfg, args.images)
        about = provenance(args.config, args.checkpoint, cfg)
        about["digest"] = inputs_digest(cfg, loader.dataset)
    about |= {"options": args.cfg_options or {}, "images": args.images}
    found = known_or_measured(results, about, lambda: measure(args, cfg, loader))
    firing_rates_table(found).print()
    if args.plot:
        name = f"{Path(found['config']).stem}, {Path(found['checkpoint']).name}"
        print(plot_firing_rates(found["layers"], args.plot, name))
