"""Export of a spiking backbone as a program: torch.export (.pt2) and ONNX.

Both contain path 'spike' in eval mode, T time steps unrolled, for any number of images
``[N, C, H, W]`` of one size, normalised; for a network that reads events, of clips
``[N, T C, H, W]``, whose frames are folded into channels. Their outputs are those of
the backbone, with its ``time_readout``. They use plain operators only, so that a
``.pt2`` runs where snnssl_mm is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.export import Dim, ExportedProgram

from snnssl_mm.export.plain import plain_copy
from snnssl_mm.models.backbone import SpikingBackbone
from snnssl_mm.models.clips import reads_events
from snnssl_mm.neurons.kernels.ops import halve_op


def _plain_halve(x: Tensor) -> tuple[Tensor, Tensor]:
    """Plain max-pooling in place of ``snnssl_mm::halve``; the 2nd output is unused."""
    return F.max_pool2d(x, 3, 2, 1), x.new_zeros((), dtype=torch.uint8)


PLAIN = {halve_op.op: _plain_halve}
"""Plain replacements of operators that networks use with any neuron backend."""


def input_channels(backbone: SpikingBackbone) -> int:
    """Return the channels of a program's input: T C of clips of events, else C."""
    steps = backbone.time_steps if reads_events(backbone) else 1
    return int(steps * backbone.in_channels)


def to_program(
    backbone: SpikingBackbone, image_size: tuple[int, int]
) -> ExportedProgram:
    """Export a backbone for images of one size, in float32.

    Args:
        backbone: Backbone, exported with its ``time_steps`` and ``time_readout``.
        image_size: Height and width, multiples of the backbone's stride.
    """
    network = plain_copy(backbone, torch.float32)
    images = torch.zeros(2, input_channels(backbone), *image_size)
    with torch.no_grad():
        program = torch.export.export(
            network, (images,), dynamic_shapes=({0: Dim("batch")},)
        )
        if any(node.target in PLAIN for node in program.graph.nodes):
            program = program.run_decompositions(PLAIN)
    return program


def save_onnx(
    program: ExportedProgram, file: Path, about: Mapping[str, str] | None = None
) -> None:
    """Write a program of :func:`to_program` as one ONNX file.

    The input is called ``images``, the outputs ``map0``, ``map1`` ...

    Args:
        program: Program to write.
        file: File to write.
        about: Metadata of the file.
    """
    outputs = len(program.graph_signature.user_outputs)
    exported = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        input_names=["images"],
        output_names=[f"map{index}" for index in range(outputs)],
    )
    assert exported is not None
    exported.model.metadata_props.update(about or {})
    exported.save(str(file), external_data=False)
