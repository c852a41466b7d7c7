"""Sizes, strides, outputs, freezing and checkpointing of membrane-shortcut networks."""

import copy
from itertools import pairwise

import pytest
import torch

from snnssl_mm import models
from snnssl_mm.models.batch_norm import set_views
from snnssl_mm.models.membrane_shortcut.e_spike_former import E_ARCHS
from snnssl_mm.models.membrane_shortcut.max_former import MAXFORMER_ARCHS
from snnssl_mm.models.membrane_shortcut.meta_spike_former import META_ARCHS
from snnssl_mm.models.membrane_shortcut.spike_driven_transformer import SDT_ARCHS
from snnssl_mm.models.membrane_shortcut.spikingformer import SPIKINGFORMER_ARCHS
from snnssl_mm.neurons import MixedNeuron, set_path
from snnssl_mm.registry import MODELS
from snnssl_mm.testing import randomize_norms

# Millions of parameters: of the backbone, and of it with its head of 1,000 classes.
PARAMETERS = {
    ("SpikeDrivenTransformer", "8-384"): (16.432, 16.817),
    ("SpikeDrivenTransformer", "6-512"): (22.861, 23.374),
    ("SpikeDrivenTransformer", "8-512"): (29.177, 29.690),
    ("SpikeDrivenTransformer", "10-512"): (35.493, 36.006),
    ("SpikeDrivenTransformer", "8-768"): (65.570, 66.339),
    ("Spikingformer", "8-384"): (16.431, 16.816),
    ("Spikingformer", "8-512"): (29.176, 29.689),
    ("Spikingformer", "8-768"): (65.570, 66.339),
    ("MaxFormer", "10-384"): (15.852, 16.237),
    ("MaxFormer", "10-512"): (28.140, 28.653),
    ("MaxFormer", "10-768"): (63.223, 63.992),
    ("MetaSpikeFormer", "15M"): (14.751, 15.112),
    ("MetaSpikeFormer", "31M"): (30.853, 31.334),
    ("MetaSpikeFormer", "55M"): (54.709, 55.350),
    ("ESpikeFormer", "T"): (2.573, 2.702),
    ("ESpikeFormer", "5M"): (4.913, 5.106),
    ("ESpikeFormer", "10M"): (9.782, 10.023),
    ("ESpikeFormer", "19M"): (18.627, 18.988),
}
ARCHS = {
    "SpikeDrivenTransformer": SDT_ARCHS,
    "Spikingformer": SPIKINGFORMER_ARCHS,
    "MaxFormer": MAXFORMER_ARCHS,
    "MetaSpikeFormer": META_ARCHS,
    "ESpikeFormer": E_ARCHS,
}
SMALL = {
    "SpikeDrivenTransformer": dict(embed_dims=16, depth=2),
    "Spikingformer": dict(embed_dims=16, depth=2, num_heads=2),
    "MaxFormer": dict(embed_dims=32, depths=(1, 2, 1)),
    "MetaSpikeFormer": dict(embed_dims=(8, 8, 16, 24), depths=(2, 1)),
    "ESpikeFormer": dict(embed_dims=(8, 8, 16, 24), depths=(2, 1)),
}
STAGED = ("MetaSpikeFormer", "ESpikeFormer")
STEPS = 3
every = pytest.mark.parametrize("name", SMALL)


def small(name, **options):
    torch.manual_seed(0)
    model = getattr(models, name)(SMALL[name], **{"time_steps": STEPS, **options})
    return randomize_norms(model, weight=(0.8, 1.8), bias=(0.1, 1.0))


