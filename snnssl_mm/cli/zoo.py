"""The model zoo: list its models, show one, get its weights, publish a checkpoint."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from snnssl_mm.cli.shared.kinds import Kind, add_kinds
from snnssl_mm.cli.shared.options import add_out_argument, add_trust_argument
from snnssl_mm.cli.shared.user_errors import errors_as_messages

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
    """Print one line per model."""
    from fnmatch import fnmatch

    from snnssl_mm.checkpoints import zoo
    from snnssl_mm.recording.table import Table

    lines = [
        [name, task_of(entry), data_of(entry), weights_of(entry)]
        for name, entry in zoo.entries().items()
        if fnmatch(name, args.pattern)
    ]
    if not lines:
        raise ValueError(
            f"no model of the zoo has a name like {args.pattern!r}; snnssl zoo list "
            "lists all"
        )
    Table(["model", "task", "training data", "weights"], lines, words=4).print()


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add the argument for the name of a model."""
    parser.add_argument("name", help="name of the model, as in snnssl zoo list")


def show_model(args: argparse.Namespace) -> None:
    """Print the entry of a model."""
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
        help="file for a copy of the weights; none by default",
    )


def get_model(args: argparse.Namespace) -> None:
    """Print the file of a model's weights; download it if necessary."""
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
    parser.add_argument("name", help="name of the model, such as spikformer-digits_ctl")
    add_out_argument(parser, "published", "folder for the files", "--out-dir")
    add_trust_argument(parser)


def publish_model(args: argparse.Namespace) -> None:
    """Write the files of a published checkpoint."""
    from snnssl_mm.checkpoints.publishing import digest, publish

    with errors_as_messages():
        if not args.name or Path(args.name).name != args.name:
            raise ValueError(
                f"expected a model's name without folders, got {args.name!r}"
            )
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
        meant = f"is {near[0]} meant?" if near else "snnssl zoo list lists all"
        raise ValueError(f"{name!r} is no model of the zoo; {meant}")
    return zoo.entries()[name]


def task_of(entry: Entry) -> str:
    """Return the task of a model: the folder of its config."""
    return entry.config.parent.name


def data_of(entry: Entry) -> str:
    """Return the name of a model's training data."""
    return str((entry.meta.get("Metadata") or {}).get("Training Data", ""))


def weights_of(entry: Entry) -> str:
    """Describe where a model's weights are."""
    from snnssl_mm.checkpoints import zoo

    if entry.file is None:
        return "none yet"
    for place, folder in (("installed", zoo.SHIPPED), ("cached", zoo.cache_folder())):
        if (folder / entry.file).is_file():
            return place
    return "to be downloaded" if entry.url else "not available"


KINDS = {
    "list": Kind("Print one line per model.", add_pattern, list_models),
    "show": Kind("Print the entry of a model.", add_name, show_model),
    "get": Kind(
        "Print the file of a model's weights; download it if necessary.",
        add_get,
        get_model,
    ),
    "publish": Kind(
        "Publish a checkpoint: weights and plain values, with the SHA-256 in the "
        "name.\n\n"
        "Writes OUT/NAME-<sha>.pth with the complete model and "
        "OUT/NAME_backbone-<sha>.pth\nwith its backbone; <sha> are the first 8 digits "
        "of the file's SHA-256. Optimizer,\nlogs and paths are left out, and "
        "torch.load(weights_only=True) loads both. Prints\nthe values for a "
        "metafile.yml.",
        add_publish,
        publish_model,
    ),
}
