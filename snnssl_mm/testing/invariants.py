"""Invariants of a spiking backbone, as functions that raise if one is violated.

Each function takes a :class:`.subject.Subject` and its model in eval mode, and does not
change the model. Outputs are compared bit by bit.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import torch
from mmengine.model import ExponentialMovingAverage
from torch import Tensor

from snnssl_mm.neurons import set_path
from snnssl_mm.neurons.paths import PATHS
from snnssl_mm.testing.subject import (
    SAMPLES,
    STEPS,
    Maps,
    Subject,
    compute_maps,
    mixed_neurons,
    readout,
    require,
    require_equal_maps,
    require_finite,
)


def map_shapes(subject: Subject, model: Any) -> None:
    """Each of ``out_indices`` gives a map, whose stride is the same for all sizes."""
    side = subject.side(model)
    axes = 5 if model.time_readout == "none" else 4
    strides = []
    for height, width in ((side, side), (side, 2 * side)):
        maps = compute_maps(model, subject.of_size(height, width, SAMPLES))
        require(
            len(maps) == len(model.out_indices),
            f"{len(maps)} maps for out_indices={model.out_indices}",
        )
        for m in maps:
            require(
                m.dim() == axes and m.shape[-4] == SAMPLES,
                f"a map has the shape {tuple(m.shape)}",
            )
        strides.append([(height / m.shape[-2], width / m.shape[-1]) for m in maps])
        _require_channels(model, maps)
    require(
        strides[0] == strides[1] and all(h == w for h, w in strides[0]),
        f"strides change with the size of the image: {strides}",
    )


def activity(subject: Subject, model: Any) -> None:
    """Neurons fire; a silent network would satisfy all other invariants."""
    fired: set[int] = set()
    neurons = mixed_neurons(model)
    hooks = [
        neuron.register_forward_hook(
            lambda n, _i, out: fired.add(id(n)) if out.any() else None
        )
        for neuron in neurons
    ]
    maps = compute_maps(model, subject.images(model))
    for hook in hooks:
        hook.remove()
    for index, m in enumerate(maps):
        require(bool(m.count_nonzero()), f"map {index} is all zero: nothing fires")
    require(
        4 * len(fired) >= 3 * len(neurons),
        f"{len(neurons) - len(fired)} of {len(neurons)} neurons are silent",
    )


def _require_channels(model: Any, maps: Maps) -> None:
    """Require the declared channels, if a backbone declares any."""
    for index, m in zip(model.out_indices, maps, strict=True):
        if declared := getattr(model, "channels", None):
            require(
                m.shape[-3] == declared[index],
                f"map {index} has {m.shape[-3]} channels, declared {declared[index]}",
            )


def batch_independence(subject: Subject, model: Any) -> None:
    """Sample i's output does not depend on sample j."""
    clip, other = subject.images(model, STEPS), subject.images(model, STEPS, seed=2)
    changed = torch.cat([clip[:, :1], other[:, 1:]], dim=1)
    with readout(model, "none"):
        first, second = compute_maps(model, clip), compute_maps(model, changed)
    require_equal_maps(
        [m[:, 0] for m in second], [m[:, 0] for m in first], "another batch"
    )


def time_causality(subject: Subject, model: Any) -> None:
    """Output t does not depend on input t + 1, nor on its existence."""
    clip = subject.images(model, STEPS)
    changed = torch.cat([clip[:-1], subject.images(model, STEPS, seed=2)[-1:]])
    with readout(model, "none"):
        maps = compute_maps(model, clip)
        past, first = compute_maps(model, changed), compute_maps(model, clip[:1])
    require_equal_maps(
        [m[:-1] for m in past], [m[:-1] for m in maps], "another last step"
    )
    require_equal_maps(first, [m[:1] for m in maps], "no later steps")


def statelessness(subject: Subject, model: Any) -> None:
    """Two calls give the same output, with a call on other images in between."""
    images, clip = subject.images(model), subject.images(model, STEPS)
    still, moving = compute_maps(model, images), compute_maps(model, clip)
    compute_maps(model, subject.images(model, seed=2))
    require_equal_maps(compute_maps(model, images), still, "a second call")
    require_equal_maps(compute_maps(model, clip), moving, "a second call with clips")


def binary_spikes(subject: Subject, model: Any) -> None:
    """Every neuron's output is 0 or 1 in eval mode, and maps are spike counts.

    An integer neuron of D levels emits 0..D, divided by D if it normalises. Maps of a
    backbone whose ``output`` is ``'membrane'`` are currents.
    """
    seen: dict[int, list[Tensor]] = {}
    neurons = mixed_neurons(model)
    hooks = [
        neuron.register_forward_hook(
            lambda n, _i, out: seen.setdefault(id(n), []).append(_counts(n, out))
        )
        for neuron in neurons
    ]
    maps = compute_maps(model, subject.images(model))
    for hook in hooks:
        hook.remove()
    require(
        len(seen) == len(neurons) > 0, f"{len(seen)} of {len(neurons)} neurons are used"
    )
    for neuron in neurons:
        levels = float(getattr(neuron.config, "levels", 1))
        found = set(torch.cat(seen[id(neuron)]).tolist())
        allowed = {float(count) for count in range(int(levels) + 1)}
        require(found <= allowed, f"a neuron emits {sorted(found - allowed)[:3]}")
    largest = max(getattr(neuron.config, "levels", 1) for neuron in neurons)
    for m in maps if getattr(model, "output", "spikes") == "spikes" else ():
        counts = m * largest * (model.time_steps if model.time_readout == "mean" else 1)
        require(
            bool(torch.isclose(counts, counts.round(), rtol=0, atol=1e-4).all()),
            "a map is not a spike count divided by the time steps",
        )


