#!/usr/bin/env python3
"""Show what a configuration feeds to the network, as one picture.

Originals above their augmented views, then the images of the evaluation loaders:
``python tools/browse_dataset.py configs/selfsup/spikformer_ctl.py --num 8``
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnssl_mm.cli.arguments import positive, seed_number
from snnssl_mm.cli.tooling import (
    add_config_arguments,
    add_out_argument,
    load_config,
    parse,
    run_tool,
)

if TYPE_CHECKING:
    import numpy as np
    import torch

    Row = tuple[str, list[np.ndarray], list[str]]

LOADERS = tuple(
    f"{name}_dataloader" for name in ("train", "eval_train", "eval_test", "val")
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add_config_arguments(parser)
    parser.add_argument(
        "--num", type=positive(int), default=8, help="samples a row (8)"
    )
    parser.add_argument(
        "--seed", type=seed_number, default=0, help="draws samples and views (0)"
    )
    add_out_argument(parser, "browse_dataset.png", "picture to draw")
    return parse(parser)


def to_picture(inputs: torch.Tensor, bgr: bool) -> np.ndarray:
    """Return uint8 RGB ``[H, W, 3]``, the frames of a ``[T, C, H, W]`` side by side.

    ``PackInputs`` yields intensities of 0..255; the data preprocessor normalises them
    later, so there is no normalisation to undo here.
    """
    import numpy as np

    frames = inputs if inputs.ndim == 4 else inputs[None]
    picture = np.concatenate([f.permute(1, 2, 0).numpy() for f in frames], axis=1)
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    if picture.shape[2] == 1:
        return np.repeat(picture, 3, axis=2)
    return picture[..., ::-1] if bgr else picture


def read_original(info: dict[str, Any], bgr: bool) -> np.ndarray:
    """Return a sample's image before the pipeline, uint8 RGB ``[H, W, 3]``."""
    if "img" not in info:
        from snnssl_mm.datasets.loading import read_image

        return read_image(info["img_path"])
    return info["img"][..., ::-1] if bgr else info["img"]


def read_rows(dataset: Any, name: str, num: int, seed: int, bgr: bool) -> list[Row]:
    """Return the rows of one loader: originals and views, or evaluation images.

    Args:
        dataset: A built dataset.
        name: Heading of the rows.
        num: Samples a row.
        seed: Draws the samples.
        bgr: Whether the channels are stored as BGR.

    Returns:
        list: For every row its heading, pictures and titles.
    """
    import numpy as np
    import torch

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
    """Return what a sample's transforms make of it.

    Raises:
        DataError: If they fail; names the image.
    """
    from snnssl_mm.datasets.data_error import DataError, described

    try:
        return dataset[index]["inputs"]
    except Exception as error:  # of any decoder or transform
        path = dataset.get_data_info(index).get("img_path", f"sample {index}")
        raise DataError(
            f"{path} cannot be shown: {described(error)}; mend or remove it, or look "
            "at the transforms"
        ) from error


def draw(rows: list[Row], title: str, out: Path) -> None:
    """Draw the rows below one another and save the picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    columns = max(len(pictures) for _, pictures, _ in rows)
    figure, grid = plt.subplots(
        len(rows),
        columns,
        figsize=(1.3 * columns + 1.2, 1.45 * len(rows) + 0.4),
        squeeze=False,
        layout="constrained",
    )
    figure.suptitle(title, fontsize=11)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    for (heading, pictures, titles), line in zip(rows, grid, strict=True):
        line[0].set_ylabel(heading, rotation=0, ha="right", va="center", fontsize=9)
        for axes, picture, text in zip(line, pictures, titles, strict=False):
            small = max(picture.shape[:2]) < 128
            axes.imshow(picture, interpolation="nearest" if small else "antialiased")
            axes.set_title(text[:14], fontsize=8, pad=2)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
    plt.close(figure)


def main() -> None:
    """Browse the loaders of a configuration."""
    args = parse_args()

    import numpy as np
    import torch
    from mmengine.registry import DATASETS, init_default_scope

    config = load_config(args)
    file = Path(args.config)
    init_default_scope(config.get("default_scope", "mmpretrain"))
    np.random.seed(args.seed)  # noqa: NPY002  (mmcv's transforms use the global one)
    torch.manual_seed(args.seed)
    bgr = bool(config.get("data_preprocessor", {}).get("to_rgb", False))
    loaders = {
        key.removesuffix("_dataloader").replace("_", " "): config[key]
        for key in LOADERS
        if config.get(key)
    }
    if not loaders:
        raise SystemExit(f"error: {file} has none of {', '.join(LOADERS)} to show")
    rows = []
    for name, loader in loaders.items():
        dataset = DATASETS.build(loader["dataset"])
        heading = f"{name}\n({len(dataset):,})"
        rows += read_rows(dataset, heading, args.num, args.seed, bgr)
    kind = str(next(iter(loaders.values()))["dataset"]["type"]).split(".")[-1]
    draw(rows, f"{kind}, as {file.name} reads it", args.out)
    print(f"Wrote {args.out}")


if __name__ == "__main__":
    run_tool(main)
