"""The gallery: pages are those of its table, and its commands are commands."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from snnssl_mm.cli.main import CommandParser

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "gallery"


@pytest.fixture(scope="module")
def gallery():
    """The script that draws the gallery, as a module."""
    spec = importlib.util.spec_from_file_location("draw", FOLDER / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pictures_of(gallery):
    return [
        picture for _, _, pictures in gallery.PAGES.values() for picture in pictures
    ]


def test_pages_are_those_of_the_table(gallery):
    for name, text in gallery.pages().items():
        assert (FOLDER / name).read_text() == text, "run docs/gallery/draw.py --pages"


def test_pictures_are_small_and_complete(gallery):
    for picture in pictures_of(gallery):
        assert (FOLDER / f"{picture.name}.webp").stat().st_size <= gallery.LIMIT
    for name, limit in gallery.ENLARGED.items():
        file = ROOT / "docs" / "results" / f"{name}.webp"
        assert file.stat().st_size <= limit


def test_commands_are_accepted(gallery):
    for picture in pictures_of(gallery):
        program, *words = shlex.split(gallery.command_of(picture))
        if program == "snnssl":
            parser = CommandParser(f"snnssl {words[0]}", command=words[0])
            parser.load()
            parser.parse_args(words[1:])
        else:
            assert (ROOT / words[0]).exists()


def test_broken_lines_make_the_same_command(gallery):
    for picture in pictures_of(gallery):
        command = gallery.command_of(picture)
        text = re.sub(r" \\\n +", " ", gallery.wrapped(command))
        assert shlex.split(text) == shlex.split(command)
