"""Tools that start other tools: these run in the test's own process."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def started(run_tool, monkeypatch):
    """List of the tools that were started as programs."""
    tools = []
    as_program = subprocess.run

    def run(command, *args, **kwargs):
        program, tool, *arguments = command
        if program != sys.executable or TOOLS not in Path(tool).parents:
            return as_program(command, *args, **kwargs)
        tools.append(str(Path(tool).relative_to(TOOLS)))
        run_tool(tools[-1], *arguments)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    return tools
