"""A suite as a job array on a real Slurm cluster of one node."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_cluster import wait_until

from snnssl_mm.transfer import slurm

ROOT = Path(__file__).parents[2]
SUITE = """
pretraining = 'gated.py'
seeds = [0]
baselines = ['random']
tasks = dict(seg=dict(config='gated.py', metrics={'mIoU': 'mIoU'}))
"""
CONFIG = """
_base_ = {config!r}
train_dataloader = dict(num_workers=2, persistent_workers=True)
custom_imports = dict(imports=['snnssl_mm', 'gate'])
custom_hooks = [dict(type='mmengine.Gate', priority='LOWEST')]
"""
GATE = """
import time
from pathlib import Path
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class Gate(Hook):
    def after_train_epoch(self, runner):
        if '/random/' in runner.work_dir:
            raise RuntimeError('the gate is broken')
        while not Path('open').exists():
            time.sleep(0.1)
"""


@pytest.fixture
def start(cluster, tmp_path, task, weights):
    """Start the command; the training of random weights fails, the other one waits."""
    pytest.importorskip("submitit")
    config = task("segmentation").config
    words = ["transfer", f"ctl={weights(config)}", "--suite", "suite.py"]
    words += ["--work-dir", "runs", "--slurm", "time=20", "cpus_per_task=1"]
    (tmp_path / "suite.py").write_text(SUITE)
    (tmp_path / "gated.py").write_text(CONFIG.format(config=str(config)))
    (tmp_path / "gate.py").write_text(GATE)
    path = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}

    def run():
        return subprocess.Popen(
            [sys.executable, "-m", "snnssl_mm.cli.main", *words],
            env=cluster.environment | path,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    yield run
    cluster.cancel_jobs()


@pytest.mark.slow
def test_an_interrupted_suite_with_a_failing_job(start, cluster, tmp_path):
    """The waiting command is killed, and the job reaches its time limit."""
    first = start()

    def has_checkpoint():
        assert first.poll() is None, first.communicate()
        return bool(list(tmp_path.glob("runs/suite/seg/1/ctl/*/epoch_1.pth")))

    wait_until(has_checkpoint, 300, "no checkpoint")
    first.kill()
    first.communicate()
    (file,) = tmp_path.glob(f"runs/suite/seg/1/ctl/*/{slurm.ELEMENT}")
    element = json.loads(file.read_text())
    cluster.run("scancel", "--signal=USR2", element["number"])  # as at the time limit
    restarted = {"Restarts": "1", "JobState": "RUNNING"}.items()
    wait_until(
        lambda: restarted <= cluster.job(element["number"]).items(), 60, "not requeued"
    )
    second = start()
    (tmp_path / "open").touch()
    said, _ = second.communicate(timeout=300)
    assert second.returncode == 1
    assert "the gate is broken" in said
    (row,) = json.loads((tmp_path / "runs/suite.json").read_text())["rows"]
    assert (row["entry"], row["task"]) == ("ctl", "seg")
    assert json.loads(file.read_text()) == element, "not submitted again"
    logged = Path(element["log"]).with_suffix(".out").read_text()
    assert logged.count("Caught signal SIGUSR2") == 1, "once, by no worker"
    assert logged.count("Training starts") == 2
    assert "resumed epoch: 1" in logged
