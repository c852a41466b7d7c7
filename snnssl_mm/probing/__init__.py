"""Evaluation of a backbone: k-NN, linear probes, few labels, fine-tuning."""

from snnssl_mm.probing.probes import (
    LabelledFeatures,
    Loaders,
    build_eval_model,
    compute_features,
    eval_loaders,
    fit_linear,
    knn_accuracy,
    labelled_features,
    linear_accuracy,
    load_trained_model,
    random_init_model,
    raw_pixels,
    recalibrate,
)

__all__ = [
    "LabelledFeatures",
    "Loaders",
    "build_eval_model",
    "compute_features",
    "eval_loaders",
    "fit_linear",
    "knn_accuracy",
    "labelled_features",
    "linear_accuracy",
    "load_trained_model",
    "random_init_model",
    "raw_pixels",
    "recalibrate",
]
