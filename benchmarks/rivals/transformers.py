"""spikingjelly's own SDT-V1 and MaxFormer, and ours with their weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.model import maxformer, spike_driven_transformer
from torch import Tensor, nn

from rivals.neuron import OUR_NEURON
from snnssl_mm.conversion import convert
from snnssl_mm.conversion.structure import FAMILIES

NETWORKS = {
    "SDT-V1 8-384": (spike_driven_transformer.SpikeDrivenTransformer, {}),
    "MaxFormer 10-384": (maxformer.MaxFormer, {}),
}
"""spikingjelly's class and its options."""
SMALL = {
    "SDT-V1 8-384": dict(embed_dims=48, num_heads=3, depths=1),
    "MaxFormer 10-384": dict(embed_dims=64, depths=(1, 1, 1)),
}


def blocks(net: nn.Module) -> Iterator[nn.Module]:
    """Yield the parts of spikingjelly's network up to its last map, in order."""
    if isinstance(net, spike_driven_transformer.SpikeDrivenTransformer):
        yield from (net.patch_embed, *net.blocks)
        return
    for number in (1, 2, 3):
        yield net.get_submodule(f"patch_embed{number}")
        yield from net.get_submodule(f"stage{number}")


class Theirs(nn.Module):
    """spikingjelly's network without its head, for images [N, 3, H, W]."""

    def __init__(self, net: nn.Module, time_steps: int) -> None:
        super().__init__()
        self.blocks, self.time_steps = nn.ModuleList(blocks(net)), time_steps
        for node in self.modules():
            if isinstance(node, neuron.LIFNode):
                node.detach_reset = True  # as ours; some of theirs have it

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Return the last map [T, N, C, h, w]."""
        functional.reset_net(self)
        x = x.repeat(self.time_steps, 1, 1, 1, 1)
        for block in self.blocks:
            x = block(x)
        return (x,)


def pair(name: str, small: bool, time_steps: int) -> dict[str, Callable[[], nn.Module]]:
    """Builders of ours and of theirs, with equal weights."""
    kind, options = NETWORKS[name]
    chosen: dict[str, Any] = {**options, **(SMALL[name] if small else {})}
    net = kind(time_steps, num_classes=2, **chosen)
    stem = {"stem": "imagenet"} if "SDT" in name else {}
    conversion = convert(net.state_dict(), given=stem)

    def ours() -> nn.Module:
        settings = {**conversion.settings, "neuron": OUR_NEURON}
        model = FAMILIES[conversion.family].kind(
            **settings, time_steps=time_steps, time_readout="none", out_indices=(2,)
        )
        model.load_state_dict(conversion.state)
        return model

    return {"ours": ours, "spikingjelly": lambda: Theirs(net, time_steps)}
