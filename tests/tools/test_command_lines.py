"""Every tool: --help answers without torch, --out says where its results go."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = sorted(
    str(file.relative_to(ROOT / "tools")) for file in (ROOT / "tools").rglob("*.py")
)
HEAVY = ("torch", "mmengine", "mmcv", "numpy", "matplotlib", "sklearn", "numba")
WRITES_NOTHING = ("check_config.py", "check_env.py", "print_config.py")
OWN_PLACE = (
    "setup_env.py",
    "build_mmcv.py",
)
"""Write into the checkout or its environment, whoever runs them."""

ASK_ALL = """
import argparse, contextlib, io, json, runpy, sys

answers, parse = {}, argparse.ArgumentParser.parse_args


def parse_args(self, *arguments):
    options = {name: action.help for action in self._actions
               for name in action.option_strings}
    answers[name] = {"options": options}
    return parse(self, *arguments)


argparse.ArgumentParser.parse_args = parse_args
folder, heavy, *tools = sys.argv[1:]
import snnssl_mm
early = [module for module in heavy.split() if module in sys.modules]
for name in tools:
    sys.argv, sys.path[0] = [name, "--help"], f"{folder}/{name}".rpartition("/")[0]
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_path(f"{folder}/{name}", run_name="__main__")
    except SystemExit as end:
        loaded = [module for module in heavy.split() if module in sys.modules]
        answers[name] |= {"code": end.code, "help": out.getvalue(), "loaded": loaded}
print(json.dumps({"import": early, "tools": answers}))
"""


@pytest.fixture(scope="module")
def answers():
    """What all tools say to --help, in one fresh process."""
    command = [sys.executable, "-c", ASK_ALL, str(ROOT / "tools"), " ".join(HEAVY)]
    done = subprocess.run(
        [*command, *TOOLS],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return json.loads(done.stdout)


def test_importing_the_package_imports_nothing_heavy(answers):
    assert answers["import"] == []


@pytest.mark.parametrize("tool", TOOLS)
def test_help_answers_before_anything_heavy_is_imported(answers, tool):
    answer = answers["tools"][tool]
    assert answer["code"] == 0
    assert "usage:" in answer["help"]
    assert answer["loaded"] == []


@pytest.mark.parametrize(
    "tool", [name for name in TOOLS if name not in (*WRITES_NOTHING, *OWN_PLACE)]
)
def test_what_writes_has_out_and_says_where_and_what(answers, tool):
    said = answers["tools"][tool]["options"]["--out"]
    assert any(word in said for word in ("file", "File", "folder", "picture"))
    assert "work_dirs" in said or "none by default" in said or "WORK_DIR" in said


def test_slurm_script_has_a_help():
    command = ["bash", str(ROOT / "tools" / "slurm_train.sh"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "CONFIG WORK_DIR" in done.stdout
