"""A run resumes with the schedule of its checkpoint, or with a rebuilt one."""

import math
import shutil

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import BatchSampler
from toy_runs import loader, toy_run

from snnssl_mm.checkpoints.resume_schedule import ScheduleError
from snnssl_mm.checkpoints.resuming import CheckpointError

RATE, LOWEST = 0.1, 0.01
COSINE = dict(type="CosineAnnealingLR", eta_min=LOWEST)
WARM_UP = [
    dict(type="LinearLR", start_factor=0.1, end=1, convert_to_iter_based=True),
    dict(COSINE, begin=1, convert_to_iter_based=True),
    dict(type="CosineAnnealingMomentum", eta_min=0.5, by_epoch=False),
]
BUILD = Runner.build_optim_wrapper
REBUILD = dict(resume_schedule="rebuild")


class Rates(Hook):
    """Record epoch, iteration, learning rate and momentum before each step."""

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        group = runner.optim_wrapper.param_groups[0]
        place = runner.epoch, runner.iter
        self.seen.append((*place, group["lr"], *group.get("betas", ())))


def epochs(number):
    return dict(by_epoch=True, max_epochs=number)


def iterations(number):
    return dict(type="IterBasedTrainLoop", max_iters=number)


def train(folder, length, schedule=COSINE, batch=2, **more):
    """Train on 8 images; return what was seen before each step."""
    rates = Rates()
    by_epoch = "max_epochs" in length
    saving = dict(interval=1 if by_epoch else 2, by_epoch=by_epoch)
    data = dict(loader(), batch_size=batch)
    cfg = {"train_dataloader": dict(batch_size=batch), **more.pop("cfg", {})}
    options = dict(param_scheduler=schedule, cfg=cfg, **more)
    toy_run(folder, data, length, saving, [rates], **options)
    return rates.seen


def cosine(part):
    return LOWEST + (RATE - LOWEST) * (1 + math.cos(math.pi * part)) / 2


@pytest.fixture(scope="module")
def half_done(tmp_path_factory):
    """Folder of a run of 4 epochs of 4 iterations that stopped in its third."""
    folder = tmp_path_factory.mktemp("half")
    train(folder, epochs(4), stop_at=10)
    return folder


@pytest.fixture
def folder(half_done, tmp_path):
    shutil.copytree(half_done, tmp_path / "run")
    folder = tmp_path / "run"
    (folder / "last_checkpoint").write_text(str(folder / "epoch_2.pth"))
    return folder


