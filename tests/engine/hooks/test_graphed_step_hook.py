"""A training with captured steps, monitors and schedules, against the eager one."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine_state import forget_runs
from monitors import without_monitors
from step_tape import TapeBackend

from snnssl_mm.engine import GraphedStepHook

STAGES = [
    dict(train_path="analog", train_time_steps=1),
    dict(begin=0.5, train_path="dual", train_time_steps=2),
]


@pytest.fixture
def train(tiny_config, tmp_path):
    """Train two epochs of seven iterations, of which the last has fewer images."""

    def run(work_dir, graph, epochs=2, **changes):
        forget_runs()
        cfg = Config.fromfile(tiny_config)
        without_monitors(
            cfg,
            seeds=dict(type="snnssl_mm.EpochSeedHook"),
            non_finite=dict(type="snnssl_mm.NonFiniteHook", interval=4),
            firing_rate=dict(type="snnssl_mm.FiringRateHook", interval=5),
            path_schedule=dict(type="snnssl_mm.PathScheduleHook", stages=STAGES),
        )
        cfg.merge_from_dict(
            {
                "model.backbone.time_steps": 2,
                "train_dataloader.batch_size": 10,
                "train_dataloader.drop_last": False,
                "default_hooks.runtime_info": dict(
                    type="snnssl_mm.LazyInfoHook", defer=True
                ),
                **changes,
            }
        )
        cfg.work_dir = str(tmp_path / work_dir)
        cfg.experiment_name = f"{work_dir}-{tmp_path.name}"  # not the second it began
        runner = Runner.from_cfg(cfg)
        hook = GraphedStepHook(warmup=1, backend=TapeBackend())
        if graph:
            runner.register_hook(hook)
        runner.train()
        return torch.load(f"{cfg.work_dir}/epoch_2.pth", weights_only=False), hook.step

    return run


def weights_and_states(checkpoint):
    yield from checkpoint["state_dict"].values()
    for own in checkpoint["optimizer"]["state"].values():
        yield from own.values()


def assert_same(a, b):
    pairs = zip(weights_and_states(a), weights_and_states(b), strict=True)
    assert all(torch.equal(left, right) for left, right in pairs)
    left, right = (
        checkpoint["message_hub"]["log_scalars"]["train/loss"].data[0].tolist()
        for checkpoint in (a, b)
    )
    assert left == right
    assert len(left) == 14


PREDICTOR = dict(type="mmpretrain.NonLinearNeck", in_channels=8, hid_channels=8)
PREDICTOR |= dict(out_channels=8, with_avg_pool=False, norm_cfg=dict(type="BN1d"))
BYOL = {
    "model.predictor": PREDICTOR,
    "model.teacher": dict(momentum=0.5, path="analog"),
    "model.head.loss": dict(_delete_=True, type="snnssl_mm.NegativeCosineLoss"),
}
NT_XENT = {"model.head.loss": dict(_delete_=True, type="snnssl_mm.NTXentLoss")}


@pytest.mark.parametrize("changes", [{}, BYOL, NT_XENT], ids=["CTL", "BYOL", "NT-Xent"])
def test_a_training_and_a_resumed_one_end_with_the_same_weights(
    train, changes, tmp_path
):
    eager, _ = train("eager", graph=False, **changes)
    graphed, step = train("graphed", graph=True, **changes)
    assert_same(graphed, eager)
    # Of each epoch's seven: the first, the fifth (measured), the last (smaller).
    assert (step.replays, step.backend.captures) == (8, 2)
    first = str(tmp_path / "eager" / "epoch_1.pth")
    resume = dict(resume=True, load_from=first)
    resumed, step = train("resumed", graph=True, **resume, **changes)
    assert_same(resumed, eager)
    assert step.replays == 4
