"""Verification of exported files against the backbone.

In float32 two correct programs differ: they add in another order, occasionally a
membrane falls on the other side of its threshold, and one different spike causes many.
So files are executed in float64, on the exact numbers that they contain; then not one
spike may differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnssl_mm.export.plain import plain_copy
from snnssl_mm.export.program import input_channels
from snnssl_mm.models.backbone import SpikingBackbone
from snnssl_mm.neurons import MixedLIF

TOLERANCE = 1e-6
"""Tolerance for equal values; different spike counts differ by at least 1/T."""


def random_images(
    number: int,
    channels: int,
    image_size: tuple[int, int],
    dtype: torch.dtype,
) -> Tensor:
    """Return ``[N, C, H, W]`` normalised random images, the same in every call."""
    generator = torch.Generator().manual_seed(0)
    shape = (number, channels, *image_size)
    return torch.randn(shape, generator=generator).to(dtype)


def count_differing(maps: Sequence[Tensor], others: Iterable[Any]) -> tuple[int, int]:
    """Count the values that differ, and all values.

    Raises:
        ValueError: If numbers or shapes of the maps differ.
    """
    rivals = [torch.as_tensor(other) for other in others]
    shapes, expected = ([tuple(m.shape) for m in maps_] for maps_ in (rivals, maps))
    if shapes != expected:
        raise ValueError(f"maps have the shapes {shapes}, expected {expected}")
    pairs = zip(maps, rivals, strict=True)
    differing = sum(int(((a - b).abs() > TOLERANCE).sum()) for a, b in pairs)
    return differing, sum(m.numel() for m in maps)


def verdict(maps: Sequence[Tensor], others: Iterable[Any]) -> str:
    """Return a sentence that a file computes the backbone's values.

    Args:
        maps: Maps of the backbone.
        others: Maps of the file.

    Raises:
        ValueError: If values differ.
    """
    differing, total = count_differing(maps, others)
    if differing:
        raise ValueError(
            f"{differing:,} of {total:,} values of the file differ from the "
            "backbone's, so it is not kept; please report this with the config"
        )
    active = sum(int(m.count_nonzero()) for m in maps) / total
    if not active:
        return f"0 of {total:,} values differ, but all are 0: no neuron fires"
    return f"0 of {total:,} values differ ({active:.1%} of them are not 0)"


@torch.no_grad()
def moved_by_folding(
    folded: SpikingBackbone, backbone: SpikingBackbone, image_size: tuple[int, int]
) -> int:
    """Count the values that rounding of the folded weights moves.

    Args:
        folded: Network from :func:`.folding.folded`.
        backbone: Backbone that it was made from.
        image_size: Height and width.
    """
    images = random_images(1, backbone.in_channels, image_size, torch.float64)
    exact = plain_copy(backbone, torch.float64)(images)
    return count_differing(exact, folded(images))[0]


@torch.no_grad()
def verify_nir(file: Path, folded: SpikingBackbone, image_size: tuple[int, int]) -> str:
    """Compare a NIR file with its network, spike by spike at every time step.

    Args:
        file: File of a graph from :func:`.nir_graph.to_nir`.
        folded: Network that the graph was made from.
        image_size: Height and width.
    """
    import nir

    from snnssl_mm.export.nir_graph import output_names
    from snnssl_mm.export.nir_run import NIRRunner

    clip = random_images(1, folded.in_channels, image_size, torch.float64)
    clip = clip.expand(folded.time_steps, *clip.shape)
    every = folded.extract_maps(clip)
    read = NIRRunner(nir.read(file))(clip)
    maps = [every[i] for i in folded.out_indices]
    return verdict(maps, [read[name] for name in output_names(folded)])


@torch.no_grad()
def verify_pt2(
    file: Path, backbone: SpikingBackbone, image_size: tuple[int, int]
) -> str:
    """Compare a program of torch.export with the backbone, in float32.

    Both run the same operators in the same order, so rounding is the same too.
    """
    images = random_images(3, input_channels(backbone), image_size, torch.float32)
    program = torch.export.load(file).module()
    maps = plain_copy(backbone, torch.float32)(images)
    return verdict(maps, program(images))


@torch.no_grad()
def verify_onnx(
    file: Path, backbone: SpikingBackbone, image_size: tuple[int, int]
) -> str:
    """Compare an ONNX file with the backbone, by ONNX's reference implementation."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    images = random_images(3, input_channels(backbone), image_size, torch.float64)
    network = rounded_settings(plain_copy(backbone, torch.float32).double())
    model = to_float64(onnx.load(file))
    by_definition = ReferenceEvaluator(model).run(None, {"images": images.numpy()})
    found = verdict(network(images), by_definition)
    if find_spec("onnxruntime") is None:
        return found
    moved, _ = count_differing(
        plain_copy(backbone, torch.float32)(images.float()),
        run_onnx(file, images.float()),
    )
    return f"{found}; rounding in onnxruntime's float32 moves {moved:,}"


def run_onnx(file: Path, images: Tensor) -> list[Any]:
    """Run an ONNX file with onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    outputs: list[Any] = session.run(None, {"images": images.numpy()})
    return outputs


def rounded_settings(network: SpikingBackbone) -> SpikingBackbone:
    """Round the settings of neurons and batch norms to float32, as a file does."""
    for module in network.modules():
        if isinstance(module, MixedLIF):
            p = module.config
            module.config = p._replace(
                tau=float(np.float32(p.tau)),
                v_threshold=float(np.float32(p.v_threshold)),
                v_reset=None if p.v_reset is None else float(np.float32(p.v_reset)),
            )
        elif hasattr(module, "eps"):
            module.eps = float(np.float32(module.eps))
    return network


def to_float64(model: Any) -> Any:
    """Convert the float32 numbers of an ONNX model to float64."""
    from onnx import TensorProto, numpy_helper

    def widen(tensor: Any) -> None:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    for tensor in model.graph.initializer:
        widen(tensor)
    for node in model.graph.node:
        for attribute in node.attribute:
            widen(attribute.t)
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE
    return model
