"""Plan of the rows that a set of probes fills, and its execution.

Everything is checked before the first row is computed. The probes are ``'knn'`` and
``'linear'`` on frozen features, and those of
:data:`snnssl_mm.probing.protocols.PROTOCOLS`, which train a network.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from rich.console import Console

from snnssl_mm.probing.feature_cache import CachedBackbone, CachedPixels
from snnssl_mm.probing.frozen_probes import frozen_probe
from snnssl_mm.probing.labelled_images import class_count, eval_loaders
from snnssl_mm.probing.probe_configs import require_labelled_pipeline
from snnssl_mm.probing.probe_models import (
    Model,
    load_probed_model,
    random_init_model,
    require_backbone,
)
from snnssl_mm.probing.probe_table import probe_settings_text
from snnssl_mm.probing.protocols import protocol_of
from snnssl_mm.probing.trained_probes import TrainedProbe
from snnssl_mm.recording.probe_names import FROZEN
from snnssl_mm.recording.results_file import ResultsFile, Row

KEY = ("config", "options", "sha256", "seed", "probe", "start", "settings", "data")
"""Entries that identify a row of the results file."""
MAX_ITER = 500  # of logistic regression
console = Console()


class Request(NamedTuple):
    """Requested probes and backbones.

    Attributes:
        checkpoint: Weights under evaluation.
        probes: Names of probes.
        starts: Starting points: ``'pretrained'``, ``'random'`` or ``'pixels'``.
        k: Numbers of neighbours of k-NN; one row each.
        temperature: Temperatures of k-NN; one row each.
        recalibrate: Whether to re-estimate BatchNorm statistics on the spiking path.
        cache: Folder of features and trained probes.
        data: Name of the labelled images in the rows; None for those of the config.
        fraction: Fraction of each class's training images that frozen probes use, or
            their number in each class if above 1, drawn by the config's seed.
    """

    checkpoint: str
    probes: Sequence[str]
    starts: Sequence[str]
    k: Sequence[int]
    temperature: Sequence[float]
    recalibrate: bool
    cache: Path
    data: str | None = None
    fraction: float = 1.0

    def settings_of(self, probe: str, cfg: Config) -> Iterator[Row]:
        """Yield the settings of each row of a probe."""
        common: Row = {"recalibrated": self.recalibrate}
        if probe in FROZEN and self.fraction != 1:
            common["fraction"] = self.fraction
        if probe == "knn":
            for k in self.k:
                for temperature in self.temperature:
                    yield {"k": k, "temperature": temperature, **common}
        elif probe == "linear":
            yield {"max_iter": MAX_ITER, **common}
        else:
            yield {**protocol_of(cfg, probe)._asdict(), **common}


class Task(NamedTuple):
    """Row to fill: one probe with one setting on one backbone.

    Attributes:
        entries: Entries that identify the row.
        backbone: Backbone under evaluation.
        trained: The network to train, for probes that train one.
    """

    entries: Row
    backbone: CachedBackbone
    trained: TrainedProbe | None

    def measure(self) -> Row:
        """Compute the accuracies, from 0 to 1, and the seconds that it took."""
        if self.trained:
            found, seconds = self.trained.run()
            return {**found, "seconds": round(seconds, 1)}
        entries, began = self.entries, time.monotonic()
        share = entries["settings"].get("fraction", 1.0)
        features = self.backbone.features().fraction(share, entries.get("seed", 0))
        found = frozen_probe(
            entries["probe"], entries["settings"], features, entries["classes"]
        )
        return {
            **found,
            "train_images": len(features.train.labels),
            "seconds": round(time.monotonic() - began, 3),
            "feature_seconds": round(self.backbone.feature_seconds(), 1),
        }


def plan(cfg: Config, request: Request, provenance: Row) -> list[Task]:
    """Check everything that the probes need; return the rows to fill.

    Args:
        cfg: Config of the pretraining; its evaluation loaders are the labelled images.
        request: The probes.
        provenance: Entries of every row that record where it comes from.

    Raises:
        ValueError: If the config has no backbone or no labels, or the weights do not
            fit.
    """
    if any(probe not in FROZEN for probe in request.probes):
        require_labelled_pipeline(cfg)
    models = models_of(cfg, request)
    loaders = eval_loaders(cfg, all_test_images=True)
    datasets: list[Any] = [loader.dataset for loader in loaders]
    classes = class_count(loaders)
    if classes < 2:
        raise ValueError(
            "the labelled images have only 1 class; a probe needs 2 or more: add "
            "images of other classes"
        )
    common = {
        **provenance,
        "data": request.data or data_root(cfg),
        "classes": classes,
        "train_images": len(datasets[0]),
        "test_images": len(datasets[1]),
    }
    tasks: list[Task] = []
    for start, model in models.items():
        cached = CachedPixels if start == "pixels" else CachedBackbone
        backbone = cached(
            start, cfg, model, loaders, request.cache, request.recalibrate
        )
        origin = {"checkpoint": None, "sha256": None} if start != "pretrained" else {}
        entries = {**common, **origin, "start": start}
        for probe in request.probes:
            if start == "pixels" and probe not in FROZEN:
                continue  # there is no network to train
            tasks += probe_tasks(probe, cfg, request, backbone, entries)
    return tasks


def models_of(cfg: Config, request: Request) -> dict[str, Model]:
    """Build the models under evaluation, by their starting point."""
    require_backbone(cfg)
    return {
        start: load_probed_model(cfg, request.checkpoint)
        if start == "pretrained"
        else random_init_model(cfg)  # for pixels, its preprocessor is used
        for start in request.starts
    }


def probe_tasks(
    probe: str, cfg: Config, request: Request, backbone: CachedBackbone, entries: Row
) -> Iterator[Task]:
    """Yield the tasks of one probe on one backbone; ``entries`` are common to them."""
    trained, digest = None, backbone.digest
    if probe not in FROZEN:
        protocol = protocol_of(cfg, probe)
        trained = TrainedProbe(probe, cfg, protocol, backbone, entries["classes"])
        digest = trained.digest
        entries = {**entries, "train_images": trained.images}
    for settings in request.settings_of(probe, cfg):
        own = {"probe": probe, "settings": settings, "digest": digest}
        yield Task({**entries, **own}, backbone, trained)


def data_root(cfg: Config) -> str:
    """Return the folder of the config's labelled images, or their dataset's type."""
    dataset = cfg.eval_train_dataloader.dataset
    return str(dataset.get("data_root") or dataset.get("type"))


def fill(results: ResultsFile, task: Task) -> Row:
    """Return the row of a task, computing it if the file does not have it."""
    entries = task.entries
    settings = probe_settings_text(entries["settings"])
    name = ", ".join(filter(None, (entries["probe"], entries["start"], settings)))
    known = results.find(**{key: entries[key] for key in (*KEY, "digest")})
    if known:
        console.print(f"{name}: in {results.path} already", highlight=False)
        return known
    console.rule(name)
    return results.append({**entries, **task.measure()})
