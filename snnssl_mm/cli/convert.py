"""Convert a backbone's checkpoint from or to another project's layout.

The layout of the file is detected from its tensor names. Without --to it is converted
to this package's layout, for --pretrained and init_cfg; with --to, any layout is
converted to that project's. Conversion is exact: with the printed settings the network
computes the same spikes. The settings are stored with the weights, and loading into a
backbone with other settings is refused; settings that neither tensors nor layout define
must be given, such as --num-heads. Tensors that are left out are listed; a tensor that
is unknown to the layout stops the conversion. --list lists the layouts.
"""

from __future__ import annotations

import argparse
import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.arguments import one_of, positive
from snnssl_mm.cli.shared.options import add_out_argument, add_trust_argument
from snnssl_mm.cli.shared.user_errors import errors_as_messages

if TYPE_CHECKING:
    from snnssl_mm.conversion import Conversion


OPTIONS = {
    "num_heads": "--num-heads N",
    "stem": "--stem imagenet (or cifar)",
    "shortcut": "--shortcut sew (or spiking, ms)",
    "neuron": "--neuron tau=2.0 v_threshold=1.0 (and what else it was trained with)",
}
"""Options by which required settings are given."""


class ListLayouts(argparse.Action):
    """Print the layouts and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print the layouts."""
        from snnssl_mm.conversion import LAYOUTS

        for name, layout in LAYOUTS.items():
            print(f"{name:24} {layout.source}")
        parser.exit()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    names = one_of("snnssl_mm.conversion:LAYOUTS", "ours")
    parser.add_argument("checkpoint", help="file or URL")
    parser.add_argument("place", type=Path, nargs="?", help="the same as --out")
    add_out_argument(
        parser, "converted.pth", "file to write; .safetensors chooses that format"
    )
    add_trust_argument(parser)
    parser.add_argument("--to", type=names, default="ours", help="layout to write")
    parser.add_argument(
        "--from",
        dest="source",
        type=names,
        help="layout of the file; detected if unset",
    )
    parser.add_argument(
        "--allow-unknown",
        action="store_true",
        help="leave out tensors that the layout does not know, instead of stopping",
    )
    parser.add_argument(
        "--with-head",
        action="store_true",
        help="convert a linear classifier too, and store the config of the model",
    )
    parser.add_argument(
        "--num-heads",
        type=positive(int),
        help="number of attention heads, which the tensors do not show",
    )
    parser.add_argument("--stem", help="Spikformer's strides: imagenet or cifar")
    parser.add_argument("--pooled", help="what a Spikformer's stem pools")
    parser.add_argument("--attention", help="a MaxFormer's: membrane or spikes")
    parser.add_argument("--shortcut", help="shortcut of a ResNet: sew, spiking or ms")
    parser.add_argument(
        "--merge", help="merging of a ResNet's shortcuts, such as add or iand"
    )
    parser.add_argument(
        "--neuron",
        nargs="+",
        type=setting,
        metavar="KEY=VALUE",
        help="settings of MixedLIF that the weights were trained with",
    )
    parser.add_argument("--list", nargs=0, action=ListLayouts, help="list the layouts")


def setting(text: str) -> tuple[str, Any]:
    """Read ``KEY=VALUE``."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    if value in ("inf", "nan"):
        return key, float(value)
    try:
        return key, ast.literal_eval(value)
    except (SyntaxError, ValueError):  # plain text
        return key, value


def given_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Collect the settings of the backbone that the user gives."""
    names = ("num_heads", "stem", "pooled", "attention", "shortcut", "merge")
    given = {k: getattr(args, k) for k in names if getattr(args, k) is not None}
    return given | ({"neuron": dict(args.neuron)} if args.neuron else {})


def require_settings(conversion: Conversion) -> None:
    """Require that all settings that the function depends on are known.

    Raises:
        ValueError: Names the options for the missing settings.
    """
    if conversion.required:
        wanted = ", ".join(conversion.required)
        options = " ".join(OPTIONS[name] for name in conversion.required)
        raise ValueError(
            f"the tensors of {conversion.source} do not show {wanted}, which the "
            f"network's function depends on; pass {options}"
        )


def print_conversion(conversion: Conversion) -> None:
    """Print what was converted and left out, and notes for the user."""
    from mmengine.config import Config

    from snnssl_mm.conversion import LAYOUTS
    from snnssl_mm.conversion.model_config import model_config

    layout = LAYOUTS.get(conversion.source)
    source = layout.source if layout else "a checkpoint of snnssl_mm"
    count = len(conversion.state)
    print(f"{source} -> {conversion.target}: {count} tensors")
    for what, found in (
        ("left out, not part of the backbone", conversion.heads),
        ("left out, never used by their code", conversion.unused),
        ("left out, UNKNOWN to the layout", conversion.unknown),
        ("filled with zeros, not in the source", conversion.added),
        ("biases absorbed by the following batch norm", conversion.absorbed),
    ):
        if found:
            print(f"{what} ({len(found)}): {', '.join(found)}")
    text = Config(model_config(conversion)).pretty_text.strip()
    print(f"config: {text}")
    if not conversion.complete:
        wanted = ", ".join(OPTIONS[name] for name in conversion.missing)
        print(
            "note: the settings of the training are not stored, so loading cannot "
            f"compare them; to store them, pass {wanted}"
        )
    for note in conversion.notes:
        print(f"note: {note}")


def run(args: argparse.Namespace) -> None:
    """Convert."""
    from mmengine.config import Config

    from snnssl_mm.checkpoints.atomic_files import write_atomically
    from snnssl_mm.checkpoints.loading import find_state_dict, read_checkpoint
    from snnssl_mm.checkpoints.publishing import packing
    from snnssl_mm.checkpoints.stored_config import stored_backbone
    from snnssl_mm.conversion import OURS, convert
    from snnssl_mm.conversion.model_config import model_config, model_tensors
    from snnssl_mm.recording.results_file import file_sha

    out = args.place or args.out
    pack = packing(out)
    with errors_as_messages():
        require_writable(out)
        checkpoint = read_checkpoint(args.checkpoint)
        conversion = convert(
            find_state_dict(checkpoint),
            args.to,
            args.source,
            args.allow_unknown,
            stored_backbone(checkpoint),
            given_settings(args),
            args.with_head,
        )
        if args.to == OURS:
            require_settings(conversion)
    print_conversion(conversion)
    tensors = conversion.state
    meta: dict[str, Any] = {
        "converted_from": conversion.source,
        "source_sha256": file_sha(args.checkpoint)
        if Path(args.checkpoint).is_file()
        else "",
    }
    if args.to == OURS:
        tensors = model_tensors(conversion)
    else:
        tensors = {**tensors, **conversion.classifier}
    if conversion.complete:
        meta["cfg"] = Config({"model": model_config(conversion)}).pretty_text
    write_atomically(out, pack(tensors, meta))
    print(f"written: {out}")
