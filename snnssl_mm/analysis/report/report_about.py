"""Facts of the report: network, method, data and training, from the config."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.analysis import parameter_count
from mmengine.config import Config
from mmengine.registry import DATASETS

from snnssl_mm.checkpoints.loading import read_checkpoint
from snnssl_mm.checkpoints.preprocessing import source_of
from snnssl_mm.recording.table import Table


def about_table(
    cfg: Config, checkpoint: str, model: Any, probe: Mapping[str, Any]
) -> Table:
    """Make the table about network, data and training: name and value.

    Args:
        cfg: Config of the pretraining.
        checkpoint: Its weights.
        model: The DualPathSSL with these weights.
        probe: A row of the probes' results file, which describes the labelled images.
    """
    sizes = parameter_count(model)
    backbone = sizes["backbone"]
    labelled = (
        f"{probe['train_images']:,} to fit probes and {probe['test_images']:,} unseen, "
        f"{probe['classes']} classes ({probe['data']})"
    )
    rows = [
        ["network", settings_text(cfg.model.backbone)],
        ["time steps T", str(model.backbone.time_steps)],
        ["parameters", f"{backbone:,} of the backbone, {sizes['']:,} in pretraining"],
        ["loss", settings_text(cfg.model.head.get("loss") or cfg.model.head)],
        ["pretraining images", training_images(cfg)],
        ["training", training_text(cfg, checkpoint)],
        ["labelled images", labelled],
    ]
    return Table(["", ""], rows, words=2)


def settings_text(settings: Mapping[str, Any]) -> str:
    """Describe a module by its type and settings."""
    name = str(settings["type"]).rsplit(".", 1)[-1]
    shown = {k: v for k, v in settings.items() if k not in ("type", "init_cfg")}
    texts = []
    for key, value in shown.items():
        if isinstance(value, Mapping):
            texts += [f"{k} {v}" for k, v in value.items() if k != "type"]
        else:
            texts.append(f"{key} {value}")
    return f"{name} ({', '.join(texts)})" if texts else name


def training_images(cfg: Config) -> str:
    """Describe the kind, folder and number of the training images."""
    settings: Any = source_of(cfg.get("train_dataloader"))
    if not settings:
        return "not in the config"
    kind = str(settings["type"]).rsplit(".", 1)[-1]
    where = settings.get("data_root") or settings.get("data_prefix") or ""
    name = f"{kind}, {where}" if where else kind
    try:
        count = f"{len(DATASETS.build(copy.deepcopy(settings))):,}"
    except Exception:  # from any dataset: the data may be on another machine
        return f"{name} (not on this machine)"
    return f"{count} ({name})"


def training_text(cfg: Config, checkpoint: str) -> str:
    """Describe epochs or iterations, batch size and optimizer."""
    plan = cfg.get("train_cfg") or {}
    unit = "iterations" if plan.get("max_iters") else "epochs"
    planned = plan.get("max_iters") or plan.get("max_epochs")
    meta = read_checkpoint(checkpoint).get("meta") or {}
    done = meta.get("iter" if unit == "iterations" else "epoch")
    texts = [f"{done} of {planned} {unit}" if done else f"{planned} {unit} planned"]
    if (loader := cfg.get("train_dataloader")) and loader.get("batch_size"):
        texts.append(f"batch size {loader.batch_size}")
    optimizer = (cfg.get("optim_wrapper") or {}).get("optimizer") or {}
    if optimizer.get("type"):
        texts.append(f"{optimizer['type']}, learning rate {optimizer.get('lr')}")
    return ", ".join(texts)
