"""Accuracy, latency and energy of the same weights at T = 1, 2, 3 ... time steps.

At every T the BatchNorm statistics are recalibrated (without labels), and frozen, fully
spiking features are evaluated by k-NN and two linear probes: one fitted at that T, and
the one fitted at the pretraining's T. Latency is that of one image, energy an estimate
from operations. A row is appended per T; run the same command again to continue an
interrupted measurement.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.arguments import positive
from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.options import add_config_arguments, add_out_argument
from snnssl_mm.cli.shared.user_errors import errors_as_messages
from snnssl_mm.recording.command import command_line

if TYPE_CHECKING:
    from mmengine.config import Config

    from snnssl_mm.recording.results_file import Row


ENERGY_IMAGES = 64
KEY = ("config", "sha256", "seed", "options", "time_steps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser, checkpoint=True)
    parser.add_argument(
        "--time-steps",
        type=positive(int),
        nargs="+",
        default=list(range(1, 17)),
        metavar="T",
        help="numbers of time steps (1 to 16)",
    )
    parser.add_argument(
        "--latency-seconds",
        type=float,
        default=2.0,
        help="time for measuring the latency at every T (2)",
    )
    add_out_argument(
        parser, "time_steps.json", "JSON file to append to, with a picture next to it"
    )


class Sweep(NamedTuple):
    """Inputs that the measurements at all T share.

    Attributes:
        cfg: The pretraining's config.
        checkpoint: Its weights.
        classifier: Linear probe fitted at the pretraining's T.
    """

    cfg: Config
    checkpoint: str
    classifier: Any

    def at(self, steps: int) -> Row:
        """Measure at T = ``steps``."""
        from snnssl_mm.analysis.energy_measurement import backbone_energy_uj
        from snnssl_mm.analysis.time_steps import config_at
        from snnssl_mm.analysis.unseen_images import unseen_images
        from snnssl_mm.apis.loaded_models import load_pictured_model
        from snnssl_mm.probing import (
            eval_loaders,
            fit_linear,
            knn_accuracy,
            labelled_features,
            recalibrate,
        )

        start = time.monotonic()
        cfg = config_at(self.cfg, steps)
        loaders, images = eval_loaders(cfg), unseen_images(cfg, ENERGY_IMAGES)
        model = load_pictured_model(cfg, self.checkpoint)
        recalibrate(model, loaders.train)
        features = labelled_features(model, loaders, recalibrate_bn=False)
        return {
            "time_steps": steps,
            "accuracy": {
                "linear": float(fit_linear(features).score(*features.test)),
                "linear_of_trained_T": float(self.classifier.score(*features.test)),
                "knn": knn_accuracy(features),
            },
            "energy_uj": backbone_energy_uj(model, cfg, images),
            "seconds": round(time.monotonic() - start, 1),
        }


def with_latencies(rows: list[Row], cfg: Config, args: argparse.Namespace) -> list[Row]:
    """Measure the latency at every T of the rows, interleaved."""
    import torch

    from snnssl_mm.analysis.time_steps import config_at, first_input, latencies_ms
    from snnssl_mm.apis.loaded_models import load_pictured_model
    from snnssl_mm.probing import eval_loaders
    from snnssl_mm.recording.machine import load_text, measured_load

    networks, inputs = {}, {}
    for steps in (row["time_steps"] for row in rows):
        own = config_at(cfg, steps)
        model = load_pictured_model(own, args.checkpoint)
        networks[steps] = model.backbone
        inputs[steps] = first_input(model, eval_loaders(own), steps)
    print(f"measuring latency for {args.latency_seconds * len(rows):.0f} s")
    with measured_load() as load:
        found = latencies_ms(networks, inputs, args.latency_seconds)
    print(f"latency: {load_text(load)}")
    new = {"threads": torch.get_num_threads(), "command": command_line(), "load": load}
    return [row | new | {"latency_ms": found[row["time_steps"]]} for row in rows]


def run(args: argparse.Namespace) -> None:
    """Measure the missing rows, print and draw."""
    from mmengine.runner import set_random_seed

    from snnssl_mm.analysis.time_steps import (
        config_at,
        first_input,
        plot_time_steps,
        require_time_steps,
        time_steps_table,
    )
    from snnssl_mm.analysis.unseen_images import is_pretraining
    from snnssl_mm.apis.loaded_models import load_pictured_model
    from snnssl_mm.probing import eval_loaders, fit_linear, labelled_features
    from snnssl_mm.probing.digests import inputs_digest
    from snnssl_mm.recording.progress import progress
    from snnssl_mm.recording.provenance import provenance
    from snnssl_mm.recording.results_file import ResultsFile

    cfg = load_config(args)
    out = args.out
    with errors_as_messages():
        require_writable(out)
        if not is_pretraining(cfg):
            raise ValueError(
                "time steps are swept for the features of a pretrained backbone, but "
                f"{args.config} is a config of a downstream task; give the config of "
                "the pretraining"
            )
        require_time_steps(cfg, args.time_steps)
        results = ResultsFile(out, "time_steps", KEY)
        loaders = eval_loaders(cfg)
        trained = load_pictured_model(cfg, args.checkpoint)
        given = first_input(trained, loaders)
        if given.dim() == 5:  # T of clips is that of the pipeline: can it be changed?
            other = args.time_steps[-1]
            first_input(trained, eval_loaders(config_at(cfg, other)), other)
    source = provenance(args.config, args.checkpoint, cfg)
    source["options"] = args.cfg_options or {}
    source["digest"] = inputs_digest(cfg, *(loader.dataset for loader in loaders))
    same = {name: source[name] for name in (*KEY[:-1], "digest")}
    source["trained_at"] = (
        len(given) if given.dim() == 5 else trained.backbone.time_steps
    )
    missing = [t for t in args.time_steps if not results.find(**same, time_steps=t)]
    set_random_seed(source["seed"])
    if missing:
        classifier = fit_linear(labelled_features(trained, loaders))
        sweep = Sweep(cfg, args.checkpoint, classifier)
        for steps in progress(missing, "time steps"):
            results.append(source | sweep.at(steps))
    rows = [row for row in results.rows if same.items() <= row.items()]
    if any("latency_ms" not in row for row in rows):
        rows = [results.append(row) for row in with_latencies(rows, cfg, args)]
    time_steps_table(rows).print()
    plot = plot_time_steps(rows, source["trained_at"], out.with_suffix(".png"))
    print(f"wrote {out} and {plot}")