def _counts(neuron: Any, out: Tensor) -> Tensor:
    """Return the distinct numbers of spikes in a neuron's output."""
    normalized = getattr(neuron.config, "normalize", False)
    return (out * neuron.config.levels if normalized else out).unique()


def memory_layout(subject: Subject, model: Any) -> None:
    """The memory layout of the input does not change the output."""
    images, clip = subject.images(model), subject.images(model, STEPS)
    expected = compute_maps(model, images)
    for name, same in (
        ("channels last", images.contiguous(memory_format=torch.channels_last)),
        ("every second value", images.repeat_interleave(2, dim=-1)[..., ::2]),
        ("transposed", images.transpose(-1, -2).contiguous().transpose(-1, -2)),
        ("reversed channels", images.flip(1)[:, range(images.shape[1] - 1, -1, -1)]),
    ):
        require_equal_maps(
            compute_maps(model, same), expected, f"images in memory as {name}"
        )
    swapped = clip.transpose(0, 1).contiguous().transpose(0, 1)
    require_equal_maps(
        compute_maps(model, swapped),
        compute_maps(model, clip),
        "clips with samples first",
    )


def image_sizes(subject: Subject, model: Any) -> None:
    """Sides divisible by ``stride`` work; others are padded or refused, naming it."""
    stride = subject.divisor(model)
    for height, width in ((1, 1), (3, 1), (1, 2)):
        maps = compute_maps(model, subject.of_size(height * stride, width * stride, 1))
        require_finite(maps, f"images of {height}x{width} strides")
    for more in {1, stride // 2, stride - 1} - {0, stride}:
        try:
            maps = compute_maps(model, subject.of_size(stride + more, stride, 1))
        except ValueError as refusal:
            require(
                str(stride) in str(refusal),
                f"a side of {stride + more} is refused without naming the divisor "
                f"{stride}: {refusal}",
            )
        else:
            require_finite(maps, f"a side of {stride + more}")


def neuron_paths(subject: Subject, model: Any) -> None:
    """``set_path`` reaches every neuron, and each path gives finite maps."""
    neurons = mixed_neurons(model)
    try:
        for path in PATHS:
            require(
                set_path(model, path) == len(neurons) > 0,
                f"set_path reaches {set_path(model, path)} of {len(neurons)} neurons",
            )
            require_finite(compute_maps(model, subject.images(model)), f"path {path!r}")
    finally:
        set_path(model, "spike")


def gradients_and_copies(subject: Subject, _model: Any) -> None:
    """After a dual-path step every parameter has a finite gradient; copies are equal.

    Copies are made by deepcopy, pickle and EMA. Frozen parameters have no gradient.
    """
    model = subject.build()
    set_path(model.train(), "dual")
    maps = model(subject.images(model))
    require_finite(maps, "a training step on path 'dual'")
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    if trained:
        torch.stack([m.square().sum() for m in maps]).sum().backward()
    for name, parameter in model.named_parameters():
        if name in trained:
            require(parameter.grad is not None, f"{name} gets no gradient")
            require_finite([parameter.grad], f"the gradient of {name}")
        else:
            require(parameter.grad is None, f"{name} is frozen and gets a gradient")
    _require_equal_copies(subject, model)


def _require_equal_copies(subject: Subject, model: Any) -> None:
    """Require that copies made directly after a training step compute the same."""
    average = ExponentialMovingAverage(model, update_buffers=True)
    average.update_parameters(model)
    twins = {
        "deepcopy": copy.deepcopy(model),
        "pickle": pickle.loads(pickle.dumps(model)),
        "an EMA": average.module,
    }
    for network in (model, *twins.values()):
        set_path(network.eval(), "spike")
    images = subject.images(model, seed=3)
    expected = compute_maps(model, images)
    for name, twin in twins.items():
        require_equal_maps(compute_maps(twin, images), expected, f"a copy by {name}")


def floating_point_types(subject: Subject, model: Any) -> None:
    """Maps have the floating-point type of the images and are finite."""
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        twin = copy.deepcopy(model).to(dtype)
        maps = compute_maps(twin, subject.images(model).to(dtype))
        for m in maps:
            require(m.dtype == dtype, f"{dtype} in, {m.dtype} out")
        require_finite(maps, str(dtype))


INVARIANTS: dict[str, Callable[[Subject, Any], None]] = {
    check.__name__: check
    for check in (
        map_shapes,
        activity,
        batch_independence,
        time_causality,
        statelessness,
        binary_spikes,
        memory_layout,
        image_sizes,
        neuron_paths,
        gradients_and_copies,
        floating_point_types,
    )
}
"""Functions by the name of the invariant; each takes a subject and its model."""
