"""Default pipeline of labelled images for configs that define none."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config

from snnssl_mm.checkpoints.preprocessing import nested_steps, source_of

CROPS = ("RandomResizedCrop", "RandomCrop", "CenterCrop")


def crop_size(pipeline: Any) -> Any:
    """Return the output size of a pipeline's last crop; None without a crop."""
    sizes = [
        step.get("crop_size", step.get("scale"))
        for step in nested_steps(pipeline)
        if str(step["type"]).endswith(CROPS)
    ]
    return sizes[-1] if sizes else None


def evaluation_pipeline(cfg: Config) -> list[dict[str, Any]]:
    """Return transforms that turn an image file into an input of the trained size.

    These are the config's ``eval_pipeline`` or ``file_loading``. If neither is set, or
    their size differs from the training crops, the shorter side is resized to the crop
    size and the centre is cropped.

    Raises:
        ValueError: If neither is set and the training has no crop.
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


def add_eval_loaders(cfg: Config, names: tuple[str, ...]) -> None:
    """Add data loaders for labelled images whose folder is set later.

    Args:
        cfg: Config; changed in place.
        names: Names of the loaders; existing ones are kept.

    Raises:
        ValueError: From :func:`evaluation_pipeline`.
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
