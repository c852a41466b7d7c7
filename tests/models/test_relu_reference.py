"""The reference that is not spiking: ReLU in place of the neuron, one time step."""

import copy

import pytest
import torch
import torch.nn.functional as F

from snnssl_mm.conversion.convert import convert
from snnssl_mm.models import DualPathSSL, Spikformer, SpikingResNet
from snnssl_mm.neurons import MixedLIF, ReLUNeuron
from snnssl_mm.registry import MODELS

RELU = dict(type="snnssl_mm.ReLUNeuron")
TINY = dict(embed_dims=16, depth=2, num_heads=2)
HEAD = dict(
    type="snnssl_mm.TemporalLossHead", loss=dict(type="snnssl_mm.CrossTemporalLoss")
)


def relu_network(**options):
    torch.manual_seed(0)
    backbone = Spikformer(TINY, stem="cifar", time_steps=1, neuron=RELU, **options)
    return backbone.double().train()


def layer(module, x):
    """Convolution, batch norm and ReLU of plain torch, with the module's weights."""
    norm = module.bn
    y = F.conv2d(x, module.conv.weight, module.conv.bias, padding="same")
    return F.relu(F.batch_norm(y, None, None, norm.weight, norm.bias, training=True))


def plain(backbone, x, scale):
    """The network written out in plain torch, without time."""
    for index, stage in enumerate(backbone.stem.stages):
        x = layer(stage, x)
        x = F.max_pool2d(x, 3, 2, 1) if index > 1 else x
    x = x + layer(backbone.stem.position, x)
    for block in backbone.blocks:
        qkv = layer(block.attention.qkv, x).flatten(2)
        q, k, v = (y.unflatten(1, (2, 8)) for y in qkv.chunk(3, dim=1))
        y = torch.einsum("nhci,nhcj,nhdj->nhdi", q, k, v) * scale
        x = x + layer(block.attention.projection, y.reshape(x.shape))
        x = x + layer(block.mlp[1], layer(block.mlp[0], x))
    return x


@pytest.mark.parametrize(("scale", "factor"), [(0.125, 0.125), ("auto", 69 / (16 * 8))])
def test_relu_network_is_plain_torch(scale, factor):
    backbone = relu_network(attention_scale=scale)
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    expected = plain(copy.deepcopy(backbone), images, factor)
    (found,) = backbone(images)
    torch.testing.assert_close(found, expected)


def test_batch_norm_removes_the_scale_of_attention():
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    one, other = (
        relu_network(attention_scale=scale)(images)[0] for scale in (1.0, 100.0)
    )
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)  # but for its eps


def test_dual_path_ssl_trains_it_with_the_loss_of_barlow_twins():
    torch.manual_seed(0)
    neck = dict(
        type="mmpretrain.NonLinearNeck",
        in_channels=16,
        hid_channels=8,
        out_channels=8,
        norm_cfg=dict(type="BN1d"),
        with_last_bn=False,
    )
    backbone = dict(type="snnssl_mm.Spikformer", arch=TINY, stem="cifar", time_steps=1)
    model = DualPathSSL({**backbone, "neuron": RELU}, neck, HEAD)
    views = list(torch.randn(2, 6, 3, 16, 16))
    found = model.loss(views)["loss"]
    found.backward()
    assert all(p.grad is not None for p in model.parameters())
    z = model.project(torch.cat(views))[0]
    a, b = ((y - y.mean(0)) / y.std(0, unbiased=False) for y in z.chunk(2))
    pairs = (a.T @ b / 6 - torch.eye(8)) ** 2
    expected = pairs.trace() + 5e-3 * (pairs.sum() - pairs.trace())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_networks_without_any_neuron_are_still_refused():
    class Plain(Spikformer):
        """A backbone whose activations are neither."""

        def modules(self):
            found = super().modules()
            return (m for m in found if not isinstance(m, (MixedLIF, ReLUNeuron)))

    MODELS.register_module(module=Plain, force=True)
    try:
        with pytest.raises(ValueError, match="no MixedLIF"):
            DualPathSSL(dict(type="snnssl_mm.Plain", arch=TINY), None, HEAD)
    finally:
        del MODELS._module_dict["Plain"]


def test_a_resnet_takes_it_too():
    torch.manual_seed(0)
    backbone = SpikingResNet(
        18, stem="cifar", base_channels=4, time_steps=1, neuron=RELU
    ).train()
    (features,) = backbone(torch.randn(2, 3, 16, 16))
    assert features.shape[0] == 2
    assert not torch.equal(features, features.round())
    assert not any(isinstance(m, MixedLIF) for m in backbone.modules())


def test_conversion_to_a_spiking_layout_refuses_it():
    options = dict(arch="4-384", stem="imagenet", neuron=RELU)
    with torch.device("meta"):
        meta = Spikformer(**options).state_dict()
    state = {name: torch.zeros(tensor.shape) for name, tensor in meta.items()}
    with pytest.raises(ValueError, match="activation"):
        convert(
            state,
            target="spikformer-imagenet",
            stored=dict(type="Spikformer", **options),
        )
