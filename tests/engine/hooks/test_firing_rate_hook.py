"""A dead layer ends a training, after the epoch's checkpoint; compiled models count."""

import json

import pytest
import torch
from mmengine.model import BaseModel
from toy_runs import loader, toy_run

from snnssl_mm.engine.guards.training_stopped import TrainingStopped
from snnssl_mm.neurons import MixedLIF

HOOK = dict(type="snnssl_mm.FiringRateHook", interval=1)


class Neuron(MixedLIF):
    """A neuron that counts its calls that were not compiled."""

    eager = 0

    def forward(self, *args):
        if not torch.compiler.is_compiling():
            self.eager += 1
        return super().forward(*args)


class Spiking(BaseModel):
    """A layer of neurons behind a linear one."""

    def __init__(self, v_threshold=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 8)
        self.neuron = Neuron(v_threshold=v_threshold, backend="torch")

    def forward(self, inputs, mode):
        x = torch.stack(list(inputs))
        return {"loss": self.neuron(10 * self.layer(x).unsqueeze(0)).sum()}


BY_EPOCH = (dict(by_epoch=True, max_epochs=2), dict(interval=1), "epoch_1.pth")
IN_THE_LAST = (dict(by_epoch=True, max_epochs=1), dict(interval=1), "epoch_1.pth")
BY_ITERATION = (
    dict(type="IterBasedTrainLoop", max_iters=3),
    dict(interval=3, by_epoch=False),
    "iter_3.pth",
)


@pytest.mark.parametrize(
    ("train_cfg", "checkpoint", "file"),
    [BY_EPOCH, IN_THE_LAST, BY_ITERATION],
    ids=["by_epoch", "in_the_last", "by_iteration"],
)
def test_a_dead_layer_ends_training_after_the_checkpoint(
    tmp_path, train_cfg, checkpoint, file
):
    by_epoch = file.startswith("epoch")
    data = loader(sampler="DefaultSampler" if by_epoch else "InfiniteSampler")
    hooks, model = [dict(HOOK, stop=True)], Spiking(v_threshold=1e6)
    with pytest.raises(TrainingStopped):
        toy_run(tmp_path, data, train_cfg, checkpoint, hooks, model=model)
    assert [found.name for found in tmp_path.glob("*.pth")] == [file]


def test_measured_iterations_of_a_compiled_model_run_eagerly(tmp_path):
    model = Spiking()
    model.neuron.compile(backend="eager")  # as the whole step is, but in less time
    toy_run(
        tmp_path,
        loader(),
        dict(by_epoch=True, max_epochs=1),
        dict(interval=1),
        [dict(HOOK, interval=3)],  # of four iterations, the third and the last
        model=model,
    )
    (row,) = json.loads((tmp_path / "firing_rates.json").read_text())["rows"]
    assert row["images"] == 4
    assert 0 < row["layers"][0]["rates"][0] < 1
    assert model.neuron.eager == 2
