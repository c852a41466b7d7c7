"""tools/slurm_train.sh, with stand-ins for Slurm's own commands.

test_slurm_train_cluster.py runs it on a real cluster.
"""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "slurm_train.sh"
CONFIG = "configs/selfsup/spikformer_ctl.py"


@pytest.fixture
def slurm(tmp_path):
    """Run the script; what it says, its status, and the commands that it called."""

    def run(*arguments, srun="exit 0", **variables):
        calls = tmp_path / "calls"
        calls.write_text("")
        for name, action in (("sbatch", ""), ("scontrol", ""), ("srun", srun)):
            command = tmp_path / name
            command.write_text(f'#!/bin/bash\necho {name} "$@" >> {calls}\n{action}\n')
            command.chmod(0o755)
        environment = {k: v for k, v in os.environ.items() if "SLURM" not in k}
        environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
        done = subprocess.run(
            [str(SCRIPT), *map(str, arguments)],
            env=environment | variables,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        return done, calls.read_text().splitlines()

    return run


def test_submission_asks_for_a_task_a_gpu_and_to_be_requeued(slurm, tmp_path):
    work_dir = tmp_path / "run"
    done, (call,) = slurm(CONFIG, work_dir, "--amp", NODES="4", GPUS="2")
    assert done.returncode == 0
    assert "--nodes=4 --ntasks-per-node=2 --gpus-per-node=2" in call
    assert call.endswith(f"{CONFIG} {work_dir} --amp")
    assert "#SBATCH --requeue" in SCRIPT.read_text()


def test_a_cpu_job_names_no_gpu(slurm, tmp_path):
    done, (call,) = slurm(CONFIG, tmp_path / "run", GPUS="0", TASKS="3")
    assert done.returncode == 0
    assert "--ntasks-per-node=3" in call
    assert "--gpus" not in call


def test_job_trains_by_the_slurm_launcher_and_resumes(slurm, tmp_path):
    _, (call,) = slurm(CONFIG, tmp_path, "--amp", SLURM_JOB_ID="7")
    assert "--kill-on-bad-exit=1" in call
    assert call.endswith(
        f"tools/train.py {CONFIG} --work-dir {tmp_path} --launcher slurm --amp --resume"
    )


def test_failure_of_the_training_is_that_of_the_job(slurm, tmp_path):
    done, _ = slurm(CONFIG, tmp_path, SLURM_JOB_ID="7", srun="exit 3")
    assert done.returncode == 3


def test_signal_before_the_time_limit_requeues(slurm, tmp_path):
    signalled = "kill -USR1 $PPID; exit 4"
    done, calls = slurm(CONFIG, tmp_path, SLURM_JOB_ID="7", srun=signalled)
    assert "scontrol requeue 7" in calls
    assert "back to the queue" in done.stdout


def test_an_allocation_without_arguments_trains_nothing(slurm):
    done, calls = slurm(CONFIG, SLURM_JOB_ID="7")
    assert done.returncode == 2
    assert not calls


@pytest.mark.parametrize("arguments", [(), ("nowhere.py", "work_dir")])
def test_wrong_arguments_submit_nothing(slurm, arguments):
    done, calls = slurm(*arguments)
    assert done.returncode == 2
    assert "usage" in done.stderr or "nowhere.py does not exist" in done.stderr
    assert not calls


def test_slurm_script_has_a_help():
    command = ["bash", str(SCRIPT), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "CONFIG WORK_DIR" in done.stdout
