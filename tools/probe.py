#!/usr/bin/env python3
"""Judge a pretrained backbone by labelled images: one tool, one table, one file.

usage: python tools/probe.py CONFIG CHECKPOINT [--probes knn linear finetune ...]

CONFIG is the pretraining's; its eval_train_dataloader and eval_test_dataloader are the
labelled images, or --data names a folder of others. The probes:

    knn               weighted k-NN on frozen features
    linear            logistic regression on frozen features
    linear-augmented  linear classifier on the frozen backbone, augmented images, SGD
    semi-1pct         fine-tuning on 1 % of the labels of each class
    semi-10pct        fine-tuning on 10 % of them
    finetune          fine-tuning on all of them

A row that the results file has is not computed again, and a probe that was stopped
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console

from snnssl_mm.cli.arguments import positive, seed_number
from snnssl_mm.cli.tooling import (
    add_config_arguments,
    add_out_argument,
    errors_as_sentences,
    load_config,
    one_of,
    parse,
    provenance,
    require_local,
    require_writable,
    run_tool,
)
from snnssl_mm.recording.probe_names import FROZEN, STARTS

if TYPE_CHECKING:
    from mmengine.config import Config

    from snnssl_mm.probing.feature_cache import CachedBackbone
    from snnssl_mm.probing.probe_models import Model
    from snnssl_mm.probing.trained_probes import TrainedProbe
    from snnssl_mm.recording.results_file import ResultsFile, Row


KEY = ("config", "options", "sha256", "seed", "probe", "start", "settings", "data")
MAX_ITER = 500  # of logistic regression
console = Console()


class Task(NamedTuple):
    """A row to be filled: one probe with one setting, of one backbone.

    Attributes:
        entries: What tells it from other rows.
        backbone: What is judged.
        trained: The network to train, for probes that train one.
    """

    entries: Row
    backbone: CachedBackbone
    trained: TrainedProbe | None


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser, checkpoint=True)
    parser.add_argument(
        "--probes",
        nargs="+",
        type=one_of("snnssl_mm.probing.protocols:PROTOCOLS", *FROZEN),
        default=list(FROZEN),
        help="the probes above by name; knn and linear by default",
    )
    parser.add_argument(
        "--start",
        nargs="+",
        choices=STARTS,
        default=["pretrained"],
        help="the checkpoint's backbone; for comparison, one of random weights, or the "
        "pixels themselves (frozen probes only)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="{train,test}/<class>/* in place of the config's images, or images in "
        "train and test with a class a line in train.txt and test.txt",
    )
    parser.add_argument("--k", type=positive(int), nargs="+", default=[20])
    parser.add_argument(
        "--temperature", type=positive(float), nargs="+", default=[0.07]
    )
    parser.add_argument("--seed", type=seed_number, help="instead of the config's")
    parser.add_argument(
        "--no-recalibrate",
        action="store_true",
        help="keep the BatchNorm statistics, averages over the spiking and the analog "
        "path, instead of taking them anew on the spiking one",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        help="folder of features and trained probes; 'features' beside --out",
    )
    add_out_argument(parser, "probe_results.json", "JSON file to add to")
    args = parse(parser)
    args.cache = args.cache or args.out.parent / "features"
    return args


def config_of(args: argparse.Namespace) -> Config:
    """Read the config and apply the command line to it."""
    from snnssl_mm.probing.labelled_folder import with_labelled_folder

    cfg = load_config(args)
    require_local(args.checkpoint)
    if args.seed is not None:
        cfg.randomness = dict(cfg.get("randomness") or {}, seed=args.seed)
    if args.data:
        cfg = with_labelled_folder(cfg, args.data)
    return cfg


def settings_of(probe: str, cfg: Config, args: argparse.Namespace) -> Iterator[Row]:
    """Settings of each row of a probe."""
    from snnssl_mm.probing.protocols import protocol_of

    common = {"recalibrated": not args.no_recalibrate}
    if probe == "knn":
        for k in args.k:
            for temperature in args.temperature:
                yield {"k": k, "temperature": temperature, **common}
    elif probe == "linear":
        yield {"max_iter": MAX_ITER, **common}
    else:
        yield {**protocol_of(cfg, probe)._asdict(), **common}


def models_of(cfg: Config, args: argparse.Namespace) -> dict[str, Model]:
    """Build the models to be judged, by what they start from."""
    from snnssl_mm.probing.probe_models import (
        load_probed_model,
        random_init_model,
        require_backbone,
    )

    require_backbone(cfg)
    make = {
        "pretrained": lambda: load_probed_model(cfg, args.checkpoint),
        "random": lambda: random_init_model(cfg),
        "pixels": lambda: random_init_model(cfg),  # its preprocessor
    }
    return {start: make[start]() for start in args.start}


def plan(cfg: Config, args: argparse.Namespace) -> list[Task]:
    """Check everything that the probes need; return the rows to be filled."""
    from snnssl_mm.probing.feature_cache import CachedBackbone, CachedPixels
    from snnssl_mm.probing.labelled_images import class_count, eval_loaders
    from snnssl_mm.probing.probe_configs import require_labelled_pipeline

    if any(probe not in FROZEN for probe in args.probes):
        require_labelled_pipeline(cfg)
    models = models_of(cfg, args)
    loaders = eval_loaders(cfg, all_test_images=True)
    datasets: list[Any] = [loader.dataset for loader in loaders]
    classes = class_count(loaders)
    if classes < 2:
        raise ValueError(
            "the labelled images have one class only; a probe needs two or more"
        )
    common = {
        **provenance(args, cfg),
        "options": args.cfg_options or {},
        "data": str(args.data or data_root(cfg)),
        "classes": classes,
        "train_images": len(datasets[0]),
        "test_images": len(datasets[1]),
    }
    tasks: list[Task] = []
    for start, model in models.items():
        judged = CachedPixels if start == "pixels" else CachedBackbone
        backbone = judged(
            start, cfg, model, loaders, args.cache, not args.no_recalibrate
        )
        origin = {"checkpoint": None, "sha256": None} if start != "pretrained" else {}
        entries = {**common, **origin, "start": start}
        for probe in args.probes:
            if start == "pixels" and probe not in FROZEN:
                continue  # there is no network to train
            tasks += tasks_of(probe, cfg, args, backbone, entries)
    return tasks


def tasks_of(
    probe: str,
    cfg: Config,
    args: argparse.Namespace,
    backbone: CachedBackbone,
    entries: Row,
) -> Iterator[Task]:
    """Rows of a probe of one backbone; ``entries`` are what all its rows share."""
    from snnssl_mm.probing.protocols import protocol_of
    from snnssl_mm.probing.trained_probes import TrainedProbe

    trained, digest = None, backbone.digest
    if probe not in FROZEN:
        protocol = protocol_of(cfg, probe)
        trained = TrainedProbe(probe, cfg, protocol, backbone, entries["classes"])
        digest = trained.digest
        entries = {**entries, "train_images": trained.images}
    for settings in settings_of(probe, cfg, args):
        own = {"probe": probe, "settings": settings, "digest": digest}
        yield Task({**entries, **own}, backbone, trained)


def data_root(cfg: Config) -> str:
    """Where the config's labelled images are, or of what kind they are."""
    dataset = cfg.eval_train_dataloader.dataset
    return str(dataset.get("data_root") or dataset.get("type"))


