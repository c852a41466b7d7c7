"""Initialisers of a backbone, for mmengine's ``init_cfg``."""

from __future__ import annotations

from typing import Any

from torch import nn

from snnssl_mm.checkpoints.loading import load_backbone
from snnssl_mm.models.membrane_shortcut.attention import (
    MembraneSelfAttention,
    SpikeDrivenAttention,
)
from snnssl_mm.models.membrane_shortcut.mixers import (
    ChannelMixer,
    DepthwiseMixer,
    SeparableMixer,
)
from snnssl_mm.models.residual import CurrentBlock, MembraneBlock
from snnssl_mm.registry import WEIGHT_INITIALIZERS


@WEIGHT_INITIALIZERS.register_module()
class BackboneInit:
    """Initialiser ``init_cfg=dict(type='snnssl_mm.BackboneInit', checkpoint=...)``.

    Args:
        checkpoint: File or URL; see
            :func:`snnssl_mm.checkpoints.loading.load_backbone`.
        strict: Whether every tensor of the module must be found.
    """

    def __init__(self, checkpoint: str, strict: bool = True) -> None:
        if not checkpoint:
            raise ValueError(
                "BackboneInit needs the checkpoint's path, got ''; pass it with "
                "--pretrained FILE or set model.backbone.init_cfg=None"
            )
        self.checkpoint = checkpoint
        self.strict = strict

    def __call__(self, module: nn.Module) -> None:
        """Load the checkpoint into ``module``."""
        # mmengine initialises children after their parent, which would overwrite the
        # loaded weights; it skips children that are already initialised.
        child: Any
        for child in module.children():
            if hasattr(child, "init_weights") and not getattr(child, "is_init", False):
                child.init_weights()
        load_backbone(module, self.checkpoint, self.strict)


@WEIGHT_INITIALIZERS.register_module()
class ZeroResidualInit:
    """Initialiser ``init_cfg=dict(type='snnssl_mm.ZeroResidualInit')``: identity first.

    The last batch norm of each residual branch gets the weight 0, so that every block
    begins as its shortcut. A spiking unit behind a batch norm enlarges gradients, and a
    branch of several enlarges them more: in deep networks the first layers then get
    gradients orders of magnitude larger than the last ones.
    Goyal et al., arXiv 1706.02677, do it in ResNets. For networks whose branches end
    with a batch norm: the membrane-shortcut transformers, and SpikingResNet with
    ``shortcut='ms'`` or ``'spiking'``. A branch that ends with a neuron would be dead.

    Raises:
        ValueError: If no branch ends with a batch norm.
    """

    def __call__(self, module: nn.Module) -> None:
        """Set the weights in ``module``."""
        norms = [norm for child in module.modules() for norm in branch_ends(child)]
        if not norms:
            raise ValueError(
                "expected residual branches that end with a batch norm, and "
                f"{type(module).__name__} has none; take another backbone, or leave "
                "ZeroResidualInit out"
            )
        for norm in norms:
            nn.init.zeros_(norm.weight)


def branch_ends(block: Any) -> list[Any]:
    """Return the batch norms with which residual branches of ``block`` itself end."""
    if isinstance(block, (MembraneBlock, CurrentBlock)):
        return [block.unit(block.depth)[1]]
    ends: list[Any] = []
    if isinstance(block, ChannelMixer):
        ends = [block.expand, block.reduce] if block.inner_residual else [block.reduce]
    elif isinstance(block, SeparableMixer):
        ends = [block.reduce]
    elif isinstance(block, DepthwiseMixer):
        ends = [block.depthwise]
    elif isinstance(block, (SpikeDrivenAttention, MembraneSelfAttention)):
        ends = [block.projection]
    return [end.bn for end in ends]
