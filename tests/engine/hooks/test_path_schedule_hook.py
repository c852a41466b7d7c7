"""The schedule of paths and time steps follows the iteration, also after a resume."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from snnssl_mm.engine import PathScheduleHook
from snnssl_mm.neurons import MixedLIF

STAGES = (
    dict(train_path="analog", train_time_steps=1),
    dict(begin=0.5, train_path="dual"),
    dict(begin=0.75, train_time_steps=4),
)


def algorithm():
    backbone = dict(
        type="snnssl_mm.Spikformer",
        arch=dict(embed_dims=16, depth=1, num_heads=2),
        stem="cifar",
        time_steps=3,
    )
    neck = dict(type="mmpretrain.NonLinearNeck", in_channels=16, hid_channels=8)
    neck |= dict(out_channels=8, norm_cfg=dict(type="BN1d"))
    loss = dict(type="snnssl_mm.CrossTemporalLoss")
    head = dict(type="snnssl_mm.TemporalLossHead", loss=loss)
    config = dict(backbone=backbone, neck=neck, head=head)
    return MODELS.build(dict(type="snnssl_mm.DualPathSSL", **config))


def run_of(model, max_iters=8):
    logger = SimpleNamespace(info=lambda text: None)
    return SimpleNamespace(model=model, iter=0, max_iters=max_iters, logger=logger)


def states(model):
    """Path and number of time steps that an image meets now."""
    steps = model.backbone(torch.rand(2, 3, 8, 8))[0].shape[0]
    (path,) = {m.path for m in model.modules() if isinstance(m, MixedLIF)}
    return path, steps


def followed(hook, runner, iterations):
    seen = []
    hook.before_train(runner)
    for runner.iter in iterations:
        hook.before_train_iter(runner, runner.iter)
        seen.append(states(runner.model))
    return seen


def test_stages_begin_at_their_share_and_keep_what_they_omit():
    runner = run_of(algorithm().train())
    expected = [("analog", 1)] * 4 + [("dual", 1)] * 2 + [("dual", 4)] * 2
    assert followed(PathScheduleHook(STAGES), runner, range(8)) == expected


def test_a_resumed_run_continues_in_its_stage():
    whole = followed(PathScheduleHook(STAGES), run_of(algorithm().train()), range(8))
    resumed = followed(
        PathScheduleHook(STAGES), run_of(algorithm().train()), range(5, 8)
    )
    assert resumed == whole[5:]


def test_evaluation_spikes_for_all_time_steps_of_the_backbone():
    model = algorithm()
    followed(PathScheduleHook(STAGES), run_of(model.train()), [0])
    assert states(model.eval()) == ("spike", 3)
    assert states(model.train()) == ("analog", 1)


@pytest.mark.parametrize(
    "stages",
    [
        [],
        [dict(begin=0.5)],
        [dict(), dict(begin=0.5), dict(begin=0.2)],
        [dict(), dict(begin=1.0)],
        [dict(path="dual")],
        [dict(), dict(begin=0.8, train_path="duall")],
        [dict(), dict(begin=0.8, train_time_steps=0)],
        [dict(), dict(begin=0.8, train_time_steps=2.0)],
        [dict(), dict(begin=0.8, train_time_steps=True)],
    ],
)
def test_wrong_stages_are_refused(stages):
    with pytest.raises(ValueError, match="stage"):
        PathScheduleHook(stages)


def test_another_algorithm_is_refused():
    with pytest.raises(TypeError):
        PathScheduleHook(STAGES).before_train(run_of(nn.Linear(2, 2)))