def measure(task: Task) -> Row:
    """Fill a row: the accuracies, from 0 to 1, and the seconds of work."""
    from snnssl_mm.probing.frozen_probes import frozen_probe

    if task.trained:
        found, seconds = task.trained.run()
        return {**found, "seconds": round(seconds, 1)}
    features = task.backbone.features()
    entries, began = task.entries, time.monotonic()
    found = frozen_probe(
        entries["probe"], entries["settings"], features, entries["classes"]
    )
    return {
        **found,
        "seconds": round(time.monotonic() - began, 3),
        "feature_seconds": round(task.backbone.feature_seconds(), 1),
    }


def fill(results: ResultsFile, task: Task) -> Row:
    """Return the row of a task: the one that the file has, or a new one."""
    from snnssl_mm.probing.probe_table import described

    entries = task.entries
    settings = described(entries["settings"])
    name = ", ".join(filter(None, (entries["probe"], entries["start"], settings)))
    known = results.find(**{key: entries[key] for key in (*KEY, "digest")})
    if known:
        console.print(f"{name}: in {results.path} already", highlight=False)
        return known
    console.rule(name)
    return results.append({**entries, **measure(task)})


def main() -> None:
    """Probe."""
    args = parse_args()

    from snnssl_mm.probing.probe_table import probe_table
    from snnssl_mm.recording.results_file import ResultsFile

    with errors_as_sentences():
        cfg = config_of(args)
        require_writable(args.out, args.cache / "features.npz")
        results = ResultsFile(args.out, "probes", KEY)
        tasks = plan(cfg, args)
    rows = [fill(results, task) for task in tasks]
    probe_table(rows).print()
    console.print(f"rows: {args.out}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    run_tool(main, again="")
