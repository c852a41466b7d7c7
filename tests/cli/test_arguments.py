"""Command-line arguments: invalid values are refused, others are unchanged."""

import argparse
from pathlib import Path

import pytest

from snnssl_mm.cli.shared import arguments, options


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (arguments.positive(int), ["1", "12"], ["0", "-3", "1.5", "x", ""]),
        (arguments.positive(float), ["1", "0.5"], ["0", "-1", "nan", "inf", "x"]),
        (arguments.seed_number, ["0", str(2**32 - 1)], ["-1", str(2**32), "a", "1e3"]),
        (arguments.picture, ["a.png", "b c.SVG", "d.jpeg"], ["a", "a.pgn", "a.json"]),
        (arguments.results_file, ["a.json", "a"], ["a.png", "a.SVG"]),
        (arguments.pattern, ["", "a|b", "blocks.0"], ["(", "*"]),
    ],
)
def test_kinds_of_arguments(read, good, bad):
    for text in good:
        assert str(read(text)) in (text, f"{text}.0")
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError):
            read(text)


@pytest.fixture
def parse(monkeypatch, tmp_path):
    """Parse a command line as a tool that writes a picture does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def read(*words, default="x.png"):
        parser = argparse.ArgumentParser()
        parser.add_argument("config")
        options.add_out_argument(parser, default, "picture")
        return options.complete(parser.parse_args(words))

    return read


def test_a_tilde_is_the_users_folder(parse, tmp_path):
    (tmp_path / "a.py").touch()
    args = parse("~/a.py", "--out=~/b/c.png")
    assert (args.config, args.out) == (str(tmp_path / "a.py"), tmp_path / "b/c.png")


@pytest.mark.parametrize("place", ["configs/", "snnssl_mm::"])
def test_the_packages_configs_are_found_from_any_folder(parse, place):
    assert Path(parse(f"{place}selfsup/spikformer_ctl.py").config).is_file()


def test_the_users_own_config_comes_first(parse, tmp_path):
    own = tmp_path / "configs" / "selfsup" / "spikformer_ctl.py"
    own.parent.mkdir(parents=True)
    own.touch()
    assert Path(parse("configs/selfsup/spikformer_ctl.py").config).samefile(own)


@pytest.mark.parametrize("name", ["", ".", "sub"])
def test_folders_are_no_configs(parse, tmp_path, name):
    (tmp_path / "sub").mkdir()
    with pytest.raises(SystemExit, match=r"^error: .*config"):
        parse(name)


def test_results_go_into_folders_or_files_as_the_tool_writes_them(parse, tmp_path):
    (tmp_path / "a.py").touch()
    (tmp_path / "there").mkdir()
    assert parse("a.py", "--out", "there", default="pages").out == Path("there")
    with pytest.raises(OSError, match=r"a\.py"):
        parse("a.py", "--out", "a.py", default="pages")
