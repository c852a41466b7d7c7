"""Export a pretrained backbone to NIR, torch.export's .pt2 or ONNX.

Only the backbone of a config's model is exported, in eval mode and fully spiking, for
normalised images of one size; for events, of clips [N, T C, H, W] with the frames in
the channels (pt2 and onnx), or of single frames (nir). Mean and standard deviation are
stored in the file's metadata. The file is read again, compared with the backbone, and
kept only if it gives the same results. NIR has no node for a product of signals, so
Spikformers can be exported to pt2 and ONNX only.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import TYPE_CHECKING, Any

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.arguments import one_of, positive
from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.options import add_config_arguments, add_out_argument
from snnssl_mm.cli.shared.user_errors import errors_as_messages
from snnssl_mm.recording.command import command_line

if TYPE_CHECKING:
    from mmengine.config import Config


NORMALISATION = ("mean", "std", "to_rgb", "bgr_to_rgb", "rgb_to_bgr")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser, checkpoint=True)
    parser.add_argument(
        "--format",
        type=one_of("snnssl_mm.export:PACKAGES"),
        required=True,
        help="nir, pt2 or onnx",
    )
    add_out_argument(parser, "backbone.<format>", "file to write")
    parser.add_argument(
        "--image-size",
        type=positive(int),
        nargs=2,
        metavar=("H", "W"),
        help="image size; 224 224 for ImageNet's stems, 32 32 for CIFAR's by default",
    )
    parser.add_argument(
        "--time-steps",
        type=positive(int),
        metavar="T",
        help="number of time steps; the config's by default, of events the pipeline's",
    )
    parser.add_argument(
        "--time-readout",
        choices=["mean", "none"],
        default="mean",
        help="output the mean of the maps over time, or the maps of all time steps "
        "(pt2 and onnx)",
    )
    parser.add_argument(
        "--fold",
        action="store_true",
        help="fold batch norms into convolutions, and RepConvs into one each (pt2 and "
        "onnx; nir always does); equal up to rounding",
    )


def origin(args: argparse.Namespace, cfg: Config) -> dict[str, Any]:
    """Make the file's metadata: its origin, and the normalisation of images."""
    from snnssl_mm.checkpoints.preprocessing import preprocessor_settings

    settings = preprocessor_settings(cfg)
    about = {name: settings[name] for name in NORMALISATION if name in settings}
    return {
        "config": args.config,
        "checkpoint": args.checkpoint,
        "command": command_line(),
        "normalisation": about,
    }


def run(args: argparse.Namespace) -> None:
    """Export and verify."""
    from snnssl_mm.analysis.time_steps import clip_steps
    from snnssl_mm.apis.loaded_models import load_pictured_model
    from snnssl_mm.export import default_image_size, export_backbone, require_packages

    out = args.out
    if out.name == "backbone.<format>":  # the default
        out = out.with_suffix(f".{args.format}")
    cfg = load_config(args)
    # torch.export warns about its own calls.
    warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
    start = time.perf_counter()
    try:
        require_packages(args.format)
    except ImportError as error:
        raise SystemExit(f"error: {error}") from None
    with errors_as_messages():
        require_writable(out)
        backbone = load_pictured_model(cfg, args.checkpoint).backbone
        if steps := args.time_steps or clip_steps(cfg):
            backbone.time_steps = steps
        backbone.time_readout = args.time_readout
        height, width = args.image_size or default_image_size(backbone)
        out.parent.mkdir(parents=True, exist_ok=True)
        found = export_backbone(
            backbone, out, args.format, (height, width), origin(args, cfg), args.fold
        )
    print(
        f"{out}: {type(backbone).__name__}, {backbone.time_steps} time steps, "
        f"images of {height}x{width}, {out.stat().st_size / 1e6:.1f} MB, "
        f"{time.perf_counter() - start:.0f} s"
    )
    print(f"verified on random images: {found}")
