"""Random weights, and commands whose child commands run in the test's process."""

import pytest
import torch
from mmengine.config import Config

from snnssl_mm.cli.shared import children
from snnssl_mm.probing import build_eval_model


@pytest.fixture
def started(run_tool, monkeypatch):
    """List of the subcommands that were started as child processes."""
    commands = []

    def run_child(command, *_, **__):
        commands.append(command[0])
        run_tool(*command)

    monkeypatch.setattr(children, "run_child", run_child)
    return commands


@pytest.fixture
def checkpoint(tiny_config, tmp_path):
    """Random weights of the tiny job, different from those of its seed."""
    torch.manual_seed(7)
    model = build_eval_model(Config.fromfile(tiny_config))
    file = tmp_path / "tiny.pth"
    torch.save({"state_dict": model.state_dict()}, file)
    return file
