"""The installed command: every subcommand has a module, help is light."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from snnssl_mm.cli import main as cli
from snnssl_mm.cli.draw import KINDS
from snnssl_mm.recording.command import PROGRAM, command_line

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_program_afterwards():
    yield
    PROGRAM.clear()


@pytest.fixture
def snnssl(monkeypatch, capsys):
    """Run the command; return its status, and its output."""

    def run(*words, start=()):
        monkeypatch.setattr(sys, "argv", ["snnssl", *words])
        status = 0
        try:
            cli.main(*start)
        except SystemExit as stop:
            status = stop.code
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def test_every_module_of_the_package_is_a_subcommand():
    folder = Path(cli.__file__).parent
    modules = {file.stem for file in folder.glob("*.py")} - {"__init__", "main"}
    modules |= {file.parent.name for file in folder.glob("*/__init__.py")} - {"shared"}
    assert modules == set(cli.COMMANDS)


def test_help_has_a_line_for_every_subcommand(snnssl):
    status, printed = snnssl("--help")
    assert status == 0
    for command in cli.COMMANDS:
        assert any(line.split()[:1] == [command] for line in printed.splitlines())


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["trian"], "train"),
        (["draw"], "KIND"),
        (["draw", "spike"], "spike-raster"),
        ([], "train"),
        (["train", "c.py", "--nonsense"], "usage: snnssl train"),
    ],
)
def test_an_invalid_command_line_ends_with_suggestions(snnssl, words, named):
    status, printed = snnssl(*words)
    assert status == 2
    assert named in printed


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--version"], "."),
        (["help"], "train"),
        (["help", "train"], "--resume"),
        (["draw", "--help"], "spike-raster"),
        (["measure", "energy", "--help"], "--csv"),
    ],
)
def test_help_and_version_succeed(snnssl, words, named):
    status, printed = snnssl(*words)
    assert status == 0
    assert named in printed


def test_a_command_line_is_repeated_as_it_was_given(snnssl, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "snnssl_mm.cli.train.run", lambda args: seen.append(command_line())
    )
    config = str(ROOT / "configs" / "selfsup" / "spikformer_ctl.py")
    snnssl("train", config, "--amp")
    monkeypatch.chdir(ROOT)
    snnssl(config, "--amp", start=["train"])
    assert seen == [f"snnssl train {config} --amp", f"python snnssl {config} --amp"]


def test_ctrl_c_names_the_command_that_continues(snnssl, monkeypatch):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("snnssl_mm.cli.train.run", interrupt)
    config = str(ROOT / "configs" / "selfsup" / "spikformer_ctl.py")
    status, printed = snnssl("train", config)
    assert status == 130
    assert f"snnssl train {config} --resume" in printed


def test_help_imports_the_module_of_the_subcommand_only():
    code = """if True:
        import json, sys
        from snnssl_mm.cli.main import main
        sys.argv = ["snnssl", "train", "--help"]
        try:
            main()
        except SystemExit:
            print(json.dumps(sorted(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & {"torch", "numpy", "mmengine", "rich"}
    assert "snnssl_mm.cli.train" in loaded
    assert not loaded & {f"snnssl_mm.cli.{c}" for c in cli.COMMANDS if c != "train"}


def test_tab_completes_subcommands_kinds_and_options(tmp_path):
    # A shell asks by environment variables; one process answers all three lines.
    lines = {
        "snnssl trai": {"train"},
        "snnssl draw ": {*KINDS, "-h", "--help"},
        "snnssl train --re": {"--resume", "--resume-schedule"},
    }
    code = """if True:
        import os, sys
        from snnssl_mm.cli.main import complete_words
        for number, line in enumerate(sys.argv[1:]):
            if os.fork() == 0:
                os.environ |= {"COMP_LINE": line, "COMP_POINT": str(len(line)),
                               "_ARGCOMPLETE_STDOUT_FILENAME": str(number)}
                complete_words()
            os.wait()
    """
    shell = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-c", code, *lines],
        env={**os.environ, **shell},
        cwd=tmp_path,
        check=True,
    )
    for number, words in enumerate(lines.values()):
        answer = (tmp_path / str(number)).read_text()
        assert {word.strip() for word in answer.splitlines()} == words


@pytest.mark.parametrize("tool", sorted((ROOT / "tools").glob("*.py")), ids=str)
def test_a_tool_is_a_few_lines_that_call_the_command(tool):
    if tool.name != "setup_env.py":  # runs before the package is installed
        text = tool.read_text()
        assert "from snnssl_mm.cli.main import main" in text
        assert len(text.splitlines()) < 15


def test_the_command_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"snnssl": "snnssl_mm.cli.main:main"}


def test_no_other_room_imports_the_command():
    package = ROOT / "snnssl_mm"
    modules = [file.relative_to(package) for file in package.rglob("*.py")]
    lower = [file for file in modules if file.parts[0] not in ("cli", ".mim")]
    assert len(lower) > 100
    assert not [
        file for file in lower if "snnssl_mm.cli" in (package / file).read_text()
    ]
