"""Operations of single layers are those counted by hand."""

import pytest
import torch
from torch import nn
from torch.nn.functional import unfold
from torch.nn.modules import module as nn_module

from snnssl_mm.neurons import MixedLIF
from snnssl_mm.recording.operations import MAX_SPIKES, OperationCounter


def count(model, *inputs):
    """Layers of one call, by name."""
    with torch.no_grad(), OperationCounter(model) as counter:
        model(*inputs)
    return {layer.name: layer for layer in counter.layers}


def only(model, *inputs):
    """The single layer of one call."""
    (layer,) = count(model, *inputs).values()
    return layer


def spikes(*shape, rate=0.25):
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(2))
    return (drawn < rate).float()


LAYERS = [
    # samples x output places x output channels x inputs of each
    (nn.Conv2d(4, 6, 3, padding=1), (2, 4, 5, 7), 2 * 35 * 6 * 4 * 9),
    (nn.Conv2d(4, 6, 1, bias=False), (2, 4, 5, 7), 2 * 35 * 6 * 4),
    (nn.Conv2d(4, 6, 3, stride=2), (1, 4, 7, 9), 3 * 4 * 6 * 4 * 9),
    (nn.Conv2d(4, 6, 3, groups=2), (1, 4, 5, 7), 3 * 5 * 6 * 2 * 9),
    (nn.Conv2d(4, 4, 3, groups=4), (1, 4, 5, 7), 3 * 5 * 4 * 1 * 9),
    (nn.Conv2d(4, 6, 3, dilation=2), (1, 4, 5, 7), 1 * 3 * 6 * 4 * 9),
    (nn.Conv1d(4, 6, 3), (2, 4, 5), 2 * 3 * 6 * 4 * 3),
    # of transposed ones: input places x weights
    (nn.ConvTranspose2d(4, 6, 2, stride=2), (2, 4, 5, 7), 2 * 35 * 4 * 6 * 4),
    (nn.ConvTranspose2d(4, 6, 2, groups=2), (1, 4, 5, 7), 35 * 4 * 3 * 4),
    (nn.Linear(5, 3), (2, 7, 5), 2 * 7 * 3 * 5),
    (nn.Linear(5, 3, bias=False), (7, 5), 7 * 3 * 5),
    (nn.Linear(5, 3), (5,), 3 * 5),
]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize(("layer", "shape", "macs"), LAYERS, ids=str)
def test_hand_counted(layer, shape, macs, mode):
    x = spikes(*shape)
    with mode(), OperationCounter(layer) as counter:
        layer(x)
    (found,) = counter.layers
    assert (found.kind, found.macs) == ("spikes", macs)
    assert found.name == type(layer).__name__
    assert found.sops == pytest.approx(macs * x.mean(dtype=torch.float64).item())


@pytest.mark.parametrize(("layer", "shape", "macs"), LAYERS, ids=str)
def test_inference_mode_keeps_operators_whole_and_is_counted_alike(layer, shape, macs):
    with torch.inference_mode(), OperationCounter(layer) as counter:
        layer(spikes(*shape))
    assert [found.macs for found in counter.layers] == [macs]


