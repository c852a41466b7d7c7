"""The model zoo: list its models, show one, get its weights, publish a checkpoint."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from snnssl_mm.cli.shared.kinds import Kind, add_kinds
from snnssl_mm.cli.shared.options import add_out_argument, add_trust_argument
from snnssl_mm.cli.shared.user_errors import errors_as_sentences

if TYPE_CHECKING:
    from snnssl_mm.checkpoints.zoo import Entry

MEGABYTE = 1e6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add list, show, get and publish with their arguments."""
    add_kinds(parser, KINDS)


def add_pattern(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``list``."""
    parser.add_argument(
        "pattern", nargs="?", default="*", help="names to list, such as '*ctl*'"
    )


def list_models(args: argparse.Namespace) -> None:
    """Print a line for every model."""
    from fnmatch import fnmatch

    from snnssl_mm.checkpoints import zoo
    from snnssl_mm.recording.table import Table

    lines = [
        [name, task_of(entry), data_of(entry), weights_of(entry)]
        for name, entry in zoo.entries().items()
        if fnmatch(name, args.pattern)
    ]
    if not lines:
        raise ValueError(f"no model of the zoo has a name like {args.pattern!r}")
    Table(["model", "task", "training data", "weights"], lines, words=4).print()


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add the name of a model."""
    parser.add_argument("name", help="of the model, as snnssl zoo list prints it")


def show_model(args: argparse.Namespace) -> None:
    """Print all that the zoo says about a model."""
    import yaml

    entry = entry_of(args.name)
    print(yaml.safe_dump(dict(entry.meta), sort_keys=False, allow_unicode=True), end="")
    print(f"Task: {task_of(entry)}\nFile: {entry.config}\nWeights: {weights_of(entry)}")


def add_get(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``get``."""
    add_name(parser)
    parser.add_argument(
        "--out",
        type=Path,
        help="file for a copy; none by default: the weights stay in the package or the "
        "cache",
    )


def get_model(args: argparse.Namespace) -> None:
    """Print where a model's weights are, after downloading them if need be."""
    import shutil

    from snnssl_mm.checkpoints import zoo

    file = zoo.find_weights(args.name)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        file = Path(shutil.copyfile(file, args.out))
    print(file)


def add_publish(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``publish``."""
    parser.add_argument("checkpoint", help="file or URL")
    parser.add_argument("name", help="of the model, such as spikformer-digits_ctl")
    add_out_argument(parser, "published", "folder for the files", "--out-dir")
    add_trust_argument(parser)


def publish_model(args: argparse.Namespace) -> None:
    """Write a checkpoint's files for others."""
    from snnssl_mm.checkpoints.publishing import digest, publish

    with errors_as_sentences():
        if not args.name or Path(args.name).name != args.name:
            raise ValueError(f"a model's name has no folders, got {args.name!r}")
        for name, only in ((args.name, False), (f"{args.name}_backbone", True)):
            file = publish(args.checkpoint, name, args.out, backbone_only=only)
            size = file.stat().st_size / MEGABYTE
            print(f"{file} ({size:.2f} MB), SHA256: {digest(file.read_bytes())}")


def entry_of(name: str) -> Entry:
    """Find a model of the zoo.

    Raises:
        ValueError: If there is none of this name.
    """
    from snnssl_mm.checkpoints import zoo

    name = name.removeprefix(zoo.SCHEME)
    if name not in zoo.entries():
        near = difflib.get_close_matches(name, zoo.entries(), 1)
        meant = f"is {near[0]} meant?" if near else "snnssl zoo list names all"
        raise ValueError(f"{name!r} is no model of the zoo; {meant}")
    return zoo.entries()[name]


def task_of(entry: Entry) -> str:
    """Task of a model: the folder of its config."""
    return entry.config.parent.name


def data_of(entry: Entry) -> str:
    """Images that a model is trained on."""
    return str((entry.meta.get("Metadata") or {}).get("Training Data", ""))


def weights_of(entry: Entry) -> str:
    """Say where a model's weights are."""
    from snnssl_mm.checkpoints import zoo

    if entry.file is None:
        return "none yet"
    for place, folder in (("installed", zoo.SHIPPED), ("cached", zoo.cache_folder())):
        if (folder / entry.file).is_file():
            return place
    return "to be downloaded" if entry.url else "nowhere"


KINDS = {
    "list": Kind("Print a line for every model.", add_pattern, list_models),
    "show": Kind("Print all that the zoo says about a model.", add_name, show_model),
    "get": Kind(
        "Print the file of a model's weights; download it if need be.",
        add_get,
        get_model,
    ),
    "publish": Kind(
        "Write a checkpoint for others: weights and plain values, its SHA-256 in the "
        "name.\n\n"
        "Writes OUT/NAME-<sha>.pth with the whole model and "
        "OUT/NAME_backbone-<sha>.pth\nwith its backbone; <sha> are the first 8 digits "
        "of the file's SHA-256. Optimizer,\nlogs and paths are left out, and "
        "torch.load(weights_only=True) loads both. Prints\nwhat a metafile.yml needs.",
        add_publish,
        publish_model,
    ),
}
