"""Report sections with pictures of a network's activity on unseen images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from snnssl_mm.analysis.attention_maps import (
    attention_maps,
    is_attention,
    plot_attention_maps,
)
from snnssl_mm.analysis.feature_embedding import embed_test_images, plot_embedding
from snnssl_mm.analysis.feature_maps import feature_maps, plot_feature_maps
from snnssl_mm.analysis.neighbours import plot_neighbours, to_pictures
from snnssl_mm.analysis.predictions import columns_of, plot_predictions
from snnssl_mm.analysis.report.report import Picture, Section
from snnssl_mm.analysis.sample_images import SampleImages
from snnssl_mm.analysis.spike_maps import plot_spike_maps, spike_maps
from snnssl_mm.analysis.spike_raster import plot_spike_rasters, spike_rasters
from snnssl_mm.models.clips import samples_first
from snnssl_mm.probing import (
    Loaders,
    compute_features,
    labelled_features,
    random_init_model,
)
from snnssl_mm.probing.labelled_images import class_names
from snnssl_mm.recording.energy_tables import summary, total_table

EMBEDDED = 1000
"""Number of test images in the t-SNE plot and in the search for neighbours."""
SCENES = 3
"""Number of test images with predictions of detectors and segmentors."""


def spikes_section(backbone: Any, samples: SampleImages, folder: Path) -> Section:
    """Draw spike rasters of several images and spike maps of one."""
    rasters = spike_rasters(backbone, samples.inputs)
    raster = plot_spike_rasters(rasters, folder / "spike_raster.png")
    image = samples.single(0)
    maps = spike_maps(backbone, image)
    where = plot_spike_maps(maps, image.picture, folder / "spike_maps.png")
    return Section(
        "Spikes",
        (
            "The same neurons of every layer, drawn at random, for one image after the "
            "other; then where the channels of every layer fire in the first image.",
        ),
        [
            Picture(
                raster,
                "A row is a neuron, a column a time step, blue lines part the images. "
                "Rows black throughout are saturated, rows white throughout silent; "
                "patterns that differ between images carry information.",
            ),
            Picture(
                where,
                "Bright places are where many channels spike. Early layers should "
                "follow the object's outline; a black row would be a dead layer.",
            ),
        ],
    )


def maps_section(backbone: Any, samples: SampleImages, folder: Path) -> Section:
    """Draw attention maps (if there is attention) and feature maps of an image."""
    image, pictures, text = samples.single(0), [], []
    if any(is_attention(module) for module in backbone.modules()):
        blocks = attention_maps(backbone, image)
        file = folder / "attention_maps.png"
        plot_attention_maps(blocks, image.picture, file)
        pictures.append(
            Picture(
                file,
                "Bright places are attended to by many others. Heads that differ look "
                "for different things; an even map means that a head does not choose.",
            )
        )
        text.append(
            "Attention is the number of query and key channels that spike together, "
            "averaged over time steps and queries; there is no softmax."
        )
    levels = feature_maps(backbone, image)
    file = folder / "feature_maps.png"
    plot_feature_maps(levels, image.picture, file)
    pictures.append(
        Picture(
            file,
            "What a neck or head receives. The object should stand out from the "
            "background in the mean and in single channels.",
        )
    )
    return Section("Attention and features", text, pictures)


def embedding_section(cfg: Config, model: Any, loaders: Loaders, out: Path) -> Section:
    """Draw t-SNE plots of pretrained and random weights."""
    models = {"pretrained": model, "random weights": random_init_model(cfg)}
    panels, classes = embed_test_images(models, loaders)
    plot_embedding(panels, classes, out)
    count = len(next(iter(panels.values()))[1])
    text = (
        f"t-SNE (cosine distance) of frozen features of {count:,} unseen images. "
        "Colours are classes, whose labels the pretraining has not seen.",
    )
    picture = Picture(
        out,
        "Classes that form separate groups at the left, but not at the right, were "
        "learnt by the pretraining. Distances between far groups mean nothing.",
    )
    return Section("Features in the plane", text, [picture])


def neighbours_section(model: Any, loaders: Loaders, out: Path) -> Section:
    """Draw the nearest training images of unseen images."""
    train, test = (
        to_pictures(compute_features(model, loader, samples_first)[0])
        for loader in loaders
    )
    names = class_names(loaders.test.dataset)
    features = labelled_features(model, loaders)
    plot_neighbours(features, (train, test), out, names=names)
    text = ("Unseen images and their nearest training images by cosine similarity.",)
    caption = (
        "Rows of solid blue frames are images that the network understands; dashed "
        "frames show which classes it takes for each other."
    )
    return Section("Neighbours", text, [Picture(out, caption)])


def downstream_section(
    models: Sequence[tuple[str, Config, str]],
    energies: Sequence[Mapping[str, Any]],
    folder: Path,
) -> Section:
    """Draw predictions of detectors and segmentors; show their energy.

    Args:
        models: Name, config and checkpoint of each.
        energies: Their rows of the results file of ``snnssl measure energy``.
        folder: Folder of the report.
    """
    columns = columns_of(models, SCENES)
    file = plot_predictions(columns, folder / "predictions.png")
    return Section(
        "Detection and segmentation",
        ("Networks trained from this checkpoint, on images that they have not seen.",),
        [Picture(file, "Annotations, and what each network finds.")],
        [
            total_table(row)._replace(caption=f"{name}: {summary(row)}")
            for (name, _, _), row in zip(models, energies, strict=True)
        ],
        command="\n".join(row["command"] for row in energies),
    )