def images(*leading, side=32, channels=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(4)
    return torch.rand(*leading, 2, channels, side, side, generator=generator).to(dtype)


def last(name):
    """Index of the map that the network's own classifier gets."""
    return 4 if name in STAGED else 2


@pytest.mark.parametrize(("name", "arch"), PARAMETERS)
def test_parameter_counts(name, arch):
    """Those of SDT-V1 in the tables have h x h numbers a block that are never used."""
    with torch.device("meta"):
        model = getattr(models, name)(arch)
        channels = model.channels[last(name)]
        head = models.SpikingLinearClsHead(1000, channels)
    counts = [sum(p.numel() for p in part.parameters()) for part in (model, head)]
    unused = 8 * 8 * len(model.blocks) if name == "SpikeDrivenTransformer" else 0
    backbone, both = PARAMETERS[name, arch]
    assert counts[0] / 1e6 == pytest.approx(backbone, abs=1e-3)
    assert round((counts[0] + unused) / 1e6, 3) == backbone
    assert (sum(counts) + unused) / 1e6 == pytest.approx(both, abs=1e-3)


def test_every_published_size_is_counted():
    assert set(PARAMETERS) == {(n, a) for n, archs in ARCHS.items() for a in archs}


@every
@torch.no_grad()
def test_strides_are_those_of_the_pixels(name):
    """Measured: a pixel moves the maps' responses by its distance over the stride."""
    model = small(name, out_indices=(0, 1, 2, 3), time_steps=1).double().eval()
    image = torch.zeros(1, 3, 64, 128, dtype=torch.float64)
    patch = 40 * torch.randn(3, 4, 4, dtype=torch.float64)
    empty = model(image)
    for m, stride, channels in zip(empty, (4, 8, 16, 32), model.channels, strict=False):
        assert m.shape == (1, channels, 64 // stride, 128 // stride)
    for index, stride in enumerate((4, 8)):  # attention sees the image everywhere
        places = []
        for column in (32, 64, 96):
            marked = image.clone()
            marked[..., 30:34, column : column + 4] = patch
            change = (model(marked)[index] - empty[index]).abs().sum((0, 1, 2))
            centre = (change * torch.arange(len(change))).sum() / change.sum()
            places.append(float(centre))
        steps = [b - a for a, b in pairwise(places)]
        assert steps == pytest.approx([32 / stride] * 2, abs=0.6)


@every
@torch.no_grad()
def test_spikes_are_what_one_more_neuron_makes_of_currents(name):
    indices = (0, 1, last(name))
    currents = small(name, out_indices=indices, time_readout="none").double().eval()
    model = small(
        name, out_indices=indices, time_readout="none", output="spikes"
    ).double()
    maps = model.eval()(images())
    for spikes, m, neuron in zip(
        maps, currents(images()), model.out_neurons, strict=True
    ):
        assert torch.equal(spikes, neuron(m))
    assert 0 < torch.stack([m.mean() for m in maps]).mean() < 1


@every
@torch.no_grad()
def test_still_images_equal_constant_clips(name):
    model = small(name, time_readout="none").double().eval()
    image = images()
    clip = image.expand(STEPS, *image.shape)
    torch.testing.assert_close(model(image)[0], model(clip)[0], rtol=0, atol=1e-12)


@every
@torch.no_grad()
def test_fused_kernels_compute_the_reference(name):
    model = small(name, time_readout="none").eval()
    expected = copy.deepcopy(model).double()(images())[0].float()
    found = model(images(dtype=torch.float32))[0]
    close = torch.isclose(found, expected, rtol=0, atol=1e-3)
    assert close.float().mean() > 0.99  # a spike within rounding of the threshold


@every
@torch.no_grad()
def test_events_of_two_polarities(name):
    model = small(name, in_channels=2).eval()
    clip = images(STEPS, channels=2, dtype=torch.float32)
    assert model(clip)[0].isfinite().all()
    with pytest.raises(ValueError, match=r"\[N, 2, H, W\]"):
        model(images(dtype=torch.float32))


def step(model, x, path):
    set_path(model.train(), path)
    set_views(model, 2 if path == "dual" else 1)
    maps = model(x)
    sum(m.square().sum() for m in maps).backward()
    return maps, {name: p.grad for name, p in model.named_parameters()}


@every
@pytest.mark.parametrize(("path", "bn"), [("spike", "joint"), ("dual", "per_view")])
def test_checkpointing_changes_nothing(name, path, bn):
    """Nor where a layer uses running statistics in training, as RepConv does."""
    indices = (1, 3, last(name))
    options = dict(bn=bn, out_indices=indices)
    plain, checkpointed = (small(name, with_cp=cp, **options) for cp in (False, True))
    plain, checkpointed = plain.double(), checkpointed.double()
    x = images()
    for _ in range(2):
        expected, gradients = step(plain, x, path)
        outputs, found = step(checkpointed, x, path)
        for ours, other in zip(outputs, expected, strict=True):
            assert torch.equal(ours, other)
        for key, gradient in gradients.items():
            torch.testing.assert_close(found[key], gradient, rtol=0, atol=0)
    for key, tensor in plain.state_dict().items():
        assert torch.equal(checkpointed.state_dict()[key], tensor), key


@every
def test_all_of_them_can_be_pretrained_by_two_paths(name):
    side = 32
    model = MODELS.build(
        dict(
            type="snnssl_mm.DualPathSSL",
            backbone=dict(
                type=f"snnssl_mm.{name}",
                arch=SMALL[name],
                time_steps=2,
                bn="per_view",
            ),
            neck=dict(
                type="mmpretrain.NonLinearNeck",
                in_channels=getattr(models, name)(SMALL[name]).channels[-1],
                hid_channels=16,
                out_channels=16,
                norm_cfg=dict(type="BN1d"),
            ),
            head=dict(
                type="snnssl_mm.TemporalLossHead",
                loss=dict(type="snnssl_mm.CrossTemporalLoss"),
            ),
        )
    ).train()
    randomize_norms(model.backbone)
    paths = {n.path for n in model.modules() if isinstance(n, MixedNeuron)}
    assert paths == {"dual"}
    views = [torch.rand(4, 3, side, side) for _ in range(2)]
    model.loss(views)["loss"].backward()
    gradients = [p.grad for p in model.backbone.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert sum(float(g.abs().sum()) for g in gradients) > 0
    model.eval()
    assert {n.path for n in model.modules() if isinstance(n, MixedNeuron)} == {"spike"}


@every
def test_layers_are_frozen_from_the_input_on(name):
    model = small(name)
    layers = model.layer_names
    everything = {n for n, _ in model.named_parameters()}
    covered = {
        n for n in everything if model.get_layer_depth(n)[0] < len(model.layer_names)
    }
    assert covered == everything
    depths = [model.get_layer_depth(n)[0] for n in sorted(everything)]
    assert set(depths) == set(range(len(layers)))
    for frozen in range(-1, len(layers)):
        model = small(name, frozen_stages=frozen).train()
        for key, parameter in model.named_parameters():
            assert parameter.requires_grad == (model.get_layer_depth(key)[0] > frozen)
    with pytest.raises(ValueError, match=str(len(layers))):
        small(name, frozen_stages=len(layers))


@every
def test_wrong_settings_are_refused(name):
    kind = getattr(models, name)
    with pytest.raises(ValueError, match="'9-1'"):
        kind("9-1")
    with pytest.raises(ValueError, match="colour"):
        kind({**SMALL[name], "colour": 3})
    with pytest.raises(ValueError, match="embed_dims"):
        kind({k: v for k, v in SMALL[name].items() if k != "embed_dims"})
    with pytest.raises(ValueError, match="multiple|embed_dims"):
        kind({**SMALL[name], "embed_dims": 7 if name not in STAGED else (7, 8, 9, 9)})
    for option in (dict(output="rates"), dict(in_channels=0), dict(out_indices=(7,))):
        with pytest.raises(ValueError, match=next(iter(option))):
            kind(SMALL[name], **option)


def test_sides_that_the_stride_does_not_divide():
    for name in SMALL:
        model = small(name).eval()
        if name in STAGED:
            shape = model(images(side=33, dtype=torch.float32))[0].shape
            assert shape[-2:] == (3, 3)
        else:
            with pytest.raises(ValueError, match="16.*33x33"):
                model(images(side=33, dtype=torch.float32))


@every
@torch.no_grad()
def test_stock_pyramids_take_the_four_maps(name):
    model = small(name, out_indices=(0, 1, 2, 3), time_steps=1).eval()
    channels = [model.channels[index] for index in model.out_indices]
    neck = MODELS.build(
        dict(type="mmdet.FPN", in_channels=channels, out_channels=8, num_outs=5)
    )
    maps = neck(model(images(side=64, dtype=torch.float32)))
    assert [m.shape[-1] for m in maps] == [16, 8, 4, 2, 1]
