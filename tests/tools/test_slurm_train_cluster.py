"""tools/slurm_train.sh on a real Slurm cluster of one node, without GPUs."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from kills import config_text
from slurm_cluster import wait_until

ROOT = Path(__file__).parents[2]
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}
HOOK = """
custom_imports = dict(imports=['dying'])
custom_hooks = [dict(type='mmengine.Dying')]
"""
DYING = """
import os, signal
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class Dying(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch):
        if runner.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def submit(cluster, tmp_path):
    """Submit a training of a number of epochs; cancel all jobs at the end."""
    yield functools.partial(Job, cluster, tmp_path)
    cluster.cancel_jobs()


class Job:
    """A training that ``tools/slurm_train.sh`` submitted."""

    def __init__(self, cluster, folder, epochs, more="", **variables):
        self.cluster, self.work_dir = cluster, folder / "run"
        config = folder / "tiny.py"
        config.write_text(config_text(folder, epochs) + more)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        settings = dict(GPUS="0", TASKS="2", CPUS="1", PATH=path, PYTHONPATH=str(ROOT))
        command = [str(ROOT / "tools" / "slurm_train.sh"), config, self.work_dir]
        command += ["--cfg-options", "train_dataloader.num_workers=0"]
        said = subprocess.run(
            [*map(str, command)],
            env=cluster.environment | settings | variables,
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        self.id = said.split()[-1]

    def wait_for(self, **fields):
        """Wait until fields of ``scontrol show job`` have given values."""
        wait_until(lambda: fields.items() <= self.fields().items(), 300, self)

    def wait_for_epoch(self, epoch):
        wait_until(lambda: self.last_epoch() >= epoch, 300, self)

    def fields(self):
        return self.cluster.job(self.id)

    def wait_for_end(self):
        """Return the fields of the job after its end."""
        wait_until(lambda: self.fields()["JobState"] in ENDED, 300, self)
        return self.fields()

    @property
    def output(self):
        return (self.work_dir / f"slurm-{self.id}.out").read_text()

    def last_epoch(self):
        checkpoints = self.work_dir.glob("epoch_*.pth")
        return max((int(file.stem.split("_")[1]) for file in checkpoints), default=0)

    def __str__(self):
        return f"{self.fields()}\n{self.output[-3000:]}"


def test_two_tasks_train_as_one_group(submit):
    job = submit(2)
    assert job.wait_for_end()["JobState"] == "COMPLETED", str(job)
    checkpoint = torch.load(job.work_dir / "epoch_2.pth", weights_only=False)
    assert checkpoint["meta"]["iter"] == 2 * (24 // (2 * 8))  # images, tasks x batch
    assert job.output.count("Training starts") == 1


def test_a_preempted_job_resumes_until_it_is_cancelled(cluster, submit):
    job = submit(1000)
    job.wait_for_epoch(1)
    urgent = "--partition=urgent --ntasks=4 --output=/dev/null --wrap=true"
    cluster.run("sbatch", *urgent.split())
    job.wait_for(Restarts="1", JobState="RUNNING")
    job.wait_for_epoch(job.last_epoch() + 1)
    assert job.output.count("Training starts") == 2
    assert "resumed epoch" in job.output
    cluster.run("scancel", job.id)
    ended = job.wait_for_end()
    assert (ended["JobState"], ended["Restarts"]) == ("CANCELLED", "1")


def test_a_job_near_its_time_limit_goes_back_to_the_queue(submit):
    limit = dict(SBATCH_TIMELIMIT="2", SBATCH_SIGNAL="B:USR1@30")
    job = submit(1000, **limit)
    job.wait_for(Restarts="1", JobState="RUNNING")
    before = job.last_epoch()
    assert "back to the queue" in job.output
    job.wait_for_epoch(before + 1)


def test_a_task_that_is_killed_ends_the_job_for_good(submit, tmp_path):
    (tmp_path / "dying.py").write_text(DYING)
    job = submit(1, more=HOOK, PYTHONPATH=f"{ROOT}:{tmp_path}")
    ended = job.wait_for_end()
    assert (ended["JobState"], ended["Restarts"]) == ("FAILED", "0"), str(job)
    assert "task 1: Killed" in job.output
    assert job.last_epoch() == 0