def test_sops_are_the_rate_times_the_products_of_a_naive_convolution():
    """The columns that a naive convolution multiplies, built in float64."""
    layer = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    x = spikes(2, 3, 9, 11) + spikes(2, 3, 9, 11, rate=0.1)
    columns = unfold(x.double(), 3, stride=2, padding=1)
    rate = sum(x.flatten().tolist()) / x.numel()
    found = only(layer, x)
    assert found.kind == "integers"
    assert found.macs == columns.numel() * 8
    assert found.sops == pytest.approx(rate * columns.numel() * 8, rel=1e-12)
    assert found.rate == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 0, 1, 0], "spikes"),
        ([0, 0, 0, 0], "spikes"),
        ([0, 3, 1, MAX_SPIKES], "integers"),
        ([0, 3, 1, MAX_SPIKES + 1], "real"),
        ([0, 1, -1, 0], "real"),
        ([0, 1, 0.5, 0], "real"),
        ([0, 1, float("nan"), 0], "real"),
        ([0, 1, float("inf"), 0], "real"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_kind_of_an_input(values, kind, dtype):
    layer = nn.Linear(4, 2, bias=False).to(dtype)
    found = only(layer, torch.tensor([values], dtype=dtype))
    mean = None if kind == "real" else sum(values) / 4
    assert (found.kind, found.rate) == (kind, mean)


def test_calls_add_up_and_the_most_general_input_counts():
    layer = nn.Linear(4, 2)
    counter = OperationCounter(layer)
    seen = []
    with torch.no_grad():
        for x in ([[0.0, 1, 0, 0]], [[0.0, 2, 2, 2], [0, 0, 0, 0]], [[0.5] * 4]):
            with counter:
                layer(torch.tensor(x))
            (found,) = counter.layers
            seen.append((found.kind, found.macs, found.rate))
    assert seen == [("spikes", 8, 1 / 4), ("integers", 24, 7 / 12), ("real", 32, None)]


def test_shared_weights_are_one_layer():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.first(x), self.second(x)

    found = only(Twice(), spikes(3, 4))
    assert (found.name, found.macs) == ("first", 2 * 3 * 16)


def test_what_has_no_products_does_not_count():
    pools = nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)
    layers = nn.Sequential(nn.BatchNorm2d(4), MixedLIF(), *pools, nn.Flatten())
    assert count(layers, torch.randn(2, 4, 8, 8)) == {}
    assert count(nn.Linear(4, 2), torch.zeros(0, 4)) == {}, "no proposals, no work"


def test_product_of_two_inputs_is_driven_by_the_sparser_one():
    class Product(nn.Module):
        def forward(self, a, b):
            return a @ b

    sparse, dense = spikes(5, 8, rate=0.2), spikes(8, 7, rate=0.9)
    rate = pytest.approx(sparse.double().mean().item())
    for other in (dense, dense + 1, dense / 3):
        for a, b in ((sparse, other), (other.T, sparse.T)):
            found = only(Product(), a, b)
            assert (found.name, found.macs) == ("Product (product 1)", 5 * 8 * 7)
            assert (found.kind, found.rate) == ("spikes", rate)
    assert only(Product(), sparse + 1, dense / 3).kind == "integers"
    assert only(Product(), sparse - 1, dense / 3).kind == "real"


def test_which_input_drives_a_product_does_not_depend_on_batches():
    """The first is the sparser one of all calls, though not of each."""

    class Product(nn.Module):
        def forward(self, a, b):
            return a @ b

    a = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])
    b = torch.tensor([[[0.0], [1.0]], [[0.0], [1.0]]])
    (a[0, 0, 1], b[0, 0, 0]) = (1.0, 0.0)
    found = []
    for batches in ([(a, b)], list(zip(a.split(1), b.split(1), strict=True))):
        counter = OperationCounter(product := Product())
        for batch in batches:
            with counter:
                product(*batch)
        (layer,) = counter.layers
        found.append((layer.name, layer.kind, layer.macs, layer.rate))
    assert found[0] == found[1] == ("Product (product 1)", "spikes", 4, 0.5)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_fused_attention_hides_nothing(mode):
    """The fast path of evaluation and the fused product are taken apart."""
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(3, 5, 8)
    with mode(), OperationCounter(layer) as counter:
        layer(x, x, x, need_weights=False)
    assert {found.name: found.macs for found in counter.layers} == {
        "MultiheadAttention.in_proj": 3 * 5 * 8 * 24,
        "MultiheadAttention (product 1)": 3 * 5 * 5 * 8,
        "MultiheadAttention (product 2)": 3 * 5 * 5 * 8,
        "out_proj": 3 * 5 * 8 * 8,
    }


def test_nothing_is_left_behind_after_an_error():
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("broken")

    layers = nn.Sequential(nn.Linear(4, 4), Broken())
    fast = torch.backends.mha.get_fastpath_enabled()
    counter = OperationCounter(layers)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"), counter:
            layers(spikes(1, 4))
    assert not nn_module._global_forward_hooks
    assert not nn_module._global_forward_pre_hooks
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert [(found.name, found.macs) for found in counter.layers] == [("0", 32)]
