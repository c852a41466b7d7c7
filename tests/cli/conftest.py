"""Random weights, and commands whose child commands run in the test's process."""

import cv2
import numpy as np
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


@pytest.fixture
def pets(tmp_path):
    """Images of two classes that any network can separate."""
    for split in ("train", "test"):
        for index in range(8):
            folder = tmp_path / "pets" / split / ("cat", "dog")[index % 2]
            folder.mkdir(parents=True, exist_ok=True)
            image = np.full((16, 16, 3), 250 * (index % 2) + index // 2, np.uint8)
            cv2.imwrite(str(folder / f"{index}.png"), image)
    return tmp_path / "pets"
