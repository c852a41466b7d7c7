"""The installed command ``snnssl``.

Each subcommand is a module of this package with ``add_arguments(parser)`` and
``run(args)``; ``--help`` prints its docstring. A module is imported when its subcommand
is used, and slow imports are inside ``run``, so that ``--help`` is fast.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from snnssl_mm.cli.shared.options import complete
from snnssl_mm.cli.shared.user_errors import run_tool
from snnssl_mm.recording.command import PROGRAM, program
from snnssl_mm.version import __version__

COMMANDS = {
    "train": "train anything: pretraining, detection, segmentation",
    "test": "evaluate a checkpoint",
    "probe": "evaluate a pretrained backbone on labelled images",
    "transfer": "run a suite of downstream tasks for checkpoints and random weights",
    "report": "write a report about a pretrained checkpoint on one page",
    "new": "write configs for your own images, sized for them and this machine",
    "check": "find mistakes in a config before they cost time",
    "config": "print a config with everything that it inherits",
    "doctor": "find what is wrong with the environment",
    "convert": "convert a checkpoint from or to another project's layout",
    "export": "write a backbone as NIR, torch.export or ONNX",
    "zoo": "list, show, get or publish models",
    "browse": "draw samples of a config's datasets",
    "infer": "predict on images: drawn results, and predictions as files",
    "draw": "draw maps, spikes, attention, embeddings, predictions, curves",
    "measure": "measure time steps, firing rates, energy, representation health",
    "ablate": "run a grid of small pretrainings",
    "demo": "pretrain and evaluate a small network on this machine",
}
"""Subcommand, which is the name of its module, and its line in ``snnssl --help``."""


class CommandParser(argparse.ArgumentParser):
    """The parser of a subcommand, whose module is imported when it is used.

    Args:
        *args: Arguments of ``ArgumentParser``.
        command: One of :data:`COMMANDS`; None for a parser of a nested subcommand.
        **kwargs: Arguments of ``ArgumentParser``.
    """

    def __init__(self, *args: Any, command: str | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **kwargs)
        self.command = command

    def load(self) -> None:
        """Import the subcommand's module and add its arguments, once."""
        if self.command:
            module = command_module(self.command)
            self.command = None
            self.description = module.__doc__
            self.set_defaults(run=getattr(module, "run", None))
            module.add_arguments(self)

    def parse_known_args(  # type: ignore[override]
        self, args: Any = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; left-over arguments are an error of this parser, not of its parent."""
        self.load()
        found, left = super().parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return found, left


def command_module(command: str) -> Any:
    """Import the module of a subcommand."""
    return importlib.import_module(f"snnssl_mm.cli.{command}")


def build_parser(loaded: str = "") -> argparse.ArgumentParser:
    """Build the parser of ``snnssl``; subcommands add their arguments when used.

    Args:
        loaded: Subcommand that adds its arguments at once.
    """
    parser = argparse.ArgumentParser(
        "snnssl",
        description="Self-supervised pretraining of spiking networks on OpenMMLab.",
        epilog="See snnssl COMMAND --help for the arguments of a command.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    for command, text in COMMANDS.items():
        added = commands.add_parser(command, help=text, command=command)
        if command == loaded:
            added.load()
    return parser


def complete_words() -> None:
    """Answer a shell that asks for completions, and exit; else do nothing."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        words = argcomplete.split_line(os.environ["COMP_LINE"])[3]
        argcomplete.autocomplete(build_parser(*words[1:2]))


def refuse(parser: argparse.ArgumentParser, word: str) -> NoReturn:
    """Exit with an error that suggests subcommands for an unknown one."""
    near = difflib.get_close_matches(word, COMMANDS, 1)
    meant = f"is {near[0]} meant? " if near else ""
    parser.error(
        f"there is no command {word!r}; {meant}expected one of: {', '.join(COMMANDS)}"
    )


def parser_of(words: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser of the installed command for the given arguments.

    Raises:
        SystemExit: With status 2, if there are none, or if the first is unknown.
    """
    parser = build_parser()
    if not words:
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    if words[0] not in COMMANDS and not words[0].startswith("-"):
        refuse(parser, words[0])
    return parser


def main(*command: str) -> None:
    """Run a subcommand with the arguments of this process.

    Args:
        *command: The subcommand of a file in ``tools/``; none for the installed
            command, whose first argument is the subcommand.

    Raises:
        SystemExit: See :func:`~snnssl_mm.cli.shared.user_errors.run_tool`; with status
            2 if the command line is invalid.
    """
    if not command:
        complete_words()
    words = [*command, *sys.argv[1:]]
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    PROGRAM[:] = [] if command else ["snnssl"]
    again = None
    if words and words[0] in COMMANDS:
        again = getattr(command_module(words[0]), "RESUME_OPTION", None)
    if command:
        parser: argparse.ArgumentParser
        parser = CommandParser(" ".join(program()), command=words.pop(0))
    else:
        parser = parser_of(words)

    def run() -> Any:
        args = complete(parser.parse_args(words))
        return args.run(args)

    run_tool(run, again)


if __name__ == "__main__":
    main()
