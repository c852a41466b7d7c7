"""Stock necks and heads with neurons: the stock numbers, spikes, and time."""

import copy
import pickle

import mmdet.models as det
import mmseg.models as seg
import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData
from torch import nn

import snnssl_mm.models as spiking
from snnssl_mm.models.dense_prediction.firing import LevelNorms
from snnssl_mm.neurons import MixedLIF

ANCHORS = dict(
    type="AnchorGenerator", scales=[2], ratios=[0.5, 1.0], strides=[4, 8, 16]
)
DENSE = dict(num_classes=3, in_channels=8, feat_channels=8, stacked_convs=2)
DECODE = dict(in_channels=[8] * 3, in_index=[0, 1, 2], channels=8, num_classes=3)
BOXES = dict(in_channels=8, roi_feat_size=3, fc_out_channels=8, num_classes=3)
SMALL_NORM = dict(type="GN", num_groups=2)
HEADS = {
    "RPNHead": (det, dict(in_channels=8, feat_channels=8, anchor_generator=ANCHORS)),
    "RetinaHead": (det, dict(DENSE, anchor_generator=ANCHORS)),
    "RetinaSepBNHead": (det, dict(DENSE, num_ins=3, anchor_generator=ANCHORS)),
    "FCOSHead": (det, dict(DENSE, strides=[4, 8, 16], norm_cfg=None)),
    "ATSSHead": (
        det,
        dict(DENSE, norm_cfg=None, anchor_generator=dict(ANCHORS, ratios=[1.0])),
    ),
    "FPNHead": (seg, dict(DECODE, feature_strides=[4, 8, 16])),
    "FCNHead": (seg, dict(in_channels=8, in_index=0, channels=8, num_classes=3)),
    "UPerHead": (seg, dict(DECODE, pool_scales=(1, 2))),
    "Shared2FCBBoxHead": (det, dict(BOXES)),
    "ConvFCBBoxHead": (
        det,
        dict(BOXES, num_cls_convs=1, num_cls_fcs=1, num_reg_convs=1, num_reg_fcs=1),
    ),
    "FCNMaskHead": (
        det,
        dict(num_convs=1, in_channels=8, conv_out_channels=8, num_classes=3),
    ),
}
REGIONS = ("Shared2FCBBoxHead", "ConvFCBBoxHead", "FCNMaskHead")
FPN = dict(type="mmdet.FPN", in_channels=[8, 16, 16], out_channels=8, num_outs=3)
NECKS = {
    "FPN": FPN,
    "PAFPN": {**FPN, "type": "mmdet.PAFPN"},
    "ChannelMapper": dict(
        type="mmdet.ChannelMapper",
        in_channels=[8, 16, 16],
        out_channels=8,
        norm_cfg=SMALL_NORM,
    ),
    "mmseg FPN": {**FPN, "type": "mmseg.FPN"},
}
SINGLE = {
    "SimpleFeaturePyramid": dict(
        type="snnssl_mm.SimpleFeaturePyramid", in_channels=8, out_channels=8
    ),
    "Feature2Pyramid": dict(
        type="mmseg.Feature2Pyramid",
        embed_dim=8,
        norm_cfg=dict(type="BN"),
    ),
}


@pytest.fixture(autouse=True)
def seeded():
    """Same weights in every test."""
    torch.manual_seed(0)
    init_default_scope("mmdet")


def build(name, **options):
    """Build a spiking head by the name of its stock class."""
    kwargs = copy.deepcopy(HEADS[name][1])
    head = getattr(spiking, f"Spiking{name}")(**kwargs, **options)
    head.init_weights()
    return head


def spikes(time_steps=3, samples=2, channels=(8, 8, 8)):
    """Return maps [T, N, C, H, W] of spikes at three strides."""
    return [
        (torch.rand(time_steps, samples, c, side, side) < 0.3).float()
        for c, side in zip(channels, (16, 8, 4), strict=True)
    ]


def inputs_of(name, time_steps=3, samples=2):
    """Return an input of a head: maps, or features of RoIs [K, T, C, h, w]."""
    if name in REGIONS:
        return (torch.rand(samples, time_steps, 8, 3, 3) < 0.3).float()
    return spikes(time_steps, samples)


def channels_last(maps):
    """Return maps [T, N, C, H, W] in the order in which the CPU convolves."""
    frames = maps.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return frames.unflatten(0, maps.shape[:2])


