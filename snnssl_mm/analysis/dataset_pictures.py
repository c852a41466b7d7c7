"""Picture of the images or recordings that data loaders feed to a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from snnssl_mm.analysis.event_pictures import (
    clip_picture,
    recording_of,
    recording_picture,
)
from snnssl_mm.analysis.plots.plot_style import SMALL, styled_figure
from snnssl_mm.checks.batches import image_names
from snnssl_mm.datasets.data_error import DataError, described
from snnssl_mm.datasets.loading import read_image

Row = tuple[str, list[np.ndarray], list[str]]
"""Heading, pictures and their titles."""
ENLARGED = 128  # pixels; smaller pictures are enlarged without interpolation
CELL, ROW, FRAME, FRAMES = 1.3, 1.45, 0.95, 12
"""Inches of an image and its row, of a clip's frame; frames in a row of clips."""


def to_picture(inputs: torch.Tensor, bgr: bool) -> np.ndarray:
    """Return uint8 RGB ``[H, W, 3]``; frames of ``[T, C, H, W]`` are side by side.

    Frames of two channels are those of events, see :func:`.event_pictures.colored`.
    ``PackInputs`` yields intensities of 0..255, which the data preprocessor normalises
    later, so no normalisation has to be undone.
    """
    frames = inputs if inputs.ndim == 4 else inputs[None]
    if frames.shape[1] == 2:
        return clip_picture(frames.numpy())
    image = np.concatenate([f.permute(1, 2, 0).numpy() for f in frames], axis=1)
    image = np.clip(image, 0, 255).astype(np.uint8)
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return image[..., ::-1] if bgr else image


def read_original(
    dataset: Any, index: int, view: torch.Tensor, bgr: bool
) -> np.ndarray:
    """Return a sample's image or recording before any view, uint8 RGB ``[H, W, 3]``.

    Args:
        dataset: The dataset.
        index: Index of the sample.
        view: A view of it: of a recording, as many frames are drawn.
        bgr: Whether the channels are stored as BGR.
    """
    if view.ndim == 4 and view.shape[1] == 2:
        return recording_picture(recording_of(dataset, index), len(view))
    info = dataset.get_data_info(index)
    if "img" not in info:
        return read_image(info["img_path"])
    return info["img"][..., ::-1] if bgr else info["img"]


def read_rows(dataset: Any, name: str, num: int, seed: int, bgr: bool) -> list[Row]:
    """Return the rows of one loader: originals and views, or evaluation images.

    Args:
        dataset: A built dataset.
        name: Heading of the rows.
        num: Samples per row; of clips fewer, so that all their frames can be seen.
        seed: Seed of the choice of samples.
        bgr: Whether the channels are stored as BGR.

    Returns:
        list: For every row its heading, pictures and titles.
    """
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:num].tolist()
    inputs = [inputs_of(dataset, index) for index in chosen[:1]]
    first = inputs[0] if isinstance(inputs[0], torch.Tensor) else inputs[0][0]
    if first.ndim == 4:
        chosen = chosen[: max(1, FRAMES // len(first))]
    inputs += [inputs_of(dataset, index) for index in chosen[1:]]
    infos = [dataset.get_data_info(index) for index in chosen]
    classes = dataset.metainfo.get("classes")
    titles = [""] * len(infos)
    if all("gt_label" in info for info in infos):
        labels = [int(info["gt_label"]) for info in infos]
        titles = [classes[label] if classes else str(label) for label in labels]
    if isinstance(inputs[0], torch.Tensor):
        return [(name, [to_picture(image, bgr) for image in inputs], titles)]
    originals = [
        read_original(dataset, index, views[0], bgr)
        for index, views in zip(chosen, inputs, strict=True)
    ]
    rows: list[Row] = [(f"{name}\noriginal", originals, titles)]
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
        path = image_names(dataset, [index])[0]
        raise DataError(
            f"{path} cannot be shown: {described(error)}; repair or remove it, or "
            "check the transforms"
        ) from error


def draw_rows(rows: list[Row], title: str, out: Path) -> Path:
    """Draw the rows below one another; return the picture's file."""
    columns = max(len(pictures) for _, pictures, _ in rows)
    shapes = [image.shape for _, pictures, _ in rows for image in pictures]
    cell = max(CELL, FRAME * max(width / height for height, width, _ in shapes))
    row = ROW if cell == CELL else FRAME + 0.25
    height, width = row * len(rows) + 0.4, cell * columns + 1.2
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
