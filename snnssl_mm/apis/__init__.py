"""Python API of pretrained networks: models by name, features, spikes.

Importing this module registers the models of this package's zoo in mmpretrain, whose
``list_models``, ``get_model`` and ``FeatureExtractor`` then know them. Images are
files, folders, PIL images, arrays or tensors of any size, one or several, see
:func:`snnssl_mm.datasets.image_inputs.read_images`.
"""

from snnssl_mm.compat import import_mmpretrain

import_mmpretrain("apis", "models")

from snnssl_mm.apis.features import (
    FeatureExtractor,
    extract_features,
    get_model,
    list_models,
    load_backbone,
    load_model,
    record_spikes,
)

__all__ = [
    "FeatureExtractor",
    "extract_features",
    "get_model",
    "list_models",
    "load_backbone",
    "load_model",
    "record_spikes",
]
