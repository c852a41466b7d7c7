"""Faults in a batch's images and annotations, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnssl_mm.models.clips import samples_first

TOLERANCE = 2.0
"""Pixels by which a box may exceed its image, due to rounding in a resize."""
HUGE = 1e4
"""Limit far above normalised pixels; larger values overflow in half precision."""


class Fault(NamedTuple):
    """A fault of one sample.

    Attributes:
        kind: ``'inputs'`` or ``'targets'``.
        sample: Its image file, or its index if it has no file.
        detail: A phrase describing the fault.
        certain: Whether it always makes the loss non-finite; otherwise it may.
    """

    kind: str
    sample: str
    detail: str
    certain: bool


def batch_faults(
    inputs: Any, samples: Sequence[Any], classes: int | None = None
) -> list[Fault]:
    """Find the faults in all inputs of a model, certain ones first.

    Args:
        inputs: Inputs of the network: ``[N, ...]``, clips ``[T, N, C, H, W]``, or a
            list of such views.
        samples: Data samples of mmpretrain, mmdet or mmseg, N or none.
        classes: Number of classes, if known.
    """
    faults = [*input_faults(inputs, samples)]
    for index, sample in enumerate(samples):
        name = sample_name(samples, index)
        found = target_faults(sample, classes)
        faults += [Fault("targets", name, detail, sure) for detail, sure in found]
    return sorted(faults, key=lambda fault: not fault.certain)


def sample_name(samples: Sequence[Any], index: int) -> str:
    """Name a sample: its image file, or its index in the dataset or batch."""
    sample = samples[index] if index < len(samples) else None
    get = getattr(sample, "get", lambda *_: None)
    if path := get("img_path"):
        return str(path)
    for key, what in (("sample_idx", "of the data set"), ("img_id", "by its id")):
        if (number := get(key)) is not None:
            return f"image {number} {what}"
    return f"image {index + 1} of the batch"


def input_faults(inputs: Any, samples: Sequence[Any]) -> Iterator[Fault]:
    """Find images with NaN, infinity or values far beyond normalised pixels."""
    views = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    seen = set()
    for view in views:
        if not isinstance(view, Tensor) or not view.is_floating_point():
            continue
        if view.dim() == 5:
            view = samples_first(view)
        flat = view.detach().reshape(len(view), -1)
        bad = (~torch.isfinite(flat)).sum(1).tolist()
        largest = flat.abs().nan_to_num(0.0, 0.0).amax(1).tolist()
        for index, (count, size) in enumerate(zip(bad, largest, strict=True)):
            if index in seen or not (count or size > HUGE):
                continue
            seen.add(index)
            what = f"{count:,} of {flat.shape[1]:,} values are NaN or infinite"
            if not count:
                what = f"values up to {size:.3g}, far beyond normalised pixels"
            yield Fault("inputs", sample_name(samples, index), what, bool(count))


def non_finite_target(samples: Sequence[Any]) -> Fault | None:
    """Find the first annotation with NaN or infinity, cheaply enough for every step."""
    for index, sample in enumerate(samples):
        for name, value in getattr(sample, "all_items", tuple)():
            if name.startswith("gt_"):
                for detail, sure in value_faults(name, value):
                    file = sample_name(samples, index)
                    return Fault("targets", file, detail, sure)
    return None


def target_faults(sample: Any, classes: int | None) -> Iterator[tuple[str, bool]]:
    """Find the faults in a sample's annotations.

    Yields:
        A phrase, and whether the fault is certain, see :class:`Fault`.
    """
    items = dict(getattr(sample, "all_items", dict)())
    for name, value in items.items():
        if name.startswith("gt_") or name == "ignored_instances":
            yield from value_faults(name, value)
    if (instances := items.get("gt_instances")) is not None:
        yield from instance_faults(instances, sample.get("img_shape"), classes)
    if (label_map := items.get("gt_sem_seg")) is not None:
        yield from label_map_faults(label_map.data, classes)
    if isinstance(labels := items.get("gt_label"), Tensor):
        yield from label_faults(labels, classes)


def value_faults(name: str, value: Any) -> Iterator[tuple[str, bool]]:
    """Find NaN and infinity in an annotation of any kind."""
    parts = dict(value.all_items()) if hasattr(value, "all_items") else {"": value}
    for key, part in parts.items():
        tensor = getattr(part, "tensor", part)  # of mmdet's box types
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            continue
        if bad := int((~torch.isfinite(tensor)).sum()):
            entry = f"{name}.{key}".rstrip(".")
            yield f"{bad} of {tensor.numel()} values of {entry} are not finite", True


def instance_faults(
    instances: Any, shape: Sequence[int] | None, classes: int | None
) -> Iterator[tuple[str, bool]]:
    """Find faults in an image's boxes, masks and labels."""
    if (found := instances.get("bboxes")) is not None:
        yield from box_faults(getattr(found, "tensor", found), shape)
    if (masks := instances.get("masks")) is not None:
        yield from mask_faults(masks, shape)
    if isinstance(labels := instances.get("labels"), Tensor):
        yield from label_faults(labels, classes)


