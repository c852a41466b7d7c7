"""Draw a network's maps, spikes, features, predictions or curves, or a recording.

Maps and spikes support configs of pretraining, classification, detection and
segmentation; embeddings and neighbours support pretraining.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from snnssl_mm.cli.shared.arguments import pattern, picture, positive, seed_number
from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.kinds import Kind, add_kinds
from snnssl_mm.cli.shared.named_models import METAVAR, load_configs, named_model
from snnssl_mm.cli.shared.options import (
    add_config_arguments,
    add_image_arguments,
    add_out_argument,
    add_trust_argument,
    run_folder,
)
from snnssl_mm.cli.shared.user_errors import errors_as_messages

Parser = argparse.ArgumentParser
Arguments = argparse.Namespace


def add_arguments(parser: Parser) -> None:
    """Add the kinds with their arguments."""
    add_kinds(parser, KINDS)


def add_model_arguments(parser: Parser, out: str) -> None:
    """Add config, checkpoint and ``--out``."""
    add_config_arguments(parser, checkpoint=True)
    add_out_argument(parser, out, "picture to draw")


def backbone_and_image(args: Arguments) -> tuple[Any, Any]:
    """Load the checkpoint's backbone, and the image as its input."""
    from snnssl_mm.apis.loaded_models import load_backbone_and_image

    cfg = load_config(args)
    with errors_as_messages():
        return load_backbone_and_image(cfg, args.checkpoint, args.image, args.max_size)


def add_feature_maps(parser: Parser) -> None:
    """Add the arguments of ``feature-maps``."""
    add_model_arguments(parser, "feature_maps.png")
    add_image_arguments(parser)
    parser.add_argument(
        "--channels",
        type=positive(int),
        default=6,
        help="channels to draw per level (6)",
    )


def draw_feature_maps(args: Arguments) -> None:
    """Draw the feature maps that a backbone gives to a neck."""
    from snnssl_mm.analysis.feature_maps import feature_maps, plot_feature_maps

    backbone, image = backbone_and_image(args)
    levels = feature_maps(backbone, image)
    print(plot_feature_maps(levels, image.picture, args.out, args.channels))


def add_spike_maps(parser: Parser) -> None:
    """Add the arguments of ``spike-maps``."""
    add_model_arguments(parser, "spike_maps.png")
    add_image_arguments(parser)
    parser.add_argument(
        "--layers",
        type=pattern,
        default="",
        metavar="REGEX",
        help="layers to draw, such as 'stem' or 'blocks.0'; all by default",
    )


def draw_spike_maps(args: Arguments) -> None:
    """Draw where and when a backbone fires."""
    from snnssl_mm.analysis.spike_maps import plot_spike_maps, spike_maps

    backbone, image = backbone_and_image(args)
    with errors_as_messages():
        layers = spike_maps(backbone, image, args.layers)
    print(plot_spike_maps(layers, image.picture, args.out))


def add_attention_maps(parser: Parser) -> None:
    """Add the arguments of ``attention-maps``."""
    add_model_arguments(parser, "attention_maps.png")
    add_image_arguments(parser)
    parser.add_argument(
        "--heads", type=positive(int), default=6, help="maximum number of heads (6)"
    )


def draw_attention_maps(args: Arguments) -> None:
    """Draw maps of spiking self-attention."""
    from snnssl_mm.analysis.attention_maps import attention_maps, plot_attention_maps

    backbone, image = backbone_and_image(args)
    with errors_as_messages():
        blocks = attention_maps(backbone, image)
    print(plot_attention_maps(blocks, image.picture, args.out, args.heads))


def add_spike_raster(parser: Parser) -> None:
    """Add the arguments of ``spike-raster``."""
    add_model_arguments(parser, "spike_raster.png")
    parser.add_argument(
        "--images", type=positive(int), default=8, help="number of images (8)"
    )
    parser.add_argument(
        "--neurons", type=positive(int), default=64, help="neurons per layer (64)"
    )
    parser.add_argument(
        "--seed", type=seed_number, default=0, help="seed for choosing neurons (0)"
    )


