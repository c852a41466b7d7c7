"""Default pipeline of labelled images for configs that name none."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config

from snnssl_mm.checkpoints.preprocessing import nested_steps, source_of

CROPS = ("RandomResizedCrop", "RandomCrop", "CenterCrop")


def crop_size(pipeline: Any) -> Any:
    """Return the size that a pipeline's last crop makes; None without a crop."""
    sizes = [
        step.get("crop_size", step.get("scale"))
        for step in nested_steps(pipeline)
        if str(step["type"]).endswith(CROPS)
    ]
    return sizes[-1] if sizes else None


def evaluation_pipeline(cfg: Config) -> list[dict[str, Any]]:
    """Return the steps that bring an image file to what the network was trained on.

    The config's ``eval_pipeline`` or ``file_loading``; where these make another size
    than the training's crops, or are not set: the shorter side reduced to the crops'
    size, then its centre.

    Raises:
        ValueError: If the config tells neither.
    """
    trained = crop_size(source_of(cfg.get("train_dataloader")).get("pipeline"))
    pack = dict(type="PackInputs")
    loading = cfg.get("file_loading")
    for own in (cfg.get("eval_pipeline"), loading and [*loading, pack]):
        if own and trained in (None, crop_size(own)):
            return list(own)
    if trained is None:
        raise ValueError(
            "the config does not say how an image file becomes an input of the "
            "network; set eval_pipeline=[...] to the steps that load, resize and pack "
            "one, as configs/_base_/datasets/image_folder.py does"
        )
    short = trained if isinstance(trained, int) else max(trained)
    return [
        dict(type="snnssl_mm.LoadIntactImage"),
        dict(type="ResizeEdge", scale=short, edge="short", interpolation="area"),
        dict(type="CenterCrop", crop_size=trained),
        pack,
    ]


def with_eval_loaders(cfg: Config, names: tuple[str, ...]) -> None:
    """Give a config data loaders for labelled images that are still to be named.

    Args:
        cfg: Is changed.
        names: Of the loaders; those that it has stay.

    Raises:
        ValueError: If the config does not tell how images are looked at.
    """
    training = cfg.get("train_dataloader") or {}
    for name in names:
        if cfg.get(name) is None:
            cfg[name] = dict(
                batch_size=training.get("batch_size", 32),
                num_workers=training.get("num_workers", 0),
                sampler=dict(type="DefaultSampler", shuffle=False),
                collate_fn=dict(type="default_collate"),
                dataset=dict(pipeline=evaluation_pipeline(cfg)),
            )