CHANGES = {
    "batch size": (dict(batch=4), r"batch size.* 2\b.* 4\b.*iterations per epoch"),
    "longer": (dict(length=epochs(6)), r"epochs.* 4\b.* 6\b.*T_max.* 4\b.* 6\b"),
    "lowest rate": (dict(schedule=dict(COSINE, eta_min=0.0)), r"eta_min.* 0\.01\b.* 0"),
    "none": (dict(schedule=None), r"param_scheduler\[0\]"),
    "more": (dict(schedule=WARM_UP), r"param_scheduler\[1\]"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_schedule_is_refused_with_both_values(folder, change):
    options, message = CHANGES[change]
    with pytest.raises(ScheduleError, match=message) as caught:
        train(folder, **{"length": epochs(4), **options}, resume=True)
    assert isinstance(caught.value, CheckpointError)
    assert "--resume-schedule rebuild" in str(caught.value)


@pytest.mark.parametrize("key", ["lr", "weight_decay", "betas"])
def test_changed_hyperparameters_are_refused(folder, monkeypatch, key):
    changed = {"lr": 0.2, "weight_decay": 0.3, "betas": (0.8, 0.9)}[key]
    build = Runner.build_optim_wrapper

    def other(self, wrapper):
        if isinstance(wrapper, dict):
            wrapper["optimizer"][key] = changed
        return build(self, wrapper)

    monkeypatch.setattr(Runner, "build_optim_wrapper", other)
    with pytest.raises(ScheduleError) as caught:
        train(folder, epochs(4), resume=True)
    assert key in str(caught.value)
    assert str(changed) in str(caught.value)


def test_the_number_of_processes_may_change_with_the_same_global_batch(folder):
    """Written by two processes with one image each, resumed by one with two."""
    file = folder / "epoch_2.pth"
    checkpoint = torch.load(file, weights_only=False)
    checkpoint["random_states"] *= 2
    torch.save(checkpoint, file)
    with pytest.raises(ScheduleError, match=r"batch size.* 4\b.* 2\b"):
        train(folder, epochs(4), resume=True)
    checkpoint["meta"]["cfg"] = "train_dataloader = dict(batch_size=1)"
    torch.save(checkpoint, file)
    assert train(folder, epochs(4), resume=True)


def test_what_the_schedule_does_not_depend_on_may_change(folder):
    loaders = dict(train_dataloader=dict(batch_size=2, num_workers=3))
    seen = train(folder, epochs(4), resume=True, cfg=dict(loaders, log_level="INFO"))
    assert seen[0][:2] == (2, 8)


@pytest.mark.parametrize(("batch", "length"), [(4, 4), (1, 4), (2, 7), (4, 3)])
def test_rebuilt_cosine_is_that_of_the_new_length(folder, batch, length):
    seen = train(folder, epochs(length), batch=batch, resume=True, cfg=REBUILD)
    per_epoch = 8 // batch
    assert [s[:2] for s in seen] == [
        (i // per_epoch, i) for i in range(2 * per_epoch, length * per_epoch)
    ]
    for epoch, _, rate, *_ in seen:
        assert rate == pytest.approx(cosine(epoch / length))
    file = folder / f"epoch_{length}.pth"
    meta = torch.load(file, weights_only=False)["meta"]
    assert (meta["epoch"], meta["iter"]) == (length, length * per_epoch)


def test_rebuilt_schedules_are_those_of_an_uninterrupted_run(folder, tmp_path):
    """Warm-up, cosine and momentum by iteration, in place of a cosine by epoch."""
    options = dict(length=epochs(5), schedule=WARM_UP, batch=4)
    expected = train(tmp_path / "uninterrupted", **options)[4:]
    seen = train(folder, **options, resume=True, cfg=REBUILD)
    assert [s[:2] for s in seen] == [s[:2] for s in expected]
    for one, other in zip(seen, expected, strict=True):
        assert one == pytest.approx(other)
    train(folder, **options, resume=True)  # its checkpoint now has this schedule


def test_training_by_iterations_stays_at_its_iteration(tmp_path):
    schedule = dict(COSINE, by_epoch=False)
    train(tmp_path, iterations(8), schedule, stop_at=5)
    with pytest.raises(ScheduleError, match=r"iterations.* 8\b.* 16\b"):
        train(tmp_path, iterations(16), schedule, resume=True)
    with pytest.raises(ScheduleError, match=r" 3 iterations.* 4\b"):
        train(tmp_path, iterations(3), schedule, resume=True, cfg=REBUILD)
    seen = train(tmp_path, iterations(16), schedule, resume=True, cfg=REBUILD)
    assert [place for _, place, *_ in seen] == [*range(4, 16)]
    for _, place, rate, *_ in seen:
        assert rate == pytest.approx(cosine(place / 16))


def optimizing(monkeypatch, **settings):
    """Give toy runs another optimizer; return the config entry for checkpoints."""

    def other(self, wrapper):
        if isinstance(wrapper, dict):
            wrapper["optimizer"] = dict(settings)
        return BUILD(self, wrapper)

    monkeypatch.setattr(Runner, "build_optim_wrapper", other)
    return dict(optim_wrapper=dict(optimizer=settings))


@pytest.mark.parametrize(
    ("first", "then", "text"),
    [
        (dict(type="Adam"), dict(type="AdamW"), r"optimizer.* Adam\b.* AdamW\b"),
        (
            dict(type="SGD", momentum=0.9),
            dict(type="Adam"),
            r"optimizer.* SGD\b.* Adam",
        ),
        (dict(type="Adam"), dict(type="Adam", amsgrad=True), "amsgrad.* False.* True"),
    ],
)
def test_another_optimizer_is_refused_or_rebuilt(
    tmp_path, monkeypatch, first, then, text
):
    cfg = optimizing(monkeypatch, lr=0.1, **first)
    train(tmp_path, epochs(4), stop_at=10, cfg=cfg)
    cfg = optimizing(monkeypatch, lr=0.1, **then)
    with pytest.raises(ScheduleError, match=text):
        train(tmp_path, epochs(4), resume=True, cfg=cfg)
    seen = train(tmp_path, epochs(4), resume=True, cfg={**cfg, **REBUILD})
    rates = [rate for _, _, rate, *_ in seen[::4]]
    assert rates == pytest.approx([cosine(0.5), cosine(0.75)])


def test_batch_size_of_a_batch_sampler_counts(tmp_path):
    """8 images in batches of 5 or 6 are two iterations an epoch."""

    def run(batch, **more):
        sampler = dict(type=BatchSampler, batch_size=batch, drop_last=False)
        data = dict(loader(), batch_size=batch, batch_sampler=sampler)
        cfg = dict(train_dataloader=dict(batch_size=batch))
        saving = dict(interval=1)
        return toy_run(tmp_path, data, epochs(3), saving, cfg=cfg, **more)

    run(5, stop_at=4)
    with pytest.raises(ScheduleError, match=r"batch size.* 5\b.* 6\b"):
        run(6, resume=True)


def test_a_training_by_iterations_is_not_counted_in_epochs(tmp_path):
    train(tmp_path, iterations(8), dict(COSINE, by_epoch=False), stop_at=5)
    with pytest.raises(ScheduleError, match="IterBasedTrainLoop"):
        train(tmp_path, epochs(4), resume=True, cfg=REBUILD)


def test_another_model_or_preprocessing_is_refused(folder):
    file = folder / "epoch_2.pth"
    checkpoint = torch.load(file, weights_only=False)
    pixels = dict(data_preprocessor=dict(mean=[1.0], std=[2.0]))
    checkpoint["meta"]["cfg"] = f"model = {pixels!r}"
    torch.save(checkpoint, file)
    cfg = dict(model=dict(data_preprocessor=dict(mean=[9.0], std=[2.0])))
    with pytest.raises(CheckpointError, match="mean"):
        train(folder, epochs(4), resume=True, cfg=cfg)
    checkpoint["state_dict"]["layer.weight"] = torch.zeros(3, 4)
    torch.save(checkpoint, file)
    with pytest.raises(CheckpointError, match=r"\(3, 4\).*\(2, 4\)"):
        train(folder, epochs(4), resume=True)