def draw_spike_raster(args: Arguments) -> None:
    """Draw which neurons fire when, on unseen images."""
    from snnssl_mm.analysis.sample_images import sample_images
    from snnssl_mm.analysis.spike_raster import plot_spike_rasters, spike_rasters
    from snnssl_mm.apis.loaded_models import load_pictured_model
    from snnssl_mm.probing import eval_loaders

    cfg = load_config(args)
    with errors_as_messages():
        model = load_pictured_model(cfg, args.checkpoint)
        samples = sample_images(model, eval_loaders(cfg).test, args.images)
        rasters = spike_rasters(model.backbone, samples.inputs, args.neurons, args.seed)
    print(plot_spike_rasters(rasters, args.out))


def add_embedding(parser: Parser) -> None:
    """Add the arguments of ``embedding``."""
    add_model_arguments(parser, "feature_embedding.png")
    parser.add_argument(
        "--images",
        type=positive(int),
        default=1000,
        help="maximum number of images (1000)",
    )


def draw_embedding(args: Arguments) -> None:
    """Draw a 2-D embedding of the features of unseen images."""
    from snnssl_mm.analysis.feature_embedding import embed_test_images, plot_embedding
    from snnssl_mm.apis.loaded_models import load_pictured_model
    from snnssl_mm.probing import eval_loaders, random_init_model

    cfg = load_config(args)
    with errors_as_messages():
        pretrained = load_pictured_model(cfg, args.checkpoint)
        cfg.max_probe_samples = args.images
        loaders = eval_loaders(cfg)
    models = {"pretrained": pretrained, "random weights": random_init_model(cfg)}
    panels, classes = embed_test_images(models, loaders)
    print(plot_embedding(panels, classes, args.out))


def add_neighbours(parser: Parser) -> None:
    """Add the arguments of ``neighbours``."""
    add_model_arguments(parser, "neighbours.png")


def draw_neighbours(args: Arguments) -> None:
    """Draw test images next to their nearest training images."""
    from snnssl_mm.analysis.neighbours import plot_neighbours, to_pictures
    from snnssl_mm.models.clips import samples_first
    from snnssl_mm.probing import (
        compute_features,
        eval_loaders,
        labelled_features,
        load_trained_model,
    )
    from snnssl_mm.probing.labelled_images import class_names

    cfg = load_config(args)
    with errors_as_messages():
        model = load_trained_model(cfg, args.checkpoint)
    # Limit of training and of test images, since all are kept in memory.
    cfg.max_probe_samples = 5_000
    loaders = eval_loaders(cfg)
    train, test = (
        to_pictures(compute_features(model, loader, samples_first)[0])
        for loader in loaders
    )
    features, names = labelled_features(model, loaders), class_names(loaders[1].dataset)
    print(plot_neighbours(features, (train, test), args.out, names=names))


def add_predictions(parser: Parser) -> None:
    """Add the arguments of ``predictions``."""
    parser.add_argument("models", nargs="+", type=named_model, metavar=METAVAR)
    parser.add_argument(
        "--out",
        type=picture,
        help="picture to draw; work_dirs/<run>/predictions.png of the first checkpoint "
        "by default",
    )
    parser.add_argument(
        "--count", type=positive(int), default=5, help="number of test images (5)"
    )
    parser.add_argument(
        "--score-thr", type=float, default=0.3, help="lowest score of a drawn box (0.3)"
    )
    add_trust_argument(parser)


def draw_predictions(args: Arguments) -> None:
    """Draw the predictions of detectors and segmentors."""
    from snnssl_mm.analysis.predictions import columns_of, plot_predictions

    models = load_configs(args.models)
    _, config, checkpoint = args.models[0]
    out = args.out or run_folder(checkpoint, config) / "predictions.png"
    with errors_as_messages():
        columns = columns_of(models, args.count)
    print(plot_predictions(columns, out, args.score_thr))


