"""The guard against NaN names iteration, layer and checkpoint, and changes nothing."""

import os
from types import SimpleNamespace

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine_state import forget_runs
from monitors import without_monitors
from torch import nn

from snnssl_mm.engine import NonFiniteHook
from snnssl_mm.engine.guards.good_checkpoint import last_good_checkpoint
from snnssl_mm.engine.guards.training_stopped import TrainingStopped
from snnssl_mm.engine.hooks.non_finite_hook import (
    SMALLEST_SCALE,
    largest_magnitude,
    optimizers,
)

CONV = "backbone.stem.stages.2.conv"
NAN = float("nan")


class PlantHook(Hook):
    """Call ``plant(model)`` before an iteration, counted from 1."""

    def __init__(self, at, plant):
        self.at, self.plant = at, plant

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.at:
            self.plant(runner.model)


@pytest.fixture
def train(tiny_config, tmp_path):
    """Train two epochs of four iterations with the guard, or without."""

    def run(*plants, guard=True, work_dir="run", **changes):
        forget_runs()
        cfg = Config.fromfile(tiny_config)
        hook = dict(type="snnssl_mm.NonFiniteHook") if guard else None
        without_monitors(cfg, non_finite=hook)
        cfg.merge_from_dict({"model.backbone.time_steps": 2, **changes})
        cfg.work_dir = str(tmp_path / work_dir)
        runner = Runner.from_cfg(cfg)
        for plant in plants:
            runner.register_hook(plant)
        runner.train()
        return runner

    return run


def nan_weight(model):
    model.get_parameter(f"{CONV}.weight").data[0, 0] = NAN


def nan_activation(model):
    """Spoil one channel; the next neuron does not fire, and the loss stays finite."""

    def spoil(module, inputs, output):
        return output.index_fill(1, torch.tensor([3]), NAN)

    model.get_submodule(CONV).register_forward_hook(spoil)


def nan_gradient(model):
    model.get_parameter(f"{CONV}.weight").register_hook(lambda grad: grad * NAN)


def infinite_loss(model):
    head = model.head
    loss = head.loss

    def spoilt(*views):
        terms = loss(*views)
        return {**terms, "loss": terms["loss"] + float("inf")}

    head.loss = spoilt


PLANTS = {
    "weights": (nan_weight, rf"weights, {CONV}: .*\bweight\b"),
    "activations": (nan_activation, rf"activations, {CONV}: .*\boutput\b"),
    "gradients": (nan_gradient, rf"gradients, {CONV}\.weight: 1 of"),
    "loss": (infinite_loss, r"\binf\b.*loss, loss: 1 of 1"),
}


@pytest.mark.parametrize("kind", PLANTS)
def test_what_was_first_is_named_if_states_are_read_later(train, tmp_path, kind):
    plant, expected = PLANTS[kind]
    changes = {"default_hooks.non_finite.interval": 8}  # as on a GPU
    with pytest.raises(TrainingStopped, match=expected) as error:
        train(PlantHook(6, plant), **changes)
    message = str(error.value)
    assert "iteration 8 (epoch 2)" in message
    assert "since iteration 6" in message
    assert not (tmp_path / "run" / "epoch_2.pth").exists()


@pytest.mark.parametrize("kind", PLANTS)
def test_what_was_first_is_named(train, tmp_path, kind):
    plant, expected = PLANTS[kind]
    with pytest.raises(TrainingStopped, match=expected) as error:
        train(PlantHook(6, plant))
    message = str(error.value)
    assert "iteration 6 (epoch 2)" in message
    assert f"--resume {tmp_path / 'run' / 'epoch_1.pth'}" in message
    assert not (tmp_path / "run" / "epoch_2.pth").exists()
    (log,) = tmp_path.glob("run/*/*.log")
    assert message in log.read_text()


def test_exploding_learning_rate(train):
    changes = {"optim_wrapper.optimizer.lr": 1e30, "param_scheduler": None}
    with pytest.raises(TrainingStopped, match=r"1e.30") as error:
        train(**changes)
    assert "--resume" not in str(error.value), "there is no checkpoint"


