"""Picture of the images that data loaders feed to a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from snnssl_mm.analysis.plots.plot_style import SMALL, styled_figure
from snnssl_mm.datasets.data_error import DataError, described
from snnssl_mm.datasets.loading import read_image

Row = tuple[str, list[np.ndarray], list[str]]
"""Heading, pictures and their titles."""
ENLARGED = 128  # pixels; smaller pictures are enlarged without interpolation


def to_picture(inputs: torch.Tensor, bgr: bool) -> np.ndarray:
    """Return uint8 RGB ``[H, W, 3]``; frames of ``[T, C, H, W]`` are side by side.

    ``PackInputs`` yields intensities of 0..255, which the data preprocessor normalises
    later, so no normalisation has to be undone.
    """
    frames = inputs if inputs.ndim == 4 else inputs[None]
    image = np.concatenate([f.permute(1, 2, 0).numpy() for f in frames], axis=1)
    image = np.clip(image, 0, 255).astype(np.uint8)
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return image[..., ::-1] if bgr else image


def read_original(info: dict[str, Any], bgr: bool) -> np.ndarray:
    """Return a sample's image before the pipeline, uint8 RGB ``[H, W, 3]``."""
    if "img" not in info:
        return read_image(info["img_path"])
    return info["img"][..., ::-1] if bgr else info["img"]


def read_rows(dataset: Any, name: str, num: int, seed: int, bgr: bool) -> list[Row]:
    """Return the rows of one loader: originals and views, or evaluation images.

    Args:
        dataset: A built dataset.
        name: Heading of the rows.
        num: Samples per row.
        seed: Seed of the choice of samples.
        bgr: Whether the channels are stored as BGR.

    Returns:
        list: For every row its heading, pictures and titles.
    """
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:num].tolist()
    infos = [dataset.get_data_info(index) for index in chosen]
    classes = dataset.metainfo.get("classes")
    titles = [""] * len(infos)
    if all("gt_label" in info for info in infos):
        labels = [int(info["gt_label"]) for info in infos]
        titles = [classes[label] if classes else str(label) for label in labels]
    inputs = [inputs_of(dataset, index) for index in chosen]
    if isinstance(inputs[0], torch.Tensor):
        return [(name, [to_picture(image, bgr) for image in inputs], titles)]
    rows: list[Row] = [
        (f"{name}\noriginal", [read_original(info, bgr) for info in infos], titles)
    ]
    for letter, views in zip("ABCDEFGH", zip(*inputs, strict=True), strict=False):
        pictures = [to_picture(view, bgr) for view in views]
        rows.append((f"view {letter}", pictures, [""] * len(infos)))
    return rows


def inputs_of(dataset: Any, index: int) -> Any:
    """Return the transformed inputs of a sample.

    Raises:
        DataError: If a transform fails; the message has the image.
    """
    try:
        return dataset[index]["inputs"]
    except Exception as error:  # from any decoder or transform
        path = dataset.get_data_info(index).get("img_path", f"sample {index}")
        raise DataError(
            f"{path} cannot be shown: {described(error)}; repair or remove it, or "
            "check the transforms"
        ) from error


def draw_rows(rows: list[Row], title: str, out: Path) -> Path:
    """Draw the rows below one another; return the picture's file."""
    columns = max(len(pictures) for _, pictures, _ in rows)
    height, width = 1.45 * len(rows) + 0.4, 1.3 * columns + 1.2
    with styled_figure(out, height, width, images=True) as figure:
        figure.suptitle(title)
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes in grid.flat:
            axes.set(xticks=[], yticks=[])
        for (heading, pictures, titles), line in zip(rows, grid, strict=True):
            line[0].set_ylabel(heading, rotation=0, ha="right", va="center")
            for axes, image, text in zip(line, pictures, titles, strict=False):
                small = max(image.shape[:2]) < ENLARGED
                axes.imshow(image, interpolation="nearest" if small else "antialiased")
                axes.set_title(text[:14], fontsize=SMALL, loc="center", pad=2)
    return out