def tensors(outputs):
    """Return all tensors of a nested output."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [tensor for one in outputs for tensor in tensors(one)]


def nearest(module):
    """Make the upsampling layers of a stock head nearest."""
    for child in module.modules():
        if hasattr(child, "align_corners") and hasattr(child, "mode"):
            child.mode, child.align_corners = "nearest", None
    return module


@pytest.mark.parametrize("name", HEADS)
def test_is_the_stock_head_without_spikes(name):
    """One time step, ReLU and no norm: the stock class with the stock numbers."""
    library, kwargs = HEADS[name]
    stock_class = getattr(library, name)
    stock = nearest(stock_class(**copy.deepcopy(kwargs))).eval()
    relu = dict(type="snnssl_mm.ReLUNeuron")
    head = build(name, neuron=relu, norm=None).eval()
    assert isinstance(head, stock_class)
    own = head.state_dict()
    names = {
        key.replace(".layer", "").replace(".activate.norm", ".bn"): key for key in own
    }
    weights = {names[key]: value for key, value in stock.state_dict().items()}
    head.load_state_dict(weights)
    x = inputs_of(name, time_steps=1)
    expected = stock(x[:, 0] if name in REGIONS else [m[0] for m in x])
    for found, value in zip(tensors(head(x)), tensors(expected), strict=True):
        torch.testing.assert_close(found, value)


@pytest.mark.parametrize("name", HEADS)
def test_neurons_spike_and_every_parameter_learns(name):
    head = build(name)
    rates = []
    for neuron in head.modules():
        if isinstance(neuron, MixedLIF):
            neuron.register_forward_hook(lambda _m, _x, y: rates.append(y))
    outputs = tensors(head(inputs_of(name, samples=4)))
    assert rates
    assert all(((y == 0) | (y == 1)).all() for y in rates)
    assert all(0.05 < y.mean() < 0.3 for y in rates)
    sum((y - 0.1).square().sum() for y in outputs).backward()
    assert not [n for n, p in head.named_parameters() if p.grad is None]


@pytest.mark.parametrize("name", HEADS)
def test_averages_the_time_steps(name):
    """Neurons without memory: the mean of what each time step alone gives."""
    head = build(name, neuron=dict(tau=1.0, v_threshold=0.2)).eval()
    x = inputs_of(name)
    steps = [x[:, [t]] if name in REGIONS else [m[[t]] for m in x] for t in range(3)]
    alone = [tensors(head(step)) for step in steps]
    for found, *values in zip(tensors(head(x)), *alone, strict=True):
        torch.testing.assert_close(found, torch.stack(values).mean(0))


@pytest.mark.parametrize("name", HEADS)
def test_samples_do_not_mix_in_evaluation(name):
    head = build(name, neuron=dict(v_threshold=0.2)).eval()
    x = inputs_of(name)
    first = x[:1] if name in REGIONS else [m[:, :1] for m in x]
    for both, one in zip(tensors(head(x)), tensors(head(first)), strict=True):
        torch.testing.assert_close(both[:1], one)


@pytest.mark.parametrize("name", HEADS)
def test_checkpointing_changes_nothing(name):
    plain = build(name)
    saving = build(name, with_cp=True)
    assert (plain.with_cp, saving.with_cp) == (False, True)
    saving.load_state_dict(plain.state_dict())
    x = inputs_of(name)
    for head in (plain, saving):
        torch.manual_seed(1)  # mmseg's dropout
        sum(y.square().sum() for y in tensors(head(x))).backward()
    for (key, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), key
    for a, b in zip(plain.buffers(), saving.buffers(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", HEADS)
def test_copies_and_pickles_after_a_forward_pass(name):
    head = build(name).eval()
    x = inputs_of(name)
    expected = tensors(head(x))
    for twin in (copy.deepcopy(head), pickle.loads(pickle.dumps(head))):
        for a, b in zip(tensors(twin(x)), expected, strict=True):
            assert torch.equal(a, b)


def test_priors_of_the_classification_layer_stay():
    for name, layer in (("RetinaHead", "retina_cls"), ("FCOSHead", "conv_cls")):
        bias = getattr(build(name), layer).bias
        torch.testing.assert_close(bias.sigmoid(), torch.full_like(bias, 0.01))


def test_norms_keep_their_statistics_on_request():
    neck = spiking.SpikingNeck(dict(FPN), norm_eval=True, time_readout="none")
    head = build("RPNHead", norm_eval=True)
    before = [b.clone() for m in (neck, head) for b in m.buffers()]
    head.train()(neck.train()(spikes(channels=(8, 16, 16))))
    after = [b for m in (neck, head) for b in m.buffers()]
    assert before
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert head.training
    assert all(p.requires_grad for p in head.parameters())


@pytest.mark.parametrize("name", ["RPNHead", "RetinaHead", "FCOSHead", "ATSSHead"])
def test_every_level_has_norms_of_its_own(name):
    head = build(name)
    twin = copy.deepcopy(head)
    first, second, third = spikes()
    head([first, second, third])
    twin([first, torch.zeros_like(second), third])
    pairs = [
        (a, b)
        for a, b in zip(head.modules(), twin.modules(), strict=True)
        if isinstance(a, LevelNorms)
    ]
    assert pairs
    for a, b in pairs:
        same = [
            torch.equal(x.running_mean, y.running_mean)
            for x, y in zip(a, b, strict=True)
        ]
        assert same == [True, False, True]


def test_own_norms_stay_and_missing_ones_are_built():
    own = build("FCOSHead", norm=SMALL_NORM)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in own.modules())
    kwargs = dict(DENSE, strides=[4, 8, 16], norm_cfg=SMALL_NORM)
    kept = spiking.SpikingFCOSHead(**kwargs)
    norms = [m for m in kept.modules() if isinstance(m, nn.GroupNorm)]
    assert len(norms) == 4
    assert not any(isinstance(m, nn.BatchNorm2d) for m in kept.modules())
    assert all(m.conv.bias is None for m in kept.modules() if isinstance(m, ConvModule))


@pytest.mark.parametrize("name", NECKS)
def test_neck_is_the_stock_one_without_spikes(name):
    settings = dict(copy.deepcopy(NECKS[name]), act_cfg=dict(type="ReLU"))
    stock = MODELS.build(copy.deepcopy(settings)).eval()
    neck = spiking.SpikingNeck(
        settings, neuron=dict(type="snnssl_mm.ReLUNeuron"), norm=None
    ).eval()
    assert type(neck.neck) is type(stock)
    own = {key.replace("activate.norm", "gn"): key for key in neck.neck.state_dict()}
    weights = {own[key]: value for key, value in stock.state_dict().items()}
    neck.neck.load_state_dict(weights)
    maps = spikes(1, channels=(8, 16, 16))
    for a, b in zip(neck(maps), stock([m[0] for m in maps]), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", [*NECKS, *SINGLE])
def test_neck_emits_spikes_of_every_time_step(name):
    settings = copy.deepcopy({**NECKS, **SINGLE}[name])
    neck = spiking.SpikingNeck(settings, time_readout="none")
    neck.init_weights()
    maps = spikes(channels=(8, 16, 16))
    if name == "SimpleFeaturePyramid":
        maps = maps[:1]
    elif name == "Feature2Pyramid":
        maps = maps[:1] * 4
    outputs = neck(maps)
    assert all(y.shape[:2] == (3, 2) for y in outputs)
    identity = name == "Feature2Pyramid"
    assert all(((y == 0) | (y == 1)).all() for y in outputs)
    assert all(0.05 < y.mean() < (0.9 if identity else 0.3) for y in outputs)
    sum(y.sum() for y in outputs).backward()
    assert not [n for n, p in neck.named_parameters() if p.grad is None]
    neck.time_readout = "mean"
    torch.manual_seed(0)
    for steps, mean in zip(outputs, neck(maps), strict=True):
        torch.testing.assert_close(steps.mean(0), mean)


def test_regions_are_those_of_every_time_step():
    settings = dict(
        roi_layer=dict(type="RoIAlign", output_size=3, sampling_ratio=2),
        out_channels=8,
        featmap_strides=[4, 8, 16],
    )
    stock = det.SingleRoIExtractor(**copy.deepcopy(settings))
    extractor = spiking.SpikingSingleRoIExtractor(
        **settings, neuron=dict(type="snnssl_mm.ReLUNeuron"), norm=None
    )
    maps = spikes()
    rois = torch.tensor([[1, 0, 0, 20, 30], [0, 5, 9, 60, 60], [1, 2, 2, 8, 8.0]])
    expected = [stock([m[t] for m in maps], rois) for t in range(3)]
    last = [channels_last(m) for m in maps]
    for same in (maps, last):
        torch.testing.assert_close(extractor(same, rois), torch.stack(expected, 1))
    assert extractor(maps, rois[:0]).shape == (0, 3, 8, 3, 3)


def test_averaged_maps_have_the_layout_that_mmcv_reads():
    """mmcv's RoIAlign takes every layout for the contiguous one (mmcv#2203)."""
    neck = spiking.SpikingNeck(dict(FPN))
    maps = [channels_last(m) for m in spikes(channels=(8, 16, 16))]
    assert all(m.is_contiguous() for m in neck(maps))


