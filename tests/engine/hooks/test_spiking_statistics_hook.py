"""The final checkpoint has statistics of the spiking path, and nothing else changes."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner
from monitors import without_monitors

from snnssl_mm.engine import SpikingStatisticsHook
from snnssl_mm.probing import load_trained_model
from snnssl_mm.recording.bn_statistics import norms_of
from snnssl_mm.recording.two_views import two_view_batches

ROOT = Path(__file__).parents[3]
HOOK = dict(type="snnssl_mm.SpikingStatisticsHook", num_images=16)


@pytest.fixture
def train(tiny_config, run_tool, tmp_path):
    """Train two epochs with the given hooks only; return the work directory."""
    cfg = Config.fromfile(tiny_config)

    def run(name, *hooks, **changes):
        without_monitors(cfg)
        cfg.custom_hooks = list(hooks)
        cfg.merge_from_dict({"model.backbone.time_steps": 2, **changes})
        cfg.dump(tmp_path / f"{name}.py")
        run_tool("train", tmp_path / f"{name}.py", "--work-dir", tmp_path / name)
        return tmp_path / name

    return run


def state(work_dir, number, unit="epoch"):
    file = work_dir / f"{unit}_{number}.pth"
    return torch.load(file, map_location="cpu", weights_only=False)["state_dict"]


def changed(found, expected):
    return {name for name, t in found.items() if not torch.equal(t, expected[name])}


def test_only_the_statistics_of_the_last_checkpoint_change(train):
    without, kept = train("without"), train("kept", HOOK)
    for epoch in (1, 2):
        names = changed(state(kept, epoch), state(without, epoch))
        assert all("running" in n or "num_batches" in n for n in names)
        assert bool(names) == (epoch == 2)


def test_the_last_checkpoint_of_a_training_by_iterations_changes_too(train):
    loop = dict(type="IterBasedTrainLoop", max_iters=3)
    changes = {"default_hooks.checkpoint.by_epoch": False, "param_scheduler": []}
    changes |= {"train_cfg": {"_delete_": True, **loop}}
    changes["default_hooks.checkpoint.max_keep_ckpts"] = -1
    changes["default_hooks.logger.log_metric_by_epoch"] = False
    without, kept = train("without", **changes), train("kept", HOOK, **changes)
    for number in (1, 2, 3):
        names = changed(state(kept, number, "iter"), state(without, number, "iter"))
        assert bool(names) == (number == 3)


def test_another_algorithm_is_refused_before_step_1():
    """Masked autoencoding has one view, so that its last checkpoint would fail."""
    masked = Config.fromfile(ROOT / "configs/selfsup/spikformer_mae.py").model
    masked.backbone.arch = dict(embed_dims=8, depth=1, num_heads=2)
    masked.neck.in_channels = 8
    model = MODELS.build(masked)
    with pytest.raises(TypeError):
        SpikingStatisticsHook().before_train(SimpleNamespace(model=model))


def test_statistics_are_those_of_spiking_batches(train):
    """Each layer's running mean is the mean of its input when all neurons spike."""
    work_dir = train("run", HOOK)
    cfg = Config.fromfile(work_dir / "run.py")
    model = load_trained_model(cfg, str(work_dir / "epoch_2.pth"))
    loader = Runner.build_dataloader(cfg.train_dataloader)
    (batch,) = two_view_batches(loader.dataset, loader.collate_fn, 16)
    views = model.data_preprocessor(batch)["inputs"]
    means = {}
    for norm in norms_of(model.backbone):
        norm.train()  # batch statistics, while the neurons spike
        norm.register_forward_pre_hook(
            lambda norm, inputs: means.update({norm: channel_means(*inputs)})
        )
    expected = {norm: norm.running_mean.clone() for norm in norms_of(model.backbone)}
    model.backbone(torch.cat(views))
    assert len(means) > 5
    for norm, mean in means.items():
        torch.testing.assert_close(mean, expected[norm], atol=1e-4, rtol=1e-4)


def channel_means(x):
    return x.flatten(0, -4).mean((0, 2, 3))


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="1"):
        SpikingStatisticsHook(num_images=1)
