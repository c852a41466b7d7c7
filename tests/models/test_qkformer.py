"""QKFormer: the published sizes, and spikingjelly's network at every stage."""

import pytest
import torch
from spikingjelly.activation_based.model import qkformer

from snnssl_mm.models import QKFormer
from snnssl_mm.models.qkformer import QKFORMER_ARCHS
from snnssl_mm.testing import randomize_norms

PARAMETERS = {"10-384": 16.474, "10-512": 29.079, "10-768": 64.963}
SMALL = dict(embed_dims=48, depths=(1, 2, 2), num_heads=3)
LIF = dict(tau=2.0, decay_input=True, surrogate="sigmoid")
STEPS = 3
IMAGES = torch.rand(2, 3, 64, 96, generator=torch.manual_seed(3)).double()
NAMES = {
    "patch_embed1.conv1": "entry.conv",
    "patch_embed1.bn1": "entry.bn",
    "patch_embed1.conv2": "embeddings.0.first.conv",
    "patch_embed1.bn2": "embeddings.0.first.bn",
    "patch_embed1.conv3": "embeddings.0.second.conv",
    "patch_embed1.bn3": "embeddings.0.second.bn",
    **{
        f"patch_embed{i + 1}.{theirs}": f"embeddings.{i}.{ours}"
        for i in (1, 2)
        for theirs, ours in (
            ("conv1", "first.conv"),
            ("bn1", "first.bn"),
            ("conv2", "second.conv"),
            ("bn2", "second.bn"),
        )
    },
    **{
        f"patch_embed{i + 1}.shortcut.{j}": f"embeddings.{i}.shortcut.{part}"
        for i in range(3)
        for j, part in enumerate(("conv", "bn"))
    },
    **{f"stage{i + 1}.": f"stages.{i}." for i in range(3)},
    ".attn.": ".attention.",
    "_conv_bn.0.": ".conv.",
    "_conv_bn.1.": ".bn.",
    "attention.proj.": "attention.projection.",
    "mlp.fc1.": "mlp.0.conv.",
    "mlp.bn1.": "mlp.0.bn.",
    "mlp.fc2.": "mlp.1.conv.",
    "mlp.bn2.": "mlp.1.bn.",
}
"""Parts of spikingjelly's names of tensors, and of ours."""


@pytest.mark.parametrize("arch", QKFORMER_ARCHS)
def test_parameter_counts(arch):
    """The published ones are those with a head of 1,000 classes."""
    with torch.device("meta"):
        model = QKFormer(arch)
    backbone = sum(p.numel() for p in model.parameters())
    head = 1000 * (model.channels[2] + 1)
    assert round((backbone + head) / 1e6, 3) == PARAMETERS[arch]


def renamed(theirs, ours):
    """spikingjelly's tensors by our names, with the biases that ours lacks absorbed."""
    found = {}
    for name, tensor in theirs.items():
        for old, new in NAMES.items():
            name = name.replace(old, new)
        found[name] = tensor
    state = {
        name: found.pop(name, torch.zeros_like(tensor)).reshape(tensor.shape)
        for name, tensor in ours.items()
    }
    for name, bias in found.items():
        if name.startswith("embeddings") or name == "entry.conv.bias":
            state[name.replace("conv.bias", "bn.running_mean")].sub_(bias)
        else:
            assert name.startswith("head.")
    return state


@torch.no_grad()
def test_every_stage_equals_spikingjellys():
    torch.manual_seed(0)
    theirs = qkformer.QKFormer(
        STEPS, num_classes=2, embed_dims=48, num_heads=(3, 3, 3), depths=(1, 2, 2)
    )
    randomize_norms(theirs.double().eval(), (1.0, 3.0), (0.0, 1.5))
    expected = []
    for stage in (theirs.stage1, theirs.stage2, theirs.stage3):
        stage[-1].register_forward_hook(lambda _m, _i, out: expected.append(out))
    theirs(IMAGES)
    model = QKFormer(
        SMALL, time_steps=STEPS, neuron=LIF, out_indices=(0, 1, 2), time_readout="none"
    ).double()
    model.eval().load_state_dict(renamed(theirs.state_dict(), model.state_dict()))
    rates = []
    for name, module in model.named_modules():
        if name.endswith("attention_neuron"):
            module.register_forward_hook(lambda _m, _i, out: rates.append(out.mean()))
    for ours, other in zip(model(IMAGES), expected, strict=True):
        assert torch.equal(ours, other)
        assert other.std() > 0.3
    assert all(0.02 < rate < 0.98 for rate in rates)


def test_true_strides_and_integers():
    model = randomize_norms(QKFormer(SMALL, out_indices=(0, 1, 2, 3))).eval()
    with torch.no_grad():
        maps = model(torch.rand(1, 3, 64, 96))
    for found, stride, channels in zip(
        maps, (4, 8, 16, 32), model.channels, strict=True
    ):
        assert found.shape == (1, channels, 64 // stride, 96 // stride)
        assert torch.equal(4 * found, (4 * found).round())


def test_heads_must_divide_the_first_stage():
    with pytest.raises(ValueError, match="num_heads=8"):
        QKFormer(dict(embed_dims=80, num_heads=8))
    with pytest.raises(ValueError, match="three"):
        QKFormer(dict(embed_dims=64, depths=(1, 2)))
