"""Captured training steps give the weights of eager ones."""

import copy
import functools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.optim import AmpOptimWrapper, CosineAnnealingLR, OptimWrapper
from mmengine.registry import MODELS
from step_tape import TapeBackend
from torch import nn

from snnssl_mm.engine import (
    LARS,
    CpuAmpOptimWrapper,
    GraphedStepHook,
    NonFiniteHook,
)
from snnssl_mm.engine.graphed_step import GraphedStep
from snnssl_mm.engine.hooks.graphed_step_hook import obstacles
from snnssl_mm.neurons import MixedLIF


def algorithm(bn="joint", device="cpu", **settings):
    torch.manual_seed(0)
    backbone = dict(
        type="snnssl_mm.Spikformer",
        arch=dict(embed_dims=16, depth=1, num_heads=2),
        stem="cifar",
        time_steps=2,
        bn=bn,
    )
    neck = dict(type="mmpretrain.NonLinearNeck", in_channels=16, hid_channels=8)
    neck |= dict(out_channels=8, norm_cfg=dict(type="BN1d"))
    loss = dict(type="snnssl_mm.CrossTemporalLoss")
    head = dict(type="snnssl_mm.TemporalLossHead", loss=loss)
    colors = dict(mean=[127.0] * 3, std=[64.0] * 3)
    config = dict(backbone=backbone, neck=neck, head=head, **settings)
    config |= dict(data_preprocessor=colors)
    model = MODELS.build(dict(type="snnssl_mm.DualPathSSL", **config))
    model.init_weights()
    return model.train().to(device)


def adamw(model):
    """AdamW in two groups, of which one does not decay."""
    decaying = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [dict(params=decaying), dict(params=others, weight_decay=0.0)]
    return torch.optim.AdamW(groups, lr=2.0**-7, weight_decay=0.05, fused=True)


def lars(model):
    return LARS(model.parameters(), lr=0.5, momentum=0.9, weight_decay=1e-6)


class Run:
    """A training of a model, with a schedule, on batches that an index determines."""

    def __init__(
        self,
        step=None,
        optimizer=adamw,
        wrapper=OptimWrapper,
        single_rates=False,
        **settings,
    ):
        self.model = algorithm(**settings)
        self.device = next(self.model.parameters()).device
        self.model.graphed_step = step
        self.wrapper = wrapper(optimizer=optimizer(self.model))
        self.schedule = CosineAnnealingLR(self.wrapper, T_max=20, by_epoch=False)
        self.single_rates = single_rates  # what a graph on a GPU reads
        self.losses = []

    def train(self, *indices, size=6):
        for index in indices:
            generator = torch.Generator().manual_seed(index)
            draw = dict(size=(size, 3, 8, 8), generator=generator, dtype=torch.uint8)
            views = [torch.randint(256, **draw) for _ in range(2)]
            values = self.model.train_step(
                {"inputs": views, "data_samples": None}, self.wrapper
            )
            self.losses.append(values["loss"])
            self.schedule.step()
            if self.single_rates:
                for group in self.wrapper.optimizer.param_groups:
                    group["lr"] = float(np.float32(group["lr"]))
        return self

    def everything(self):
        """All that a checkpoint contains, and the losses."""
        optimizer = self.wrapper.optimizer
        state = [part for own in optimizer.state.values() for part in own.values()]
        rates = [torch.tensor(group["lr"]) for group in optimizer.param_groups]
        return [*self.model.state_dict().values(), *state, *rates, *self.losses]


def graphed(warmup=2, **settings):
    step = GraphedStep(TapeBackend(), warmup)
    return Run(step, **settings), step


def assert_same(a, b):
    for left, right in zip(a.everything(), b.everything(), strict=True):
        assert torch.equal(left.detach(), right.detach())


@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(optimizer=lars),
        dict(bn="per_view", projector_bn="per_view"),
        dict(wrapper=CpuAmpOptimWrapper),
        dict(train_path="spike", train_time_steps=1),
    ],
    ids=["adamw", "lars", "per view", "amp", "spikes"],
)
def test_weights_are_those_of_eager_steps(settings):
    run, step = graphed(**settings)
    assert_same(run.train(*range(8)), Run(**settings).train(*range(8)))
    assert (step.replays, step.backend.captures) == (6, 1)


def test_other_sizes_run_eagerly_and_keep_the_graph():
    (run, step), eager = graphed(), Run()
    for each in (run, eager):
        each.train(0, 1, 2, 3).train(4, size=4).train(5, 6)
    assert_same(run, eager)
    assert (step.replays, step.backend.captures) == (4, 1)