def test_heads_take_no_regions():
    for name in REGIONS:
        head = build(name)
        outputs = tensors(head(inputs_of(name)[:0]))
        assert all(len(y) == 0 for y in outputs)
        sum(y.sum() for y in outputs).backward()
        assert not [n for n, p in head.named_parameters() if p.grad is None]


SPIKING_REGIONS = {
    "type": "snnssl_mm.SpikingStandardRoIHead",
    "bbox_roi_extractor.type": "snnssl_mm.SpikingSingleRoIExtractor",
    "bbox_head.type": "snnssl_mm.SpikingShared2FCBBoxHead",
    "mask_roi_extractor.type": "snnssl_mm.SpikingSingleRoIExtractor",
    "mask_head.type": "snnssl_mm.SpikingFCNMaskHead",
}


@pytest.fixture
def spiking_detector(detector_cfg):
    """Config of a stock Mask R-CNN with spiking neck and heads."""
    neck = dict(
        type="snnssl_mm.SpikingNeck",
        neck=dict(
            type="mmdet.FPN",
            in_channels=[8, 16, 32, 32],
            out_channels=16,
            num_outs=5,
        ),
        time_readout="none",
    )
    model = detector_cfg(dict(time_readout="none"), neck)
    model.rpn_head.type = "snnssl_mm.SpikingRPNHead"
    for key, value in SPIKING_REGIONS.items():
        part, _, last = key.rpartition(".")
        (model.roi_head[part] if part else model.roi_head)[last] = value
    return model


