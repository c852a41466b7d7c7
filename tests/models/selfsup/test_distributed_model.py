"""Several processes train the whole model as one process does on the whole batch.

On CPUs joint batch norms are in eval mode: torch has no SyncBatchNorm there.
"""

import itertools

import pytest
import torch
import torch.distributed as dist
from mmengine.model import convert_sync_batchnorm
from mmengine.registry import MODEL_WRAPPERS, MODELS, init_default_scope
from processes import run_group
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from snnssl_mm import compat
from snnssl_mm.models import PerViewBatchNorm2d
from snnssl_mm.models.batch_norm import normalize_and_fire
from snnssl_mm.neurons import MixedLIF
from snnssl_mm.testing import randomize_norms

BACKBONES = {
    "Spikformer": dict(
        type="snnssl_mm.Spikformer",
        arch=dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=2),
        stem="cifar",
    ),
    "SpikingResNet": dict(
        type="snnssl_mm.SpikingResNet", depth=18, stem="cifar", base_channels=4
    ),
}
CHANNELS = {"Spikformer": 16, "SpikingResNet": 32}
WEIGHTS = {"Spikformer": (1.5, 3.0), "SpikingResNet": (0.8, 1.5)}  # to fire with
LOSSES = ("CrossTemporalLoss", "BoundaryTemporalLoss", "TimeFlattenedLoss")
# Largest deviation that rounding makes, relative to the parameter's largest gradient:
# sums of small differences cancel. Measured: 2e-4 and 4e-13; a wrong factor makes 0.5.
TOLERANCES = {torch.float32: 1e-3, torch.float64: 1e-11}
CASES = [
    ("Spikformer", "VICRegLoss", torch.float64, "per_view"),
    ("Spikformer", "NTXentLoss", torch.float64, "joint"),
    ("Spikformer", "NegativeCosineLoss", torch.float64, "joint"),
    *itertools.product(BACKBONES, LOSSES, TOLERANCES, ["joint"]),
    *((backbone, LOSSES[0], torch.float64, "per_view") for backbone in BACKBONES),
]
BATCH, SIZE = 8, 16


def build(backbone, loss, dtype, bn, norm_eval=True):
    """A small model in training mode, whose neurons fire, the same in every process."""
    init_default_scope("mmpretrain")
    torch.manual_seed(0)
    neck = dict(type="NonLinearNeck", in_channels=CHANNELS[backbone], hid_channels=24)
    neck |= dict(out_channels=12, with_last_bn=False, norm_cfg=dict(type="BN1d"))
    head = dict(type="snnssl_mm.TemporalLossHead", loss=dict(type=f"snnssl_mm.{loss}"))
    options = {}
    if loss in LOSSES:
        head["loss"]["lambd"] = 0.1
    if loss == "NegativeCosineLoss":  # BYOL
        predictor = dict(neck, in_channels=12, with_avg_pool=False)
        options = dict(predictor=predictor, teacher=dict(path="analog"))
    model = MODELS.build(
        dict(
            type="snnssl_mm.DualPathSSL",
            # Numba's kernels are slow to load, in each of the processes.
            backbone=dict(
                BACKBONES[backbone],
                time_steps=3,
                neuron=dict(backend="torch"),
                bn=bn,
            ),
            neck=neck,
            head=head,
            **options,
        )
    )
    randomize_norms(model, WEIGHTS[backbone]).to(dtype).train()
    for module in model.modules():
        frozen = norm_eval and not isinstance(module, PerViewBatchNorm2d)
        if frozen and isinstance(module, _NormBase):
            module.eval()
    return model


def views(dtype):
    """Views A and B of the whole batch, in a fixed order."""
    generator = torch.Generator().manual_seed(5)
    return list(torch.randn(2, BATCH, 3, SIZE, SIZE, generator=generator).to(dtype))


def step(model, wrapped, inputs):
    """What a training step logs, and the gradients that it leaves."""
    losses = wrapped(inputs=inputs, mode="loss")
    loss, logged = model.parse_losses(losses)
    loss.backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    gradients = {name: p.grad for name, p in trained.items()}
    return {key: value.detach() for key, value in logged.items()}, gradients


def whole(*case):
    model = build(*case)
    return step(model, model, views(case[2]))


def share():
    """Every case, as one of several processes of tools/train.py."""
    rank, world = dist.get_rank(), dist.get_world_size()
    results = {}
    for case in CASES:
        model = build(*case)
        cfg = dict(compat.cpu_model_wrapper_cfg(), module=model)
        wrapped = MODEL_WRAPPERS.build(cfg)
        inputs = [view.chunk(world)[rank] for view in views(case[2])]
        results[case] = step(model, wrapped, inputs)
    return results


@pytest.fixture(scope="module", params=[2, 4])
def results(request):
    return run_group(share, request.param)