def test_steps_with_hooks_run_eagerly_and_call_them():
    (run, step), eager = graphed(), Run()
    for each in (run, eager):
        each.train(0, 1, 2)
        seen = []
        (neuron, *_) = [m for m in each.model.modules() if isinstance(m, MixedLIF)]
        hook = neuron.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        each.train(3, 4)
        assert len(seen) == 2
        hook.remove()
        each.train(5, 6)
    assert_same(run, eager)
    assert (step.replays, step.backend.captures) == (3, 1)


def path(model):
    model.train_path = "analog"
    model.train()


def time_steps(model):
    model.train_time_steps = 1
    model.train()


def threshold(model):
    for module in model.modules():
        if isinstance(module, MixedLIF):
            module.v_threshold = 0.5


def frozen(model):
    model.backbone.stem.requires_grad_(False)


def other_memory(model):
    weight = next(model.backbone.parameters())
    weight.data = weight.data.clone()


@pytest.mark.parametrize("change", [path, time_steps, threshold, frozen, other_memory])
def test_a_changed_network_is_captured_again(change):
    (run, step), eager = graphed(), Run()
    for each in (run, eager):
        each.train(0, 1, 2, 3)
        change(each.model)
        each.train(4, 5, 6, 7)
    assert_same(run, eager)
    assert (step.replays, step.backend.captures) == (4, 2)


def test_changed_options_of_the_optimizer_are_captured_again():
    (run, step), eager = graphed(), Run()
    for each in (run, eager):
        each.train(0, 1, 2, 3)
        each.wrapper.optimizer.param_groups[0]["weight_decay"] = 0.5
        each.train(4, 5, 6)
    assert_same(run, eager)
    assert step.backend.captures == 2


def test_evaluation_in_between_keeps_the_graph():
    (run, step), eager = graphed(), Run()
    for each in (run, eager):
        each.train(0, 1, 2)
        copy.deepcopy(each.model).eval()
        each.model.eval().extract_feat(torch.rand(2, 3, 8, 8))
        each.model.train()
        each.train(3, 4)
    assert_same(run, eager)
    assert step.replays == 3


def test_loaded_states_are_captured_again():
    (run, step), whole = graphed(), Run().train(*range(8))
    run.train(0, 1, 2, 3)
    kept = copy.deepcopy((run.model.state_dict(), run.wrapper.state_dict()))
    schedule = copy.deepcopy(run.schedule.state_dict())
    run.train(9, 9, 9)
    run.model.load_state_dict(kept[0])
    run.wrapper.load_state_dict(kept[1])
    run.schedule.load_state_dict(schedule)
    run.losses = run.losses[:4]
    run.train(4, 5, 6, 7)
    assert_same(run, whole)
    assert step.backend.captures == 2


def test_a_resumed_run_continues_to_the_bit():
    (run, _), (resumed, step) = graphed(), graphed()
    run.train(0, 1, 2, 3)
    states = (run.model.state_dict(), run.wrapper.state_dict())
    model_state, optimizer_state = copy.deepcopy(states)
    resumed.model.load_state_dict(model_state)
    resumed.wrapper.load_state_dict(optimizer_state)
    resumed.schedule.load_state_dict(copy.deepcopy(run.schedule.state_dict()))
    resumed.losses = list(run.losses)
    resumed.train(4, 5, 6, 7)
    assert_same(resumed, Run().train(*range(8)))
    assert step.replays == 2


def test_checkpoints_contain_plain_learning_rates():
    run, step = graphed()
    groups = run.train(0, 1, 2, 3).wrapper.optimizer.state_dict()["param_groups"]
    assert step.replays
    assert all(type(group["lr"]) is float for group in groups)
    assert not any(group["capturable"] for group in groups)


def test_values_to_log_are_not_overwritten_by_later_steps():
    run, _ = graphed()
    losses = [float(loss) for loss in run.train(*range(6)).losses]
    assert len(set(losses)) == 6
    assert all(map(math.isfinite, losses))


def run_with(*hooks, **changes):
    run = Run(**changes)
    logger = SimpleNamespace(info=lambda _: None, warning=[].append)
    runner = SimpleNamespace(model=run.model, optim_wrapper=run.wrapper, hooks=hooks)
    runner.logger = logger
    return runner


def test_the_hook_installs_and_removes_the_step():
    hook, runner = GraphedStepHook(backend=TapeBackend()), run_with()
    hook.before_train(runner)
    assert runner.model.graphed_step is hook.step
    hook.after_train(runner)
    assert runner.model.graphed_step is None


