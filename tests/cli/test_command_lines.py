"""Every subcommand: --help needs no torch, and documents where results go."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from snnssl_mm.cli.draw import KINDS as DRAW
from snnssl_mm.cli.main import COMMANDS
from snnssl_mm.cli.measure import KINDS as MEASURE
from snnssl_mm.cli.zoo import KINDS as ZOO

ROOT = Path(__file__).parents[2]
KINDS = {"draw": DRAW, "measure": MEASURE, "zoo": ZOO}
ALL = [
    f"{command} {kind}".strip()
    for command in COMMANDS
    for kind in KINDS.get(command, [""])
]
HEAVY = ("torch", "mmengine", "mmcv", "numpy", "matplotlib", "sklearn", "numba")
WRITES_NOTHING = ("check", "config", "doctor", "zoo list", "zoo show")

ASK_ALL = """
import argparse, contextlib, io, json, sys

from snnssl_mm.cli.main import main

answers, exit = {}, argparse.ArgumentParser.exit


def exit_noting(self, *arguments):
    answers[name] = {option: action.help for action in self._actions
                     for option in action.option_strings}
    exit(self, *arguments)


argparse.ArgumentParser.exit = exit_noting
heavy, *commands = sys.argv[1:]
for name in commands:
    sys.argv = ["snnssl", *name.split(), "--help"]
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            main()
    except SystemExit as end:
        loaded = [module for module in heavy.split() if module in sys.modules]
        answers[name] = {"options": answers[name], "code": end.code,
                         "help": out.getvalue(), "loaded": loaded}
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers():
    """Help texts of all subcommands, from one fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", ASK_ALL, " ".join(HEAVY), *ALL],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", ALL)
def test_help_answers_before_anything_heavy_is_imported(answers, command):
    answer = answers[command]
    assert answer["code"] == 0
    assert f"usage: snnssl {command}" in answer["help"]
    assert answer["loaded"] == []


@pytest.mark.parametrize(
    "command", [command for command in ALL if command not in WRITES_NOTHING]
)
def test_what_writes_has_out_and_says_where_and_what(answers, command):
    text = answers[command]["options"]["--out"]
    assert any(word in text for word in ("file", "File", "folder", "picture"))
    assert "work_dirs" in text or "none by default" in text or "WORK_DIR" in text