class SpoilInputs(Hook):
    """Spoil one image of a batch, in both views."""

    priority = "VERY_HIGH"  # before the guard keeps the batch

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == 6:
            data_batch["inputs"] = [view.float() for view in data_batch["inputs"]]
            for view in data_batch["inputs"]:
                view[3, 0, 0, 0] = NAN
            data_batch["data_samples"][3].set_metainfo(dict(img_path="a/bad.png"))


def test_file_of_an_image_with_nan_is_named(train):
    with pytest.raises(ValueError, match=r"a/bad\.png"):
        train(SpoilInputs())


def test_preprocessor_is_the_cause_and_not_the_learning_rate(train):
    def spoil(model):
        model.data_preprocessor.std.zero_()

    with pytest.raises(TrainingStopped, match="inputs, .*data_preprocessor") as error:
        train(PlantHook(6, spoil))
    assert "learning rate" not in str(error.value)


def test_statistics_that_no_loss_shows_are_not_saved(train, tmp_path):
    def spoil(model):
        model.get_buffer("backbone.stem.stages.0.bn.running_var")[0] = NAN

    with pytest.raises(TrainingStopped, match=r"stages\.0\.bn\.running_var"):
        train(PlantHook(2, spoil))
    assert not list(tmp_path.glob("run/*.pth"))


def test_weights_are_the_same_to_the_bit_with_it(train):
    watched = train().model.state_dict()
    for name, tensor in train(guard=False, work_dir="bare").model.state_dict().items():
        assert torch.equal(tensor, watched[name]), name


def test_last_good_checkpoint_skips_damaged_and_non_finite_ones(tmp_path):
    weights = torch.zeros(3)
    for age, (name, state) in enumerate(
        {"epoch_1": weights, "epoch_2": weights * NAN, "epoch_3": weights}.items()
    ):
        file = tmp_path / f"{name}.pth"
        torch.save({"state_dict": {"w": state}}, file)
        os.utime(file, (age, age))
    last = tmp_path / "epoch_3.pth"
    last.write_bytes(last.read_bytes()[:100])
    (tmp_path / "best_score.pth").write_bytes(last.read_bytes())
    assert last_good_checkpoint(str(tmp_path)) == tmp_path / "epoch_1.pth"


def test_skipped_steps_are_normal_until_the_scale_is_tiny():
    scale = 2.0**16
    scaler = SimpleNamespace(get_scale=lambda: scale)
    runner = SimpleNamespace(optim_wrapper=SimpleNamespace(loss_scaler=scaler))
    hook, stopped = NonFiniteHook(), []
    hook.stop = stopped.append
    hook.stop_at_tiny_scale(runner)
    assert not stopped
    scale = SMALLEST_SCALE / 2
    hook.stop_at_tiny_scale(runner)
    assert len(stopped) == 1


def make_step(hook, gradient, fused=True):
    """An iteration with this gradient of a weight of 1, and the rate 1."""
    weight = nn.Parameter(torch.ones(1))
    weight.grad = torch.tensor([gradient])
    optimizer = torch.optim.SGD([weight], lr=1.0, fused=fused)
    optimizer.register_step_pre_hook(hook.before_step)
    optimizer.step()
    return float(weight.detach())


def noted(interval):
    """A hook that notes what it would stop for, and a function for an iteration."""
    hook = NonFiniteHook(interval=interval)
    hook.stopped = []
    hook.stop = lambda reason: hook.stopped.append((hook.iteration, reason))
    loader = range(1000)
    runner = SimpleNamespace(iter=0, train_dataloader=loader, optim_wrapper=None)

    def iterate(gradient=0.5, loss=1.0, **settings):
        hook.before_train_iter(runner, runner.iter, {})
        weight = make_step(hook, gradient, **settings)
        loss = torch.tensor(loss)
        hook.after_train_iter(runner, runner.iter, outputs={"loss": loss})
        runner.iter += 1
        return weight

    hook.every = interval
    return hook, runner, iterate


