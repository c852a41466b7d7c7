"""Weights to judge, and tools that start others: in the test's own process."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from snnssl_mm.cli import children
from snnssl_mm.probing.probes import build_model

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def started(run_tool, monkeypatch):
    """List of the tools that were started as programs."""
    tools = []

    def run_child(command, *_, **__):
        tool, *arguments = command
        tools.append(str(Path(tool).relative_to(TOOLS)))
        run_tool(tools[-1], *arguments)

    monkeypatch.setattr(children, "run_child", run_child)
    return tools


@pytest.fixture
def checkpoint(tiny_config, tmp_path):
    """Random weights of the main job, shrunk, other than those of its seed."""
    torch.manual_seed(7)
    model = build_model(Config.fromfile(tiny_config))
    file = tmp_path / "tiny.pth"
    torch.save({"state_dict": model.state_dict()}, file)
    return file