def deviation(own, expected):
    """Largest difference, relative to the largest number that was expected."""
    return float((own - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_loss_and_every_gradient_are_those_of_the_whole_batch(results, case):
    logged, gradients = whole(*case)
    for own_logged, own_gradients in (result[case] for result in results):
        for name in logged.keys() - {"embedding_std"}:
            assert deviation(own_logged[name], logged[name]) < 1e-6, name
        assert own_gradients.keys() == gradients.keys()
        for name, gradient in gradients.items():
            tolerance = TOLERANCES[case[2]]
            if not gradient.any():  # of a bias before a training batch norm
                assert name.endswith("conv.bias")
                assert not own_gradients[name].any()
                continue
            assert deviation(own_gradients[name], gradient) < tolerance, name


def test_embedding_std_is_of_the_share_of_a_process(results):
    """As the head says: no number of the log but the loss and its parts is gathered."""
    values = [float(result[CASES[0]][0]["embedding_std"]) for result in results]
    assert len(set(values)) == len(values)


SHARES = (slice(0, 2), slice(2, 8))  # of the samples; unequal, as with padded images


def fused_layer(norm, samples):
    """Spikes, gradients and statistics of a norm and a neuron for some ``samples``."""
    generator = torch.Generator().manual_seed(3)
    x, grad = torch.randn(2, 3, 8, 6, 3, 5, generator=generator)[:, :, samples]
    x = (4 * x + 50).requires_grad_()
    nn.init.constant_(norm.bias, 0.3)
    out = normalize_and_fire(norm, MixedLIF(surrogate="atan", backend="cpu"), x, 3)
    grads = torch.autograd.grad(out, [x, norm.weight, norm.bias], grad)
    return out.detach(), *grads, norm.state_dict()


def synchronised_layer():
    return fused_layer(nn.SyncBatchNorm(6), SHARES[dist.get_rank()])


def test_fused_norms_take_the_statistics_of_all_processes():
    """Also if they have different numbers of samples."""
    *wholes, state = fused_layer(nn.BatchNorm2d(6), slice(0, 8))
    out, grad_x, weight, bias = wholes
    results = run_group(synchronised_layer, 2)
    for samples, result in zip(SHARES, results, strict=True):
        assert torch.equal(result[0], out[:, samples])
        torch.testing.assert_close(result[1], grad_x[:, samples], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(result[4], state)
    for place, expected in ((2, weight), (3, bias)):
        total = sum(result[place] for result in results)
        torch.testing.assert_close(total, expected, atol=1e-4, rtol=1e-5)


def running_statistics():
    """Of a batch norm per view on a share of a batch, alone and fused; its output."""
    x = batch_of_two_views().chunk(dist.get_world_size(), dim=2)[dist.get_rank()]
    alone, fused = PerViewBatchNorm2d(3), PerViewBatchNorm2d(3)
    alone.views = fused.views = 2
    normalize_and_fire(fused, MixedLIF(backend="cpu"), x.flatten(1, 2), 2)
    return alone(x.flatten(1, 2)), alone.state_dict(), fused.state_dict()


def batch_of_two_views():
    """Currents ``[T, 2, N, C, H, W]`` of far means, whose squares would cancel."""
    generator = torch.Generator().manual_seed(1)
    offsets = torch.tensor([100.0, -50.0]).view(1, 2, 1, 1, 1, 1)
    return torch.randn(2, 2, 4, 3, 5, 5, generator=generator) + offsets


def test_per_view_statistics_are_those_of_the_whole_batch():
    norm = PerViewBatchNorm2d(3)
    norm.views = 2
    expected = norm(batch_of_two_views().flatten(1, 2)).unflatten(1, (2, 4))
    results = run_group(running_statistics, 2)
    shares = [y.unflatten(1, (2, 2)) for y, *_ in results]
    torch.testing.assert_close(torch.cat(shares, dim=2), expected, atol=1e-4, rtol=1e-4)
    for _, *states in results:
        for state in states:
            torch.testing.assert_close(state, norm.state_dict())


ON_GPU = [case for case in CASES if case[2] == torch.float64]  # no spike is in doubt


def statistics(model):
    """Running statistics of all batch norms."""
    return {name: b.cpu() for name, b in model.named_buffers() if "running" in name}


def synchronised_share():
    """Every case on one GPU, with batch norms in training mode, by SyncBatchNorm."""
    rank, world = dist.get_rank(), dist.get_world_size()
    results = {}
    for case in ON_GPU:
        model = convert_sync_batchnorm(build(*case, norm_eval=False).cuda(), "torch")
        assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
        cfg = dict(compat.cpu_model_wrapper_cfg(), device_ids=[0], module=model)
        wrapped = MODEL_WRAPPERS.build(cfg)
        inputs = [view.chunk(world)[rank].cuda() for view in views(case[2])]
        logged, gradients = step(model, wrapped, inputs)
        gradients = {name: gradient.cpu() for name, gradient in gradients.items()}
        results[case] = float(logged["loss"]), gradients, statistics(model)
    return results


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.gpu
def test_synchronised_batch_norms_are_those_of_the_whole_batch():
    """Two processes on one GPU; NCCL would want two, gloo does not."""
    results = run_group(synchronised_share, 2, gpu=True)
    for case in ON_GPU:
        model = build(*case, norm_eval=False).cuda()
        inputs = [view.cuda() for view in views(case[2])]
        logged, gradients = step(model, model, inputs)
        for loss, own_gradients, own_statistics in (own[case] for own in results):
            assert loss == pytest.approx(float(logged["loss"]), rel=1e-10)
            for name, gradient in gradients.items():
                own = own_gradients[name]
                # A bias before a batch norm has a gradient of rounding only.
                torch.testing.assert_close(own, gradient.cpu(), rtol=1e-7, atol=1e-9)
            for name, expected in statistics(model).items():
                torch.testing.assert_close(own_statistics[name], expected)
