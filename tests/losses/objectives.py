"""The objectives, pair by pair and slice by slice: what the closed forms must equal."""

import itertools

import torch
import torch.nn.functional as F

from snnssl_mm.losses import (
    LeJEPALoss,
    NegativeCosineLoss,
    NextStepLoss,
    NTXentLoss,
    VICRegLoss,
)

OBJECTIVES = (VICRegLoss, NTXentLoss, NegativeCosineLoss, NextStepLoss, LeJEPALoss)
PAIRED = (VICRegLoss, NTXentLoss, NegativeCosineLoss)
TIMES = ("all", "boundary", "flat", "step", "mean")
CASES = [
    (kind, time)
    for kind in OBJECTIVES
    for time in TIMES
    if (kind, time) != (NextStepLoss, "mean")
]


def case_name(value):
    return getattr(value, "__name__", str(value))


def random_views(steps=3, batch=8, dims=6, dtype=torch.float64, seed=0, number=2):
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(batch, dims, generator=generator, dtype=dtype)
    z = torch.randn(number, steps, batch, dims, generator=generator, dtype=dtype)
    return (z + shared).requires_grad_()


def groups(views, time):
    """Lists of slices, each with its view and time step."""
    steps = range(len(views[0]))
    if time == "flat":
        return [[(v, 0, z.flatten(0, 1)) for v, z in enumerate(views)]]
    if time == "mean":
        return [[(v, 0, z.mean(0)) for v, z in enumerate(views)]]
    if time == "step":
        return [[(v, t, z[t]) for v, z in enumerate(views)] for t in steps]
    chosen = steps if time == "all" else (0, len(steps) - 1)
    return [[(v, t, z[t]) for v, z in enumerate(views) for t in chosen]]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def pairs(slices, within_view):
    for (v, _, p), (w, _, q) in itertools.permutations(slices, 2):
        if within_view or v != w:
            yield p, q


def vicreg(slices, within_view):
    covariances = [p.T.cov() for _, _, p in slices]
    variance = mean(F.relu(1 - (c.diag() + 1e-4).sqrt()).mean() for c in covariances)
    covariance = mean(
        (c - c.diag().diag()).square().sum() / len(c) for c in covariances
    )
    invariance = mean(F.mse_loss(p, q) for p, q in pairs(slices, within_view))
    return 25 * invariance + 25 * variance + 2 * covariance


def ntxent_pair(p, q, temperature=0.5):
    """SimCLR's algorithm on the 2 B samples of a pair."""
    z = F.normalize(torch.cat([p, q]), dim=1)
    similarities = z @ z.T / temperature
    similarities = similarities.masked_fill(torch.eye(len(z)).bool(), -torch.inf)
    partner = torch.arange(len(z)).roll(len(p))
    return F.cross_entropy(similarities, partner)


def ntxent(slices, within_view):
    return mean(ntxent_pair(p, q) for p, q in pairs(slices, within_view))


def cosine(slices, within_view):
    return mean(
        -F.cosine_similarity(p, q.detach()).mean()
        for p, q in pairs(slices, within_view)
    )


def lejepa(slices, axes):
    center = mean(p for _, _, p in slices)
    invariance = mean((p - center).square().mean() for _, _, p in slices)
    t = torch.linspace(-3, 3, 33, dtype=torch.float64)
    gaussian = (-t.square() / 2).exp()

    def statistic(x):
        characteristic = torch.exp(1j * t * x[..., None]).mean(0)
        distance = (characteristic - gaussian).abs().square()
        return torch.trapezoid(distance * gaussian, t).mean() * len(x)

    return 0.95 * invariance + 0.05 * mean(statistic(p @ axes) for _, _, p in slices)


def next_step(views, time, within_view):
    steps = len(views[0])
    wanted = {
        "all": lambda s, t: s < t,
        "boundary": lambda s, t: (s, t) == (0, steps - 1),
    }.get(time, lambda s, t: t == s + 1)
    return mean(
        -F.cosine_similarity(p[s], q[t].detach()).mean()
        for (v, p), (w, q) in itertools.product(enumerate(views), repeat=2)
        for s, t in itertools.product(range(steps), repeat=2)
        if (within_view or v != w) and wanted(s, t)
    )


def naive(kind, *views, time, within_view=True):
    """The definitions; LeJEPA's directions are the next random numbers."""
    if kind is NextStepLoss:
        return next_step(views, time, within_view)
    found = groups(views, time)
    if kind is LeJEPALoss:
        axes = torch.randn(views[0].shape[-1], 1024, dtype=torch.float64)
        axes = axes / axes.norm(dim=0)
        return mean(lejepa(slices, axes) for slices in found)
    objective = {VICRegLoss: vicreg, NTXentLoss: ntxent, NegativeCosineLoss: cosine}
    return mean(objective[kind](slices, within_view) for slices in found)