def box_faults(boxes: Any, shape: Sequence[int] | None) -> Iterator[tuple[str, bool]]:
    """Find degenerate and outlying boxes.

    Args:
        boxes: Boxes ``[n, 4]`` as x1, y1, x2, y2.
        shape: Height and width of their image.

    Yields:
        A phrase, and whether the fault is certain, see :class:`Fault`.
    """
    if not isinstance(boxes, Tensor) or boxes.shape[-1] != 4 or not len(boxes):
        return
    boxes = boxes.detach().float().cpu()
    sizes = boxes[:, 2:] - boxes[:, :2]
    empty = (sizes <= 0).any(1)
    if empty.any():
        first = describe_box(boxes[empty][0])
        yield (
            f"{int(empty.sum())} of {len(boxes)} boxes have no area, such as {first}",
            True,
        )
    if shape is None:
        return
    height, width = shape[:2]
    limits = torch.tensor([width, height, width, height]) + TOLERANCE
    beyond = ((boxes > limits) | (boxes < -TOLERANCE)).any(1) & ~empty
    if beyond.any():
        first = describe_box(boxes[beyond][0])
        yield (
            f"{int(beyond.sum())} of {len(boxes)} boxes reach beyond the image of "
            f"{width} x {height} pixels, such as {first}",
            False,
        )


def describe_box(box: Tensor) -> str:
    """Format the corners of a box."""
    return "({})".format(", ".join(f"{value:.4g}" for value in box.tolist()))


def mask_faults(masks: Any, shape: Sequence[int] | None) -> Iterator[tuple[str, bool]]:
    """Find empty masks, and masks smaller than their (padded) image."""
    if not all(hasattr(masks, name) for name in ("height", "width", "areas")):
        return
    areas = np.asarray(masks.areas)
    if (areas <= 0).any():
        yield f"{int((areas <= 0).sum())} of {len(areas)} masks are empty", False
    if shape and (masks.height < shape[0] or masks.width < shape[1]):
        yield (
            f"masks of {masks.width} x {masks.height} pixels for an image of "
            f"{shape[1]} x {shape[0]}",
            False,
        )


def label_faults(labels: Tensor, classes: int | None) -> Iterator[tuple[str, bool]]:
    """Find class indices out of range."""
    wrong = labels < 0
    if classes is not None:
        wrong = wrong | (labels >= classes)
    if bool(wrong.any()):
        bad = sorted(set(labels[wrong].flatten().tolist()))[:3]
        limit = f"0 to {classes - 1}" if classes is not None else "0 or more"
        yield f"labels {', '.join(map(str, bad))}, expected {limit}", False


def label_map_faults(
    labels: Tensor, classes: int | None, ignored: int = 255
) -> Iterator[tuple[str, bool]]:
    """Find label maps without a labelled pixel, or with unknown classes."""
    if not labels.numel() or bool((labels == ignored).all()):
        yield (
            f"every pixel of the label map is ignored ({ignored}) or it is empty",
            False,
        )
        return
    yield from label_faults(labels[labels != ignored], classes)


def samples_of(data: Any) -> Sequence[Any]:
    """Return the data samples of a batch; an empty sequence if it has none."""
    found = data.get("data_samples") if isinstance(data, Mapping) else None
    if isinstance(found, Sequence) and not isinstance(found, str):
        return found
    return ()
