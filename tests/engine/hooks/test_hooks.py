"""Hooks that can be tested without training."""

import json
import random
from collections import OrderedDict
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from snnssl_mm.engine import EpochSeedHook, FiringRateHook
from snnssl_mm.engine.guards.training_stopped import TrainingStopped
from snnssl_mm.neurons import MixedLIF, ReLUNeuron, set_path


def drawn_in_epoch(epoch, seed=0):
    loader = SimpleNamespace(persistent_workers=False)
    runner = SimpleNamespace(train_dataloader=loader, epoch=epoch, seed=seed)
    EpochSeedHook().before_train_epoch(runner)
    own = (random.random(), np.random.rand(), torch.rand(1).item())
    workers = []
    for worker in range(2):
        loader.worker_init_fn(worker)
        workers.append(np.random.rand())
    return own, workers


def test_random_numbers_depend_on_epoch_and_seed_only():
    assert drawn_in_epoch(3) == drawn_in_epoch(3)
    draws = [drawn_in_epoch(e, s) for e, s in ((0, 0), (1, 0), (0, 1))]
    assert len({own for own, _ in draws}) == 3
    assert len({number for _, workers in draws for number in workers}) == 6


def test_workers_that_mmengine_starts_within_an_epoch_have_numbers_of_their_own():
    """Training by iterations is one epoch, and a finite sampler ends in it."""
    loader = SimpleNamespace(persistent_workers=False)
    runner = SimpleNamespace(train_dataloader=loader, epoch=0, seed=0, iter=0)
    hook, drawn = EpochSeedHook(), []
    hook.before_train_epoch(runner)
    for runner.iter in range(3):
        for worker in range(2):
            loader.worker_init_fn(worker)
            drawn += [random.random(), np.random.rand(), torch.rand(1).item()]
        hook.after_train_iter(runner, runner.iter)
    assert len(set(drawn)) == len(drawn) == 18


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.gpu
def test_cuda_generator_is_seeded_too():
    drawn_in_epoch(3)
    first = torch.rand(1, device="cuda")
    drawn_in_epoch(3)
    assert torch.equal(torch.rand(1, device="cuda"), first)


def run_of(tmp_path, network, batches, epoch=0):
    """The attributes of a runner that a FiringRateHook uses."""
    return SimpleNamespace(
        model=network,
        epoch=epoch,
        hooks=[],
        work_dir=str(tmp_path),
        train_dataloader=batches,
        message_hub=Mock(),
        visualizer=Mock(),
        logger=Mock(),
    )


def train_an_epoch(hook, runner):
    hook.before_train_epoch(runner)
    for index, batch in enumerate(runner.train_dataloader):
        hook.before_train_iter(runner, index, batch)
        runner.model(batch)
        hook.after_train_iter(runner, index, batch)
    hook.after_train_epoch(runner)
    runner.epoch += 1


def rows_of(tmp_path):
    report = json.loads((tmp_path / "firing_rates.json").read_text())
    assert report["what"] == "training_firing_rates"
    return report["rows"]


def network():
    return nn.Sequential(OrderedDict(one=MixedLIF(tau=1.0), two=MixedLIF(tau=1.0)))


def twos(*rates):
    """Batches [T, N, neurons] in which a fraction of the neurons fires."""
    return [2.0 * (torch.arange(8).reshape(1, 2, 4) < 8 * rate) for rate in rates]


def test_firing_rates_of_the_measured_iterations(tmp_path):
    runner = run_of(tmp_path, network(), twos(1.0, 0.5, 1.0, 0.0, 1.0))
    hook = FiringRateHook(interval=2)
    hook.before_train(runner)
    train_an_epoch(hook, runner)
    published = [call.args for call in runner.message_hub.update_scalar.call_args_list]
    assert published == [
        ("train/firing_rate", rate) for rate in (0.5, 0.0, 1.0)
    ]  # iterations 2 and 4, and the last
    (scalars,) = runner.visualizer.add_scalars.call_args_list
    rates = {"firing_rate/one": 0.5, "firing_rate/two": 0.5}
    assert scalars.args[0] == pytest.approx(rates)
    (row,) = rows_of(tmp_path)
    assert (row["epoch"], row["images"]) == (1, 6)
    assert [layer["name"] for layer in row["layers"]] == ["one", "two"]
    assert row["layers"][0]["neurons"] == 4
    assert "8 neurons" in runner.logger.info.call_args[0][0]
    runner.logger.warning.assert_not_called()


def test_dead_layers_are_warned_of(tmp_path):
    runner = run_of(tmp_path, network(), twos(0.5))
    with torch.no_grad():
        runner.model.two.register_forward_pre_hook(lambda module, x: (0 * x[0],))
    hook = FiringRateHook(interval=1)
    hook.before_train(runner)
    train_an_epoch(hook, runner)
    ((text,),) = [call.args for call in runner.logger.warning.call_args_list]
    assert all(part in text for part in ("layer two", "4 neurons", "2 training images"))


