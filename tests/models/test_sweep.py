"""The invariants of every registered backbone with every option, found by name."""

import copy
import inspect
import pickle

import pytest
import torch
from busy_networks import busy
from hypothesis import given
from hypothesis import strategies as st
from mmengine.model import ExponentialMovingAverage

from snnssl_mm.models.backbone import SpikingBackbone
from snnssl_mm.neurons import MixedLIF, set_path
from snnssl_mm.neurons.surrogate import DEFAULT_WIDTH
from snnssl_mm.registry import MODELS

STEPS, SAMPLES = 3, 2
BACKBONES = {
    name: kind
    for name, kind in MODELS.module_dict.items()
    if inspect.isclass(kind) and issubclass(kind, SpikingBackbone)
}
SMALL = {
    "Spikformer": dict(
        arch=dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=2), stem="cifar"
    ),
    "SpikingResNet": dict(depth=18, base_channels=8, num_stages=2, stem="cifar"),
}
"""Settings that make a backbone small; all maps end with the last."""
NEURONS = [
    *(dict(surrogate=name) for name in DEFAULT_WIDTH),
    dict(surrogate=dict(type="rectangle", width=2.0), tau=1.5),
    dict(v_reset=None),
    dict(decay_input=True, v_threshold=0.6),
    dict(detach_reset=False),
    dict(v_reset=None, detach_reset=False, surrogate="atan"),
    dict(backend="torch"),
]
COMMON = {
    "time_steps": [1, 5],
    "time_readout": ["none"],
    "neuron": NEURONS,
    "bn": ["split"],
    "frozen_stages": [0, 1],
    "norm_eval": [True],
    "with_cp": [True],
    "init_cfg": [dict(type="Kaiming", layer="Conv2d")],
}
OWN = {
    "Spikformer": {
        "arch": [dict(embed_dims=24, depth=2, num_heads=3)],
        "stem": ["imagenet"],
        "pooled": ["current"],
        "out_indices": [(0, 1, 2), (3,), (1, 3)],
    },
    "SpikingResNet": {
        "depth": [34, 50, 101],
        "shortcut": ["spiking", "ms"],
        "stem": ["imagenet"],
        "base_channels": [4],
        "num_stages": [1, 4],
        "strides": [(1, 1, 2, 2), (2, 1, 1, 1)],
        "merge": ["and", "iand"],
        "out_indices": [(0, 1), (1,)],
    },
}
"""Other values than the default of each backbone's options."""
CASES = [(name, {}) for name in BACKBONES] + [
    (name, {option: value})
    for name in BACKBONES
    for option, values in (OWN.get(name, {}) | COMMON).items()
    for value in values
]
CASES += [
    ("SpikingResNet", dict(shortcut=shortcut, **more))
    for shortcut in ("spiking", "ms")
    for more in (dict(bn="split"), dict(depth=50), dict(with_cp=True))
]


def title(value):
    """What a case is called."""
    return str(value).replace(" ", "") or "default"


def build(name, options):
    """A small backbone whose neurons fire, in eval mode."""
    torch.manual_seed(0)
    settings = {"time_steps": STEPS, **SMALL[name], **options}
    return busy(BACKBONES[name](**settings)).eval()


def valid(case):
    """Whether the options go together.

    Stages after the last map in use learn nothing, by the user's choice of
    ``num_stages`` and ``out_indices``.
    """
    name, options = case
    try:
        model = build(name, options)
    except ValueError:
        return False
    stages = options.get("num_stages", SMALL[name].get("num_stages"))
    return stages is None or max(model.out_indices) == stages - 1


def combinations(name):
    """Any options at once."""
    choices = OWN[name] | COMMON
    return st.fixed_dictionaries(
        {}, optional={key: st.sampled_from(values) for key, values in choices.items()}
    )


def pictures(model, *more, seed=1):
    """Random images as small as the backbone takes, or clips of them."""
    side = max(2 * model.stride, 8)
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*more, SAMPLES, 3, side, side, generator=generator)


def equal(maps, others):
    """Whether two sets of maps are the same to the bit."""
    return all(torch.equal(a, b) for a, b in zip(maps, others, strict=True))


def check_independence(model):
    """Of samples and of the future; the same twice; the clip of a still image."""
    model.time_readout = "none"
    clip, other = pictures(model, STEPS), pictures(model, STEPS, seed=2)
    maps = model(clip)
    assert equal(model(clip), maps)
    changed = torch.cat([clip[:, :1], other[:, 1:]], dim=1)
    assert equal([m[:, 0] for m in model(changed)], [m[:, 0] for m in maps])
    changed = torch.cat([clip[:-1], other[-1:]])
    assert equal([m[:-1] for m in model(changed)], [m[:-1] for m in maps])
    assert equal(model(clip[:1]), [m[:1] for m in maps])


