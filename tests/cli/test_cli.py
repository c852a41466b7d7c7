"""The installed command: every word starts a tool that exists, lightly."""

import subprocess
import sys
from pathlib import Path

import pytest

from snnssl_mm.cli import main as cli
from snnssl_mm.recording import command

ROOT = Path(__file__).resolve().parents[2]
FILES = [file for file, _ in cli.TOOLS.values()]
FILES += [file for kinds in cli.KINDS.values() for file in kinds.values()]


@pytest.fixture(autouse=True)
def no_program_afterwards(monkeypatch):
    monkeypatch.setattr(command, "PROGRAM", [])


@pytest.mark.parametrize("file", FILES)
def test_every_command_has_its_tool(file):
    assert (cli.tools_folder() / file).is_file()


def test_a_command_starts_its_tool_with_the_arguments(monkeypatch, tmp_path):
    (tmp_path / "visualization").mkdir()
    (tmp_path / "visualization" / "spike_maps.py").write_text(
        "import sys; from pathlib import Path\n"
        "Path(__file__).with_name('said').write_text(' '.join(sys.argv[1:]))\n"
    )
    monkeypatch.setattr(cli, "tools_folder", lambda: tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["snnssl", "draw", "spike-maps", "a", "--b"])
    cli.main()
    assert (tmp_path / "visualization" / "said").read_text() == "a --b"


@pytest.mark.parametrize(
    ("arguments", "named"), [(["trian"], "train"), (["draw"], "spike-raster")]
)
def test_unknown_words_are_refused_with_what_there_is(arguments, named, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.resolve(arguments)
    assert stop.value.code == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--version"], "."), (["help"], "train"), (["draw", "--help"], "spike-raster")],
)
def test_what_only_informs_succeeds(arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["snnssl", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    assert said in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    code = "import runpy, sys; sys.argv[1:] = ['--help']\n"
    code += f"try: runpy.run_path({str(cli.__file__)!r}, run_name='__main__')\n"
    code += "except SystemExit: print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "snnssl COMMAND" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_command_is_installed():
    setup = (ROOT / "setup.py").read_text()
    assert "snnssl = snnssl_mm.cli.main:main" in setup