def test_layers_that_fire_nearly_always_are_warned_of(tmp_path):
    always, nearly = twos(1.0)[0], twos(1.0)[0]
    nearly[0, 0, 0] = 0.0  # 7 of 8
    runner = run_of(tmp_path, network(), [always, nearly])
    hook = FiringRateHook(interval=1, stop=True)  # dead layers stop, these do not
    hook.before_train(runner)
    train_an_epoch(hook, runner)
    runner.logger.warning.assert_not_called()  # 15 of 16 spikes: below 95 %
    runner.train_dataloader = [always]
    train_an_epoch(hook, runner)
    texts = [call.args[0] for call in runner.logger.warning.call_args_list]
    assert [text.split(" is saturated")[0] for text in texts] == [
        "layer one",
        "layer two",
    ]


def silent(runner):
    """Give the second layer of a network no input current."""
    return runner.model.two.register_forward_pre_hook(lambda module, x: (0 * x[0],))


def test_warning_says_since_when_a_layer_is_dead(tmp_path):
    runner = run_of(tmp_path, network(), twos(0.5))
    hook = FiringRateHook(interval=1)
    hook.before_train(runner)
    for dead in (True, False, True, True):
        handle = silent(runner) if dead else None
        train_an_epoch(hook, runner)
        if handle:
            handle.remove()
    hook = FiringRateHook(interval=1)  # resumed: it knows from its file
    hook.before_train(runner)
    silent(runner)
    train_an_epoch(hook, runner)
    texts = [call.args[0] for call in runner.logger.warning.call_args_list]
    since = [text.split("since ")[1].split(",")[0] for text in texts]
    assert since == ["1", "3", "3", "3"]


def test_dead_layer_stops_if_asked_and_of_the_dual_path_the_spiking_half_counts(
    tmp_path,
):
    runner = run_of(tmp_path, network(), twos(0.5))
    set_path(runner.model, "dual")
    hook = FiringRateHook(interval=1, stop=True)
    hook.before_train(runner)
    train_an_epoch(hook, runner)

    def no_spikes_in_view_a(module, inputs):
        (x,) = inputs
        return (torch.cat([0 * x[:, :1], x[:, 1:]], dim=1),)

    runner.model.two.register_forward_pre_hook(no_spikes_in_view_a)
    train_an_epoch(hook, runner)
    for stage in (hook.before_train_epoch, hook.after_train):
        with pytest.raises(TrainingStopped, match="layer two"):
            stage(runner)


def test_counts_start_at_0_in_every_epoch_and_repeated_epochs_are_dropped(tmp_path):
    runner = run_of(tmp_path, network(), twos(1.0))
    hook = FiringRateHook(interval=1)
    hook.before_train(runner)
    for rate in (1.0, 0.5, 0.0):
        runner.train_dataloader = twos(rate)
        train_an_epoch(hook, runner)
    assert [r["layers"][0]["rates"] for r in rows_of(tmp_path)] == [[1.0], [0.5], [0.0]]
    runner.epoch = 1  # resumed from the first epoch's checkpoint
    hook = FiringRateHook(interval=1)
    hook.before_train(runner)
    assert [row["epoch"] for row in rows_of(tmp_path)] == [1]
    train_an_epoch(hook, runner)
    assert [row["epoch"] for row in rows_of(tmp_path)] == [1, 2]


def test_a_wrapped_model_has_the_names_of_the_bare_one(tmp_path):
    class Wrapped(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, x):
            return self.module(x)

    MODEL_WRAPPERS.register_module(name="Wrapped", module=Wrapped, force=True)
    try:
        runner = run_of(tmp_path, Wrapped(network()), twos(0.5))
        hook = FiringRateHook(interval=1)
        hook.before_train(runner)
        train_an_epoch(hook, runner)
    finally:
        del MODEL_WRAPPERS._module_dict["Wrapped"]
    assert [layer["name"] for layer in rows_of(tmp_path)[0]["layers"]] == ["one", "two"]


def test_only_analog_neurons_publish_nothing(tmp_path):
    runner = run_of(tmp_path, network(), twos(0.5))
    set_path(runner.model, "analog")
    hook = FiringRateHook(interval=1)
    hook.before_train(runner)
    train_an_epoch(hook, runner)
    runner.message_hub.update_scalar.assert_not_called()
    assert not (tmp_path / "firing_rates.json").exists()


def test_a_network_without_spikes_switches_the_hook_off(tmp_path):
    runner = run_of(tmp_path, nn.Sequential(ReLUNeuron()), twos(0.5))
    hook = FiringRateHook(interval=1)
    hook.before_train(runner)
    train_an_epoch(hook, runner)
    assert "off" in runner.logger.info.call_args[0][0]
    assert not (tmp_path / "firing_rates.json").exists()


def test_a_file_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "firing_rates.json").write_text("3")
    with pytest.raises(ValueError, match=r"firing_rates\.json"):
        FiringRateHook().before_train(run_of(tmp_path, network(), []))