def check_spikes(model):
    """Nothing analog leaves a neuron in eval mode, and maps are counts of spikes."""
    seen, hooks = [], []
    neurons = [module for module in model.modules() if isinstance(module, MixedLIF)]
    for neuron in neurons:
        hook = neuron.register_forward_hook(lambda m, i, out: seen.append(out.unique()))
        hooks.append(hook)
    with torch.no_grad():
        maps = model(pictures(model))
    used = len(seen)
    for hook in hooks:
        hook.remove()
    assert used >= len(neurons)  # blocks after the last map in use may be left out
    assert set(torch.cat(seen).tolist()) <= {0.0, 1.0}
    for m in maps:
        count = m * (model.time_steps if model.time_readout == "mean" else 1)
        torch.testing.assert_close(count, count.round(), rtol=0, atol=1e-4)


def check_layouts(model):
    """Strides of the input do not change the result."""
    image = pictures(model)
    with torch.no_grad():
        maps = model(image)
        for changed in (
            image.contiguous(memory_format=torch.channels_last),
            image.repeat_interleave(2, dim=-1)[..., ::2],
            image.transpose(-1, -2).contiguous().transpose(-1, -2),
            image[:, [2, 1, 0]].flip(1),
        ):
            assert equal(model(changed), maps)
        frames = pictures(model, STEPS)
        swapped = frames.transpose(0, 1).contiguous().transpose(0, 1)
        assert equal(model(swapped), model(frames))


def check_sizes(model):
    """Multiples of the divisor go; others are refused by name."""
    for height, width in ((1, 1), (3, 1), (1, 2)):
        sides = height * model.stride, width * model.stride
        with torch.no_grad():
            for m in model(torch.rand(1, 3, *sides)):
                assert m.isfinite().all()
    for more in (1, model.stride // 2, model.stride - 1):
        if more % model.stride:
            image = torch.rand(1, 3, model.stride + more, model.stride)
            with pytest.raises(ValueError, match=f"multiples of {model.stride}, got"):
                model(image)
    with pytest.raises(ValueError, match="0x"):
        model(torch.rand(1, 3, 0, model.stride))


def check_training(model):
    """Every parameter learns, and the network can be copied in any way."""
    set_path(model.train(), "dual")
    loss = sum(m.square().sum() for m in model(pictures(model)))
    if any(p.requires_grad for p in model.parameters()):  # not all is frozen
        loss.backward()
    without = {n for n, p in model.named_parameters() if p.grad is None}
    assert without == {n for n, p in model.named_parameters() if not p.requires_grad}
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    set_path(model.eval(), "spike")
    average = ExponentialMovingAverage(model, update_buffers=True)
    average.update_parameters(model)
    image = pictures(model, seed=3)
    with torch.no_grad():
        expected = model(image)
        for twin in (
            copy.deepcopy(model),
            pickle.loads(pickle.dumps(model)),
            average.module.eval(),
        ):
            assert equal(twin(image), expected)


def check_dtypes(model):
    """Each floating type in, the same out, and still spikes."""
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        if dtype != torch.float64 and backend_of(model) == "torch":
            continue
        twin = copy.deepcopy(model).to(dtype)
        with torch.no_grad():
            maps = twin(pictures(model).to(dtype))
        for m in maps:
            assert m.dtype == dtype
            assert m.isfinite().all()


def backend_of(model):
    """Of its first neuron."""
    return next(m.backend for m in model.modules() if isinstance(m, MixedLIF))


CHECKS = (
    check_independence,
    check_spikes,
    check_layouts,
    check_sizes,
    check_training,
    check_dtypes,
)


def about(options):
    """The checks that an option may matter for."""
    of_neurons = (check_independence, check_spikes, check_training)
    return of_neurons if "neuron" in options else CHECKS


@pytest.mark.parametrize(
    ("name", "options", "check"),
    [(*case, check) for case in CASES for check in about(case[1])],
    ids=lambda value: getattr(value, "__name__", title(value)),
)
def test_one_option(name, options, check):
    check(build(name, options))


@pytest.mark.parametrize("name", BACKBONES)
@given(data=st.data())
def test_many_options(name, data):
    options = data.draw(combinations(name).filter(lambda o: valid((name, o))))
    data.draw(st.sampled_from(CHECKS))(build(name, options))


def test_no_backbone_and_no_option_is_forgotten():
    assert set(BACKBONES) == set(SMALL) == set(OWN) >= {"Spikformer", "SpikingResNet"}
    for name, kind in BACKBONES.items():
        assert set(inspect.signature(kind).parameters) == set(OWN[name] | COMMON)


@pytest.mark.parametrize("name", BACKBONES)
def test_the_checks_can_fail(name):
    """On the analog path, and with statistics of the batch."""
    model = build(name, {})
    maps = model(pictures(model))
    assert all(0.01 < (m > 0).float().mean() < 1 for m in maps)
    set_path(model, "analog")
    with pytest.raises(AssertionError):
        check_spikes(model)
    model = build(name, {})
    model.train = lambda mode=True: model  # stays as it is
    for module in model.modules():
        module.training = True
    with pytest.raises(AssertionError):
        check_independence(model)
