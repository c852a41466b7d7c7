"""Our models in mmpretrain's ModelHub: list_models, get_model, FeatureExtractor."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmpretrain.apis import ModelHub
from modelindex.models.Model import Model

from snnssl_mm.checkpoints import zoo
from snnssl_mm.checkpoints.preprocessing import loads_file, read_as_files

FOLDERS = ("selfsup", "classification")
"""Folders of configs whose models mmpretrain can build."""


class PretrainedModel(Model):
    """An entry whose config, once read, says how an image comes to the network.

    Args:
        entry: One of mmpretrain's, which has everything else.
    """

    def __init__(self, entry: Model) -> None:
        self.__dict__.update(vars(entry))

    @property
    def config(self) -> Any:
        """Path of the config, or the config."""
        return self.data.get("Config")

    @config.setter
    def config(self, value: Any) -> None:
        if isinstance(value, Config):
            add_image_pipeline(value)
        self.data["Config"] = value


def add_image_pipeline(cfg: Config) -> None:
    """Give a config the ``test_dataloader`` that mmpretrain's inferencers read.

    Its transforms bring a loaded image (BGR) to what the model takes. Pretraining has
    none, and where a config's own images are in memory (RGB), its ``file_loading``
    comes first and the data preprocessor turns the colours. For a config that was just
    read, and before its model is built.

    Raises:
        ValueError: If the config does not say how an image is prepared.
    """
    loader = cfg.get("test_dataloader") or cfg.get("eval_test_dataloader")
    if not loader:
        raise ValueError(
            "the config has neither test_dataloader nor eval_test_dataloader, from "
            "which the transforms of an image are taken"
        )
    steps = list(loader.dataset.pipeline)
    if not loads_file(steps[0]):
        if not cfg.get("file_loading"):
            raise ValueError(
                "the config's own images are in memory, and it does not say how others "
                "are brought to their size; set file_loading=[...] as "
                "configs/_base_/datasets/file_loading_32.py does"
            )
        steps = [*cfg.file_loading, *steps]
        read_as_files(cfg)
        files = dict(type=loader.dataset.type, pipeline=steps)
        cfg.train_dataloader = dict(dataset=files)  # images are BGR from here on
    pipeline = [step for step in steps if not loads_file(step)]
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
            entry = ModelHub._models_dict[name.lower()]
            ModelHub._models_dict[name.lower()] = PretrainedModel(entry)
