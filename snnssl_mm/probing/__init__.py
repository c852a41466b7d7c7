"""Evaluation of a backbone on labelled images: k-NN, linear probes, few labels.

* :mod:`~snnssl_mm.probing.labelled_images`: labelled images of a config;
* :mod:`~snnssl_mm.probing.probe_models`: models with trained or random weights;
* :mod:`~snnssl_mm.probing.features`: features of a frozen, spiking backbone;
* :mod:`~snnssl_mm.probing.frozen_probes`: k-NN and logistic regression on features.

Probes that train a network are in :mod:`~snnssl_mm.probing.trained_probes`.
"""

from snnssl_mm.probing.features import (
    LabelledFeatures,
    compute_features,
    labelled_features,
    prepared_inputs,
    raw_pixels,
    recalibrate,
)
from snnssl_mm.probing.frozen_probes import (
    fit_linear,
    knn_accuracy,
    linear_accuracy,
)
from snnssl_mm.probing.labelled_images import (
    Loaders,
    eval_loaders,
    has_labelled_images,
)
from snnssl_mm.probing.probe_models import (
    build_eval_model,
    load_trained_model,
    random_init_model,
)

__all__ = [
    "LabelledFeatures",
    "Loaders",
    "build_eval_model",
    "compute_features",
    "eval_loaders",
    "fit_linear",
    "has_labelled_images",
    "knn_accuracy",
    "labelled_features",
    "linear_accuracy",
    "load_trained_model",
    "prepared_inputs",
    "random_init_model",
    "raw_pixels",
    "recalibrate",
]
