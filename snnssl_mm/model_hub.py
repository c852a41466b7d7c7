"""Our models in mmpretrain's ModelHub: list_models, get_model, FeatureExtractor."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmpretrain.apis import ModelHub
from modelindex.models.Model import Model

from snnssl_mm import zoo

FOLDERS = ("selfsup", "classification")
"""Folders of configs whose models mmpretrain can build."""


class PretrainedModel(Model):
    """An entry whose config, once read, says how an image comes to the network.

    FeatureExtractor takes that from ``test_dataloader``, which pretraining has not.
    """

    @property
    def config(self) -> Any:
        """Path of the config, or the config."""
        return self.data.get("Config")

    @config.setter
    def config(self, value: Any) -> None:
        if isinstance(value, Config) and "test_dataloader" not in value:
            add_image_pipeline(value)
        self.data["Config"] = value


def add_image_pipeline(cfg: Config) -> None:
    """Give a config the ``test_dataloader`` that FeatureExtractor reads.

    Its transforms bring an image that is loaded to what the model takes.
    """
    loader = cfg.get("test_dataloader") or cfg.get("eval_test_dataloader")
    if not loader:
        raise ValueError(
            "the config has neither test_dataloader nor eval_test_dataloader, from "
            "which the transforms of an image are taken"
        )
    steps = [*cfg.get("file_loading", []), *loader.dataset.pipeline]
    pipeline = [
        step
        for step in steps
        if not str(step["type"]).rpartition(".")[2].startswith("Load")
    ]
    dataset = dict(type=loader.dataset.type, pipeline=pipeline)
    cfg.test_dataloader = dict(dataset=dataset)


def register_models() -> None:
    """Register the zoo's models; a second time does nothing."""
    root = zoo.index_file().parent
    for folder in FOLDERS:
        names = [n for n, e in zoo.entries().items() if e.config.parent.name == folder]
        if any(ModelHub.has(name.lower()) for name in names):
            continue
        metafile = root / "configs" / folder / "metafile.yml"
        ModelHub.register_model_index(metafile, config_prefix=root)
        for name in names:
            ModelHub._models_dict[name.lower()].__class__ = PretrainedModel
