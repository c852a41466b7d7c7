"""A page for every subcommand of ``snnssl``, from its parser."""

from __future__ import annotations

import argparse
import html
import re
from collections.abc import Iterator

from markup import toctree

from snnssl_mm.cli.main import COMMANDS, CommandParser


def parser_of(command: str) -> argparse.ArgumentParser:
    """Return the complete parser of a subcommand."""
    parser = CommandParser(f"snnssl {command}", command=command)
    parser.load()
    return parser


def markdown(text: str | None) -> str:
    """Return help text as Markdown: placeholders are escaped, commands are code."""
    text = re.sub(r"``(.+?)``", r"`\1`", (text or "").replace("%%", "%"))
    return re.sub(r"([<>*_\[\]])", r"\\\1", text)


def spelled(action: argparse.Action) -> str:
    """Return an argument as one types it, with its placeholder."""
    placeholder = action.metavar or action.dest.upper()
    if isinstance(placeholder, tuple):
        placeholder = " ".join(placeholder)
    if action.choices and action.metavar is None:
        placeholder = "{" + ",".join(map(str, action.choices)) + "}"
    if not action.option_strings:
        return placeholder
    value = "" if action.nargs == 0 else f" {placeholder}"
    return ", ".join(f"{option}" for option in action.option_strings) + value


def arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield a definition list of a parser's arguments."""
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        if action.help is argparse.SUPPRESS:
            continue
        yield f"`{spelled(action)}`"
        yield f": {markdown(action.help) or 'see above'}"
        yield ""


def section(parser: argparse.ArgumentParser, level: str) -> Iterator[str]:
    """Yield the section of a parser, and those of its nested subcommands."""
    yield f"{level} {parser.prog}"
    yield ""
    description = (parser.description or "").strip()
    first, _, rest = description.partition("\n\n")
    yield markdown(" ".join(first.split()))
    yield ""
    for paragraph in filter(None, rest.split("\n\n")):
        is_code = paragraph.startswith(" ") or "\n " in paragraph
        yield f"```text\n{paragraph}\n```\n" if is_code else markdown(paragraph) + "\n"
    yield f"```text\n{parser.format_usage().strip()}\n```\n"
    yield from arguments(parser)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for nested in action.choices.values():
                yield from section(nested, level + "#")


def index() -> str:
    """Return the page that lists all subcommands."""
    lines = ["# Command line", "", "`snnssl COMMAND --help` prints the same texts."]
    lines += ["", "| command | what it does |", "| --- | --- |"]
    for command, text in COMMANDS.items():
        lines.append(f"| [snnssl {command}]({command}.md) | {html.escape(text)} |")
    return "\n".join([*lines, "", toctree(COMMANDS)])


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every page."""
    yield "index", index()
    for command in COMMANDS:
        yield command, "\n".join(section(parser_of(command), "#"))