def unfused(model):
    return torch.optim.AdamW(model.parameters(), fused=False)


def accumulating(**settings):
    return OptimWrapper(accumulative_counts=2, **settings)


def clipping(**settings):
    return OptimWrapper(clip_grad=dict(max_norm=1.0), **settings)


@pytest.mark.parametrize(
    "changes",
    [
        dict(optimizer=unfused),
        dict(wrapper=accumulating),
        dict(wrapper=clipping),
    ],
    ids=["unfused", "accumulating", "clipping"],
)
def test_trainings_that_cannot_be_captured_run_eagerly(changes):
    hook, runner = GraphedStepHook(backend=TapeBackend()), run_with(**changes)
    hook.before_train(runner)
    assert runner.model.graphed_step is None
    assert len(list(obstacles(runner, "cpu"))) == 1


def test_a_cpu_needs_eager_steps():
    runner = run_with()
    assert not list(obstacles(runner, "cpu"))
    assert len(list(obstacles(runner, "cuda"))) == 1
    runner.model.neck.bn0 = nn.BatchNorm1d(8, momentum=None)
    assert len(list(obstacles(runner, "cpu"))) == 1


def test_recomputed_activations_are_an_obstacle():
    hook, runner = GraphedStepHook(backend=TapeBackend()), run_with()
    runner.model.backbone.with_cp = True
    assert len(list(obstacles(runner, "cpu"))) == 1
    hook.before_train(runner)
    assert runner.model.graphed_step is None


def test_a_hook_that_reads_every_gradient_is_an_obstacle():
    for interval, number in ((1, 1), (4, 0)):
        runner = run_with(NonFiniteHook(interval))
        assert len(list(obstacles(runner, "cpu"))) == number


def test_the_guard_against_nan_works_in_replays():
    run, step = graphed()
    guard = NonFiniteHook(interval=3)
    guard.before_train(SimpleNamespace(model=run.model, optim_wrapper=run.wrapper))
    run.train(*range(3))
    assert guard.watch.fetch() is None
    with torch.no_grad():  # the weights are finite, and the gradients are not
        run.model.neck.fc1.weight.fill_(3e38)
    before = [p.clone() for p in run.model.parameters()]
    run.train(3)
    guard.watch.end_step(run.losses[-1])
    assert step.replays == 2
    assert guard.watch.fetch() is not None
    after = run.model.parameters()
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def test_a_capture_needs_an_eager_step():
    with pytest.raises(ValueError, match="warmup=0"):
        GraphedStep(warmup=0)


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", [adamw, lars])
@pytest.mark.parametrize("train_path", ["analog", "dual"])
def test_gpu_graph_gives_the_weights_of_eager_steps(optimizer, train_path, monkeypatch):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    step = GraphedStep()
    settings = dict(optimizer=optimizer, train_path=train_path, device="cuda")
    runs = [Run(each, single_rates=True, **settings) for each in (step, None)]
    for run in runs:
        run.train(*range(6)).train(6, size=4)
        time_steps(run.model)
        run.train(*range(7, 12))
    assert (step.replays, step.captured is not None) == (5, True)
    # Pooling's gradients are summed in any order, and rounding may flip a spike.
    tolerance = {"analog": 1e-4, "dual": 5e-2}[train_path]
    for left, right in zip(*(run.everything() for run in runs), strict=True):
        close = dict(rtol=tolerance, atol=tolerance * float(right.detach().abs().max()))
        torch.testing.assert_close(left, right, **close)


@pytest.mark.gpu
def test_gpu_graph_with_autocast_and_the_guard_against_nan():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    bf16 = dict(dtype="bfloat16", loss_scale={"enabled": False})
    run = Run(
        step := GraphedStep(),
        wrapper=functools.partial(AmpOptimWrapper, **bf16),
        device="cuda",
    )
    runner = SimpleNamespace(model=run.model, optim_wrapper=run.wrapper, hooks=[])
    (guard := NonFiniteHook()).before_train(runner)
    assert not list(obstacles(runner, "cuda"))
    run.train(*range(8))
    guard.watch.end_step(run.losses[-1])
    assert step.replays == 5
    assert guard.watch.fetch() is None
    with torch.no_grad():
        run.model.neck.fc1.weight.fill_(3e38)
    before = [p.clone() for p in run.model.parameters()]
    run.train(8)
    guard.watch.end_step(run.losses[-1])
    assert guard.watch.fetch() is not None
    after = run.model.parameters()
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