def add_recording(parser: Parser) -> None:
    """Add the arguments of ``recording``."""
    add_config_arguments(parser)
    parser.add_argument(
        "--index", type=seed_number, default=0, help="number of the recording (0)"
    )
    parser.add_argument(
        "--loader",
        default="train",
        help="data loader that it is from: train (the default), eval_test, ...",
    )
    parser.add_argument(
        "--frames", type=positive(int), default=60, help="number of frames (60)"
    )
    parser.add_argument(
        "--seconds", type=positive(float), default=3.0, help="length to play (3)"
    )
    add_out_argument(parser, "recording.gif", "animated picture to draw, .gif or .png")


def draw_recording(args: Arguments) -> None:
    """Draw an animation of a recording."""
    from mmengine.registry import DATASETS, init_default_scope

    from snnssl_mm.analysis.event_pictures import animate, recording_of

    config = load_config(args)
    with errors_as_messages():
        loader = config.get(f"{args.loader}_dataloader")
        if loader is None:
            raise ValueError(
                f"the config has no {args.loader}_dataloader; give another --loader"
            )
        init_default_scope(config.get("default_scope", "mmpretrain"))
        dataset = DATASETS.build(loader["dataset"])
        if args.index >= len(dataset):
            raise ValueError(
                f"{args.loader}_dataloader has {len(dataset):,} recordings; give an "
                f"--index below that, got {args.index}"
            )
        recording = recording_of(dataset, args.index)
    print(animate(recording, args.out, args.frames, args.seconds))


def add_training(parser: Parser) -> None:
    """Add the arguments of ``training``."""
    parser.add_argument("work_dir", type=Path, help="work directory of the run")
    parser.add_argument(
        "--out", type=picture, help="picture; work_dirs/<run>/curves.png by default"
    )


def draw_training(args: Arguments) -> None:
    """Draw the training curves of a run."""
    from snnssl_mm.analysis.plots.training_curves import plot_training

    default = run_folder(args.work_dir / "log", args.work_dir) / "curves.png"
    print(plot_training(args.work_dir, args.out or default))


KINDS = {
    "feature-maps": Kind(
        "Feature maps of an image, level by level.\n\n"
        "All levels of a Spikformer: "
        '--cfg-options "model.backbone.out_indices=(0,1,2,3)"',
        add_feature_maps,
        draw_feature_maps,
    ),
    "spike-maps": Kind(
        "Where and when a backbone fires for an image: every layer, every time step.",
        add_spike_maps,
        draw_spike_maps,
    ),
    "attention-maps": Kind(
        "Spiking self-attention in an image: every block, head by head.",
        add_attention_maps,
        draw_attention_maps,
    ),
    "spike-raster": Kind(
        "Spikes of each layer's neurons over time, on unseen images, one per class.",
        add_spike_raster,
        draw_spike_raster,
    ),
    "embedding": Kind(
        "2-D embedding (t-SNE) of features of unseen images, pretrained and random.",
        add_embedding,
        draw_embedding,
    ),
    "neighbours": Kind(
        "Test images next to their nearest training images in feature space.",
        add_neighbours,
        draw_neighbours,
    ),
    "predictions": Kind(
        "Predictions of detectors and segmentors on the same test images, and ground "
        "truth.\n\n"
        "The first detector and the first segmentor define the ground truth columns.",
        add_predictions,
        draw_predictions,
    ),
    "recording": Kind(
        "Animation of a recording of an event camera, as GIF or animated PNG.\n\n"
        "ON events are red, OFF events blue; the bar below shows the time.",
        add_recording,
        draw_recording,
    ),
    "training": Kind(
        "Loss parts, k-NN accuracy and firing rate of a run over its epochs.",
        add_training,
        draw_training,
    ),
}