def test_states_are_read_at_the_interval_and_the_first_is_reported():
    hook, _, iterate = noted(4)
    for gradient in (3e38, 3e38, 3e38, 3e38, 1.0, -float("inf"), 1.0):
        iterate(gradient)
    assert not hook.stopped
    iterate()
    ((iteration, reason),) = hook.stopped
    assert iteration == 8
    assert "6" in reason
    for _ in range(4):  # nothing is left of it
        iterate()
    assert len(hook.stopped) == 1


def test_a_loss_comes_before_its_gradients():
    hook, _, iterate = noted(3)
    iterate()
    iterate(NAN, loss=NAN)
    iterate(NAN, loss=float("inf"))
    ((_, reason),) = hook.stopped
    assert "nan" in reason
    assert "inf" not in reason


def test_every_step_is_checked_at_once_with_an_interval_of_one():
    hook, _, iterate = noted(1)
    iterate()
    iterate(NAN)
    iterate(loss=NAN)
    assert [iteration for iteration, _ in hook.stopped] == [2, 3]


def test_fused_optimizers_make_no_update_from_the_first_bad_step_on():
    _, _, iterate = noted(5)
    weights = [iterate(gradient) for gradient in (0.5, NAN, 0.5, 0.25)]
    assert weights == [0.5, 1.0, 1.0, 1.0]
    _, _, iterate = noted(5)
    weights = [iterate(gradient, fused=False) for gradient in (0.5, float("inf"), 0.25)]
    assert weights == [0.5, -float("inf"), 0.75]


def test_what_is_left_is_read_before_validation_and_after_an_epoch():
    for moment in ("before_val", "after_train_epoch"):
        hook, runner, iterate = noted(5)
        runner.model = nn.Linear(1, 1)
        iterate(loss=NAN)
        getattr(hook, moment)(runner)
        assert [iteration for iteration, _ in hook.stopped] == [1]


def test_what_is_left_is_read_before_a_checkpoint():
    hook, runner, iterate = noted(5)
    iterate(NAN)
    hook.before_save_checkpoint(runner, {"state_dict": {}})
    assert len(hook.stopped) == 1


@pytest.mark.parametrize("planted", [3.0, -7.0, float("inf"), -float("inf"), NAN])
def test_largest_magnitude_is_the_maximum_norm(planted):
    gradients = [torch.full((2, 3), 0.5), torch.zeros(0), torch.tensor([1.0, planted])]
    expected = torch.tensor(planted).abs()
    torch.testing.assert_close(largest_magnitude(gradients), expected, equal_nan=True)
    assert largest_magnitude([torch.zeros(0)]) == 0


def test_gradients_that_a_loss_scaler_checks_are_not_checked_again():
    plain = SimpleNamespace(optimizer=torch.optim.SGD([nn.Parameter(torch.ones(1))]))
    scaled, idle = (
        SimpleNamespace(
            **vars(plain), loss_scaler=torch.amp.GradScaler("cpu", enabled=on)
        )
        for on in (True, False)
    )
    assert list(optimizers(plain)) == [plain.optimizer]
    assert not list(optimizers(scaled))
    assert list(optimizers(idle)) == [idle.optimizer]  # of bf16
    assert len(list(optimizers({"a": plain, "b": scaled}))) == 1


def in_two_processes(rank, folder):
    import torch.distributed as dist

    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    model = nn.Linear(1, 1)
    runner = SimpleNamespace(
        model=model,
        iter=0,
        optim_wrapper=SimpleNamespace(optimizer=None),
    )
    hook, stopped = NonFiniteHook(), []
    hook.before_train(runner)
    hook.stop = stopped.append
    for loss in (1.0, float("nan") if rank == 1 else 1.0):
        hook.after_train_iter(runner, 0, outputs={"loss": torch.tensor(loss)})
    (folder / str(rank)).write_text(" ".join(stopped))
    store.set(f"done {rank}", "")
    store.wait([f"done {other}" for other in range(2)])
    dist.destroy_process_group()


def test_all_processes_stop_when_one_has_nan(tmp_path):
    start = dict(args=(tmp_path,), nprocs=2, start_method="fork")  # imports once
    mp.start_processes(in_two_processes, **start)
    texts = [(tmp_path / str(rank)).read_text() for rank in range(2)]
    assert texts[0]
    assert "nan" in texts[1]
    assert "nan" not in texts[0]
