"""The invariants of every registered backbone with every option, found by name."""

import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_backbones import BACKBONES, SMALL

from snnssl_mm.neurons.surrogate import DEFAULT_WIDTH
from snnssl_mm.testing import INVARIANTS, check_backbone
from snnssl_mm.testing.subject import Subject, compute_maps

STEPS = 3
NEURONS = [
    *(dict(surrogate=name) for name in DEFAULT_WIDTH),
    dict(surrogate=dict(type="rectangle", width=2.0), tau=1.5),
    dict(v_reset=None),
    dict(decay_input=True, v_threshold=0.6),
    dict(detach_reset=False),
    dict(v_reset=None, detach_reset=False),
    dict(backend="torch"),
]
COMMON = {
    "time_steps": [1, 5],
    "time_readout": ["none"],
    "in_channels": [2],
    "neuron": NEURONS,
    "bn": ["per_view"],
    "frozen_stages": [0, 1],
    "norm_eval": [True],
    "with_cp": [True],
    "init_cfg": [dict(type="Kaiming", layer="Conv2d")],
}
MEMBRANE = {
    "output": ["spikes"],
    "out_indices": [(0, 1, 2), (3,), (1, 3)],
}
OWN = {
    "Spikformer": {
        "arch": [dict(embed_dims=24, depth=2, num_heads=3)],
        "stem": ["imagenet"],
        "pooled": ["current"],
        "attention_scale": ["auto"],
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
    "SpikeDrivenTransformer": {
        **MEMBRANE,
        "arch": [dict(embed_dims=24, depth=2, mlp_ratio=1)],
        "stem": ["imagenet"],
    },
    "Spikingformer": {
        **MEMBRANE,
        "arch": [dict(embed_dims=24, depth=2, num_heads=3)],
        "attention_scale": ["auto"],
    },
    "MaxFormer": {
        **MEMBRANE,
        "arch": [dict(embed_dims=24, depths=(1, 2, 2), num_heads=3, mlp_ratio=1)],
        "attention_scale": ["auto"],
        "attention": ["spikes"],
    },
    "QKFormer": {
        "arch": [dict(embed_dims=24, depths=(1, 2, 2), num_heads=3)],
        "attention_scale": ["auto"],
        "out_indices": [(0, 1, 2), (3,), (1, 3)],
    },
    "MetaSpikeFormer": {
        **MEMBRANE,
        "arch": [dict(embed_dims=(4, 6, 8, 12), num_heads=4, depths=(2, 1))],
        "attention_scale": ["auto"],
        "out_indices": [(0, 1, 2, 3), (3,), (1, 4)],
    },
    "ESpikeFormer": {
        **MEMBRANE,
        "arch": [dict(embed_dims=(4, 6, 8, 12), num_heads=4, depths=(2, 1))],
        "attention_scale": [0.125, "auto"],
        "out_indices": [(0, 1, 2, 3), (3,), (1, 4)],
        "neuron": [
            dict(levels=8),
            dict(normalize=False),
            dict(tau=2.0, detach_reset=False),
            dict(type="snnssl_mm.MixedLIF"),
        ],
    },
}
"""Other values than the default of each backbone's options."""
CASES = [(name, {}) for name in BACKBONES] + [
    (name, {option: value})
    for name in BACKBONES
    for option, values in (COMMON | OWN.get(name, {})).items()
    for value in values
]
CASES += [
    ("SpikingResNet", dict(shortcut=shortcut, **more))
    for shortcut in ("spiking", "ms")
    for more in (dict(bn="per_view"), dict(depth=50), dict(with_cp=True))
]


def title(value):
    """What a case is called."""
    return str(value).replace(" ", "") or "default"


def factory(name, options):
    """What builds a small backbone."""
    settings = {"time_steps": STEPS, **SMALL[name], **options}
    return lambda: BACKBONES[name](**settings)


def valid(case):
    """Whether the options go together.

    Stages after the last map in use learn nothing, by the user's choice of
    ``num_stages`` and ``out_indices``.
    """
    name, options = case
    try:
        model = factory(name, options)()
    except ValueError:
        return False
    stages = options.get("num_stages", SMALL[name].get("num_stages"))
    return stages is None or max(model.out_indices) == stages - 1


def combinations(name):
    """Any options at once."""
    choices = COMMON | OWN[name]
    return st.fixed_dictionaries(
        {}, optional={key: st.sampled_from(values) for key, values in choices.items()}
    )


OF_NEURONS = (
    "batch_independence",
    "time_causality",
    "statelessness",
    "binary_spikes",
    "neuron_paths",
    "gradients_and_copies",
)
"""The invariants that an option of the neurons may matter for."""
OF_ANY = tuple(name for name in INVARIANTS if name != "activity")
"""Some options silence such small networks, such as one time step or merge='and'."""


@pytest.mark.parametrize(("name", "options"), CASES, ids=title)
def test_one_option(name, options):
    matters = OF_NEURONS if "neuron" in options else OF_ANY
    check_backbone(
        factory(name, options),
        in_channels=options.get("in_channels", 3),
        invariants=matters if options else None,
    )


@pytest.mark.parametrize("name", BACKBONES)
@given(data=st.data())
def test_many_options(name, data):
    options = data.draw(combinations(name).filter(lambda o: valid((name, o))))
    invariant = data.draw(st.sampled_from(OF_ANY))
    channels = options.get("in_channels", 3)
    check_backbone(factory(name, options), in_channels=channels, invariants=[invariant])


@pytest.mark.parametrize("name", BACKBONES)
def test_folded_frames_are_the_clip(name):
    """A clip that passed a stock pipeline as an image gives the maps of the clip."""
    subject = Subject(factory(name, dict(in_channels=2)), in_channels=2)
    model = subject.build()
    clip = subject.images(model, STEPS)
    image = clip.transpose(0, 1).flatten(1, 2)  # [N, T C, H, W]
    maps, expected = compute_maps(model, image), compute_maps(model, clip)
    assert any(m.any() for m in maps)
    assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True))


def test_no_backbone_and_no_option_is_forgotten():
    assert set(BACKBONES) == set(SMALL) == set(OWN) >= {"Spikformer", "SpikingResNet"}
    for name, kind in BACKBONES.items():
        assert set(inspect.signature(kind).parameters) == set(OWN[name] | COMMON)


@pytest.mark.parametrize("name", BACKBONES)
def test_sizes_that_do_not_fit_are_refused(name):
    """Not padded: that is the data preprocessor's task."""
    model = factory(name, {})()
    if model.any_size:
        pytest.skip("takes any size")
    for height in (0, 1, model.stride + 1):
        with pytest.raises(ValueError, match=f"{height}x{model.stride}"):
            model(torch.rand(1, 3, height, model.stride))
