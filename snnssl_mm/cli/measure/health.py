"""Measure the health of a representation, compared with a random network's.

Measures are spread and rank of the features, and agreement between two views, between
spiking and analog path, and between time steps, on two fixed views of unseen images (or
of training images, if the config has no others). The projector is measured too, so the
checkpoint must be complete.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.measure.known import known_or_measured
from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.options import add_measuring_arguments
from snnssl_mm.cli.shared.user_errors import errors_as_messages

if TYPE_CHECKING:
    from mmengine.config import Config

    from snnssl_mm.analysis.unseen_views import Views
    from snnssl_mm.recording.results_file import Row
    from snnssl_mm.recording.two_views import Batch


KEY = ("config", "sha256", "options", "images")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_measuring_arguments(
        parser,
        512,
        "maximum number of images, evenly spread",
        "representation_health.json",
    )


def measure(args: argparse.Namespace, cfg: Config, views: Views) -> Row:
    """Measure the checkpoint and a random network on the same views."""
    from snnssl_mm.probing import load_trained_model, random_init_model
    from snnssl_mm.recording.health_features import estimate_statistics
    from snnssl_mm.recording.representation_health import representation_health, rounded

    with errors_as_messages():
        model = load_trained_model(cfg, args.checkpoint)
    start = time.perf_counter()
    images = min(args.images, len(views.dataset))
    with errors_as_messages():
        found = representation_health(model, batches(views, images, "checkpoint"))
    random = random_init_model(cfg)
    estimate_statistics(random, batches(views, images, "BatchNorm statistics"))
    reference = representation_health(random, batches(views, images, "random weights"))
    return {
        "data": views.images,
        "images_used": images,
        "seconds": round(time.perf_counter() - start, 1),
        "pretrained": rounded(found),
        "random": rounded(reference),
    }


def batches(views: Views, images: int, text: str) -> Iterator[Batch]:
    """Yield the same views every time, with a progress bar."""
    from snnssl_mm.recording.progress import progress
    from snnssl_mm.recording.two_views import BATCH_SIZE, two_view_batches

    found = two_view_batches(views.dataset, views.collate, images)
    total = -(-images // BATCH_SIZE)
    yield from progress(found, text, total)


def run(args: argparse.Namespace) -> None:
    """Measure, unless the row is present already; print and draw."""
    from snnssl_mm.analysis.plots.representation_health_plot import plot_health
    from snnssl_mm.analysis.unseen_views import unseen_views
    from snnssl_mm.probing.digests import inputs_digest
    from snnssl_mm.recording.provenance import provenance
    from snnssl_mm.recording.representation_health import (
        health_table,
        signs_of_collapse,
    )
    from snnssl_mm.recording.results_file import ResultsFile

    cfg = load_config(args)
    with errors_as_messages():
        require_writable(args.out, args.plot)
        results = ResultsFile(args.out, "representation_health", KEY)
        views = unseen_views(cfg)
        about = provenance(args.config, args.checkpoint, cfg)
        about["digest"] = inputs_digest(cfg, views.dataset)
    about |= {"options": args.cfg_options or {}, "images": args.images}
    found = known_or_measured(results, about, lambda: measure(args, cfg, views))
    health_table(found).print()
    for sign in signs_of_collapse(found["pretrained"]):
        print(f"looks collapsed: {sign}")
    if args.plot:
        print(plot_health(found, args.plot))
