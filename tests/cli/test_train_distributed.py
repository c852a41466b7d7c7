"""snnssl train in two processes, with Runner and with other strategies."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from processes import run_group, train

ROOT = Path(__file__).parents[2]
EXAMPLE = "configs/selfsup/spikformer-16-512_ctl_in1k_{}.py"
EPOCHS, ITERATIONS = 2, 2


def write_config(file, tiny_config, strategy):
    """The tiny job with runner, strategy and optimizer of an example config."""
    cfg = Config.fromfile(tiny_config)
    example = Config.fromfile(ROOT / EXAMPLE.format(strategy or "ddp"))
    cfg.optim_wrapper = example.optim_wrapper
    # Biases in front of norms have rounding errors for gradients, which AdamW enlarges.
    cfg.optim_wrapper.optimizer.eps = 1.0
    if strategy:
        cfg.runner_type, cfg.strategy = example.runner_type, example.strategy
    if strategy == "fsdp":  # units that fit the tiny network
        cfg.strategy.model_wrapper.auto_wrap_policy.min_num_params = 200
    # The same image again and again: what differs was drawn.
    cfg.train_dataloader.dataset.indices = [0] * 64
    cfg.train_dataloader.num_workers = 1
    cfg.dump(file)
    return file


def jobs(configs, folder):
    """Train each config, and resume the last from its first epoch.

    Returns:
        By job, a digest of each batch of two views.
    """
    from snnssl_mm.models import DualPathSSL

    rank, loss = dist.get_rank(), DualPathSSL.loss
    seen = []

    def recording_loss(self, inputs, data_samples=None):
        content = torch.stack(inputs).numpy().tobytes()
        seen.append(hashlib.sha256(content).hexdigest())
        return loss(self, inputs, data_samples)

    DualPathSSL.loss = recording_loss
    digests = {}
    for name, config in configs.items():
        train(config, "--work-dir", folder / name / str(rank))
        digests[name] = seen[-EPOCHS * ITERATIONS :]  # after the pre-flight's
        seen.clear()
    first = folder / name / "0" / "epoch_1.pth"
    train(config, "--work-dir", folder / "resumed" / str(rank), "--resume", first)
    digests["resumed"] = seen[-ITERATIONS:]
    return digests


@pytest.fixture(scope="module")
def trained(tmp_path_factory, write_tiny_config):
    """Folder with a work directory per job and process, and the digests."""
    folder = tmp_path_factory.mktemp("trained")
    tiny = write_tiny_config(folder / "tiny.py")
    configs = {
        strategy or "runner": write_config(folder / f"{strategy}.py", tiny, strategy)
        for strategy in (None, "ddp", "fsdp")
    }
    return folder, run_group(jobs, 2, configs, folder)


def weights(file):
    """Weights of a checkpoint; FlexibleRunner saves the wrapper's names."""
    state = torch.load(file, weights_only=False)["state_dict"]
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("job", "reference", "tolerance"),
    [("ddp", "runner", 0), ("fsdp", "runner", 1e-5), ("resumed", "fsdp", 0)],
)
def test_strategies_train_to_the_weights_of_the_runner(
    trained, job, reference, tolerance
):
    """FSDP, whose gradients are rounded otherwise, resumes to its own bits."""
    folder, _ = trained
    start = weights(folder / reference / "0" / "epoch_1.pth")
    expected = weights(folder / reference / "0" / f"epoch_{EPOCHS}.pth")
    own = weights(folder / job / "0" / f"epoch_{EPOCHS}.pth")
    assert any((expected[name] - start[name]).abs().max() > 1e-4 for name in start)
    torch.testing.assert_close(own, expected, rtol=tolerance, atol=tolerance)


def test_every_process_and_epoch_draws_other_augmentations(trained):
    _, digests = trained
    drawn = [digest for of_process in digests for digest in of_process["runner"]]
    assert len(drawn) == 2 * EPOCHS * ITERATIONS
    assert len(set(drawn)) == len(drawn)


def test_a_resumed_run_draws_what_the_uninterrupted_one_did(trained):
    _, digests = trained
    for of_process in digests:
        assert of_process["resumed"] == of_process["fsdp"][ITERATIONS:]
        assert of_process["fsdp"] == of_process["runner"]


def test_the_first_process_writes_and_no_other(trained):
    folder, _ = trained
    for job in ("runner", "ddp", "fsdp"):
        first, second = (
            {file.name for file in (folder / job / rank).rglob("*") if file.is_file()}
            for rank in "01"
        )
        assert first >= {"epoch_1.pth", "epoch_2.pth", "probes.json", "health.json"}
        assert first >= {"firing_rates.json", "scalars.json"}
        assert not second


def refusal_of_unequal_shares(config, folder):
    """Return the message of a training in which a process has fewer batches."""
    options = ["train_dataloader.sampler.round_up=False"]
    options += ["train_dataloader.dataset.indices=17", "train_dataloader.batch_size=1"]
    with pytest.raises(SystemExit) as refusal:
        train(config, "--work-dir", folder, "--cfg-options", *options)
    return str(refusal.value)


def test_unequal_numbers_of_batches_are_refused_in_every_process(tiny_config, tmp_path):
    messages = run_group(refusal_of_unequal_shares, 2, tiny_config, tmp_path)
    assert messages[0] == messages[1]
    assert "9 in process 0, 8 in process 1" in messages[0]


DYING = """
import os, signal
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class Dying(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch):
        if runner.rank == 1 and runner.iter == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others(tiny_config, tmp_path):
    (tmp_path / "dying.py").write_text(DYING)
    cfg = Config.fromfile(tiny_config)
    cfg.custom_imports = dict(imports=["dying"])
    cfg.custom_hooks = [dict(type="mmengine.Dying")]
    cfg.dump(tiny_config)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    run += ["--nproc-per-node=2", ROOT / "tools" / "train.py", tiny_config]
    done = subprocess.run(
        [*map(str, run), "--launcher", "pytorch", "--work-dir", str(tmp_path / "run")],
        env={
            **os.environ,
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
            "CUDA_VISIBLE_DEVICES": "",
        },
        capture_output=True,
        text=True,
        timeout=240,  # of a hang; gloo would wait for half an hour
    )
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL) received" in done.stderr
    assert "rank      : 1" in done.stderr
    assert "[2/" not in done.stdout, "no iteration after the one that lost a process"
    assert not list(tmp_path.glob("run/epoch_*.pth"))