def test_mask_rcnn_trains_and_predicts(spiking_detector, detection_batch):
    model = MODELS.build(spiking_detector)
    model.init_weights()
    data = model.data_preprocessor(detection_batch, training=True)
    total, _ = model.parse_losses(model(**data, mode="loss"))
    total.backward()
    assert torch.isfinite(total)
    assert not [n for n, p in model.named_parameters() if p.grad is None]
    results = model.eval().test_step(detection_batch)
    assert all(isinstance(r.pred_instances, InstanceData) for r in results)


def test_regions_are_those_of_their_sample(spiking_detector, detection_batch):
    """Neither the RoI head nor its extractors confuse samples with time steps."""
    model = MODELS.build(spiking_detector).eval()
    data = model.data_preprocessor(detection_batch, training=True)
    maps = model.extract_feat(data["inputs"])
    rois = torch.tensor([[1, 0, 0, 40, 30], [0, 5, 9, 60, 60.0]])
    extract = model.roi_head.bbox_roi_extractor
    both = extract([m.transpose(0, 1) for m in maps[:4]], rois)
    second = [m[:, 1:].transpose(0, 1) for m in maps[:4]]
    alone = extract(second, rois[:1] * torch.tensor([0, 1, 1, 1, 1]))
    assert both.shape[:2] == (2, 2)
    torch.testing.assert_close(both[:1], alone)


def test_refuses_features_of_an_ordinary_extractor(spiking_detector, detection_batch):
    spiking_detector.roi_head.bbox_roi_extractor.type = "SingleRoIExtractor"
    spiking_detector.backbone.time_readout = "mean"
    for name in ("RPNHead", "StandardRoIHead"):
        part = "rpn_head" if name == "RPNHead" else "roi_head"
        spiking_detector[part].type = name
    spiking_detector.neck = spiking_detector.neck.neck
    model = MODELS.build(spiking_detector)
    data = model.data_preprocessor(detection_batch, training=True)
    with pytest.raises(ValueError, match="SpikingSingleRoIExtractor"):
        model(**data, mode="loss")


@pytest.mark.parametrize("part", ["backbone", "neck"])
def test_refuses_maps_without_time(spiking_detector, detection_batch, part):
    spiking_detector[part].time_readout = "mean"
    model = MODELS.build(spiking_detector)
    data = model.data_preprocessor(detection_batch, training=True)
    with pytest.raises(ValueError, match="time_readout='none'"):
        model(**data, mode="loss")


def test_refuses_maps_of_different_time_steps():
    maps = spikes()
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        build("RetinaHead")([maps[0], maps[1][:2], maps[2]])


@pytest.mark.parametrize(
    "neck",
    [
        nn.MaxPool2d(2),
        nn.Sequential(nn.Sigmoid(), nn.Conv2d(8, 8, 1)),
        ConvModule(8, 8, 1, order=("act", "conv", "norm"), norm_cfg=dict(type="BN")),
    ],
    ids=["no layer", "another activation", "activation first"],
)
def test_refuses_a_neck_without_a_place_for_neurons(neck):
    class Neck(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = neck

    MODELS.register_module("NeckOfTest", module=Neck, force=True)
    with pytest.raises(ValueError, match="Neck|inner"):
        spiking.SpikingNeck(dict(type="mmengine.NeckOfTest"))
