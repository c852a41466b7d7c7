"""Registration of this package's models in mmpretrain's ModelHub."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmpretrain.apis import ModelHub
from modelindex.models.Model import Model

from snnssl_mm.checkpoints import zoo
from snnssl_mm.checkpoints.preprocessing import loads_file, read_as_files, source_of
from snnssl_mm.probing.evaluation_pipeline import evaluation_pipeline

FOLDERS = ("selfsup", "classification")
"""Config folders with models that mmpretrain can build."""


class PretrainedModel(Model):
    """Entry of the ModelHub that adds an image pipeline to its config when read.

    Args:
        entry: mmpretrain's entry, whose attributes are copied.
    """

    def __init__(self, entry: Model) -> None:
        self.__dict__.update(vars(entry))

    @property
    def config(self) -> Any:
        """Path of the config, or the config once it is read."""
        return self.data.get("Config")

    @config.setter
    def config(self, value: Any) -> None:
        if isinstance(value, Config):
            add_image_pipeline(value)
        self.data["Config"] = value


def add_image_pipeline(cfg: Config) -> None:
    """Set the ``test_dataloader`` of a config, which mmpretrain's inferencers read.

    Its transforms turn a loaded image (BGR) into the model's input. Pretraining configs
    have no ``test_dataloader``; theirs is made of ``eval_test_dataloader``, or of
    :func:`~snnssl_mm.probing.evaluation_pipeline.evaluation_pipeline` if they have no
    labelled images, but a folder to train on. If the config's images are in memory
    (RGB), its ``file_loading`` comes first and the data preprocessor exchanges the
    channels. Call this right after reading the config, before its model is built.

    Raises:
        ValueError: If the config does not define how an image is prepared.
    """
    loader = cfg.get("test_dataloader") or cfg.get("eval_test_dataloader")
    if loader:
        kind, steps = loader.dataset.type, list(loader.dataset.pipeline)
    else:
        training = source_of(cfg.get("train_dataloader"))
        if not training.get("pipeline") or not loads_file(training["pipeline"][0]):
            raise ValueError(
                "the config has neither test_dataloader nor eval_test_dataloader, and "
                "trains on no image files; set one, whose pipeline prepares an image"
            )
        kind, steps = training["type"], evaluation_pipeline(cfg)
    if not loads_file(steps[0]):
        if not cfg.get("file_loading"):
            raise ValueError(
                "the config's images are in memory, and it does not define how files "
                "are loaded and resized; set file_loading=[...] as "
                "configs/_base_/datasets/file_loading_32.py does"
            )
        steps = [*cfg.file_loading, *steps]
        read_as_files(cfg)
        files = dict(type=kind, pipeline=steps)
        cfg.train_dataloader = dict(dataset=files)  # images are BGR from now on
    pipeline = [step for step in steps if not loads_file(step)]
    dataset = dict(type=kind, pipeline=pipeline)
    cfg.test_dataloader = dict(dataset=dataset)


def register_models() -> None:
    """Register the zoo's models, once."""
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
