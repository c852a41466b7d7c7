"""The model zoo: list its models, show one, get its weights, publish a checkpoint."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.arguments import one_of
from snnssl_mm.cli.shared.kinds import Kind, add_kinds
from snnssl_mm.cli.shared.options import add_out_argument, add_trust_argument
from snnssl_mm.cli.shared.user_errors import errors_as_messages

if TYPE_CHECKING:
    from snnssl_mm.checkpoints.official import Official
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

    from snnssl_mm.checkpoints import official, zoo
    from snnssl_mm.recording.table import Table

    known = {
        name: [name, task_of(entry), data_of(entry), weights_of(entry)]
        for name, entry in zoo.entries().items()
    }
    known |= {
        name: [name, "official", official.DATA, official_weights_of(entry)]
        for name, entry in official.entries().items()
    }
    lines = [line for name, line in known.items() if fnmatch(name, args.pattern)]
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

    from snnssl_mm.checkpoints.official import Official

    entry = entry_of(args.name)
    if isinstance(entry, Official):
        facts = {name: value for name, value in entry._asdict().items() if value}
        facts["license"] = entry.license or "none stated"
        facts["sha256"] = entry.sha256 or "not known"
        print(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True), end="")
        print(f"weights: {official_weights_of(entry)}")
        return
    print(yaml.safe_dump(dict(entry.meta), sort_keys=False, allow_unicode=True), end="")
    print(f"Task: {task_of(entry)}\nFile: {entry.config}\nWeights: {weights_of(entry)}")


def add_get(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``get``."""
    add_name(parser)
    parser.add_argument(
        "--file",
        type=Path,
        help="the authors' file of official weights, if you have downloaded it",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="file for a copy of the weights; none by default",
    )
    add_trust_argument(parser)


def get_model(args: argparse.Namespace) -> None:
    """Print the file of a model's weights; download and convert it if necessary."""
    import shutil

    from snnssl_mm.checkpoints import zoo
    from snnssl_mm.checkpoints.official import Official

    with errors_as_messages():
        require_writable(args.out)
        entry = entry_of(args.name)
        if isinstance(entry, Official):
            file = get_official(entry, args.file)
        else:
            if args.file:
                raise ValueError(f"{entry.name} needs no --file: it is not converted")
            file = zoo.find_weights(entry.name)
        if args.out:
            if args.out.suffix != file.suffix:
                raise ValueError(
                    f"the weights are a {file.suffix} file, got --out {args.out}; "
                    f"choose a name that ends with {file.suffix}"
                )
            args.out.parent.mkdir(parents=True, exist_ok=True)
            file = Path(shutil.copyfile(file, args.out))
    print(file)


def get_official(entry: Official, given: Path | None) -> Path:
    """Get official weights; say what was converted unless they were in the cache."""
    if entry.converted.is_file() and given is None:
        return entry.converted
    from mmengine.config import Config

    from snnssl_mm.conversion import official

    file, found = official.get(entry, given)
    text = Config(official.config(entry, found)).pretty_text.strip()
    kept = len(found.classifier)
    print(
        f"{entry.source}, layout {found.source}: {len(found.state)} tensors converted "
        f"and loaded strictly, {kept} of the classifier kept, {len(found.unused)} left "
        "out (never used)"
    )
    print(f"config: {text}")
    if entry.top1:
        print(f"reported by the authors ({entry.top1_from}): {entry.top1} % top-1")
    unknown = "none is stated; ask the authors before you pass the weights on"
    print(f"licence of the repository: {entry.license or unknown}")
    return file


def add_publish(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``publish``."""
    parser.add_argument("checkpoint", help="file or URL")
    parser.add_argument("name", help="name of the model, such as spikformer-digits_ctl")
    add_out_argument(parser, "published", "folder for the files", "--out-dir")
    parser.add_argument(
        "--format",
        type=one_of("snnssl_mm.checkpoints.publishing:FORMATS"),
        default="safetensors",
        help="safetensors (default), or pth for programs that use torch.load",
    )
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
            file = publish(args.checkpoint, name, args.out, only, args.format)
            size = file.stat().st_size / MEGABYTE
            print(f"{file} ({size:.2f} MB), SHA256: {digest(file.read_bytes())}")


def entry_of(name: str) -> Entry | Official:
    """Find a model of the zoo, or official weights.

    Raises:
        ValueError: If there is none of this name.
    """
    from snnssl_mm.checkpoints import official, zoo

    name = name.removeprefix(zoo.SCHEME)
    known: dict[str, Entry | Official] = {**zoo.entries(), **official.entries()}
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        meant = f"is {near[0]} meant?" if near else "snnssl zoo list lists all"
        raise ValueError(f"{name!r} is no model of the zoo; {meant}")
    return known[name]


def official_weights_of(entry: Official) -> str:
    """Describe where official weights are."""
    if entry.converted.is_file():
        return "cached"
    return "to be downloaded" if entry.url else "by hand"


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
        return "official" if "Official Weights" in entry.meta else "none yet"
    for place, folder in (("installed", zoo.SHIPPED), ("cached", zoo.cache_folder())):
        if (folder / entry.file).is_file():
            return place
    return "to be downloaded" if entry.url else "not available"


KINDS = {
    "list": Kind("Print one line per model.", add_pattern, list_models),
    "show": Kind("Print the entry of a model.", add_name, show_model),
    "get": Kind(
        "Print the file of a model's weights; download it if necessary.\n\n"
        "Official weights of others (*_official*_in1k) are converted, verified by "
        "strict\nloading, and kept in the cache, where every command finds them by "
        "their name. If their\nauthors use a page that no program can download from, "
        "it is printed: download the file\nin a browser and pass it by --file.",
        add_get,
        get_model,
    ),
    "publish": Kind(
        "Publish a checkpoint: weights and plain values, with the SHA-256 in the "
        "name.\n\n"
        "Writes OUT/NAME-<sha>.safetensors with the complete model and\n"
        "OUT/NAME_backbone-<sha>.safetensors with its backbone; <sha> are the first 8\n"
        "digits of the file's SHA-256. Optimizer, logs and paths are left out; "
        "config,\npreprocessing and origin are kept. Prints the values for a "
        "metafile.yml.",
        add_publish,
        publish_model,
    ),
}
