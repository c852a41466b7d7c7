"""Folding of batch norms into the convolutions before them, for inference.

A batch norm in eval mode is y = a x + b in each channel, with

    a = weight / sqrt(running_var + eps),  b = bias - a running_mean,

so behind a convolution it is that convolution with the weights a W and the bias
a bias + b. Which norm follows which convolution is not guessed from names: one forward
pass shows it. A norm that a neuron's kernel computes on the way is never called, costs
nothing, and stays.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from snnssl_mm.export.plain import plain_copy
from snnssl_mm.models.backbone import SpikingBackbone

aten = torch.ops.aten


class _Followers(TorchDispatchMode):
    """What uses the outputs of each convolution, and what each norm gets.

    Attributes:
        users: Norms that get all of a convolution's output, and None for each other
            use of it.
        sources: Convolutions whose outputs a norm gets, and None for other inputs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[nn.Module, set[nn.Module | None]] = {}
        self.sources: dict[nn.Module, set[nn.Module | None]] = {}
        self.running: list[nn.Module] = []
        # The tensors are kept, so that no id is used twice.
        self.made: dict[int, tuple[Tensor, nn.Module]] = {}

    def maker(self, x: Any) -> nn.Module | None:
        """Return the convolution whose complete output ``x`` is, if one is."""
        return self.made[id(x)][1] if id(x) in self.made else None

    def enter(self, module: nn.Module, inputs: Any) -> None:
        """Record what a norm gets (a forward pre-hook)."""
        self.running.append(module)
        if isinstance(module, _NormBase):
            conv = self.maker(inputs[0]) if inputs else None
            self.sources.setdefault(module, set()).add(conv)
            if conv is not None:
                self.users[conv].add(module)

    def leave(self, module: nn.Module, _inputs: Any, output: Any) -> None:
        """Record what a convolution gives (a forward hook)."""
        self.running.pop()
        if isinstance(module, nn.Conv2d):
            self.users.setdefault(module, set())
            self.made[id(output)] = output, module

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        inside = self.running and isinstance(self.running[-1], _NormBase)
        for x in () if inside else tree_leaves((args, kwargs)):
            conv = self.maker(x)
            if conv is None:
                continue
            viewed = func.is_view and isinstance(output, Tensor)
            if viewed and output.shape[-3:] == x.shape[-3:] and same_size(output, x):
                self.made[id(output)] = output, conv  # time and batch rearranged
            else:
                self.users[conv].add(None)
        return output


def same_size(x: Tensor, y: Tensor) -> bool:
    """Whether two tensors have as many values."""
    return x.numel() == y.numel()


@torch.no_grad()
def find_pairs(run: Callable[[], Any]) -> list[tuple[Any, Any]]:
    """Pair convolutions and batch norms that always follow each other.

    Args:
        run: Runs the network in eval mode. What it does not call is in no pair.

    Returns:
        Convolution and norm of each pair: nothing else uses the convolution's output,
        the norm gets nothing else, and has running statistics.
    """
    watcher = _Followers()
    with ExitStack() as stack:
        stack.enter_context(register_module_forward_pre_hook(watcher.enter))
        stack.enter_context(register_module_forward_hook(watcher.leave))
        stack.enter_context(watcher)
        result = run()
    for leaf in tree_leaves(result):
        if (conv := watcher.maker(leaf)) is not None:
            watcher.users[conv].add(None)
    return [
        (conv, norm)
        for norm, convs in watcher.sources.items()
        for conv in convs
        if len(convs) == 1
        and conv is not None
        and watcher.users[conv] == {norm}
        and is_affine(norm)
    ]


def is_affine(norm: Any) -> bool:
    """Whether a norm is an affine map of each channel, by running statistics."""
    return not norm.training and norm.running_mean is not None


def fold(conv: Any, norm: Any) -> None:
    """Put a batch norm into the convolution before it; compute in float64."""
    dtype = conv.weight.dtype
    mean, var = norm.running_mean.double(), norm.running_var.double()
    affine = (norm.weight, norm.bias)
    scale, shift = (None if t is None else t.double() for t in affine)
    bias = None if conv.bias is None else conv.bias.double()
    weight, bias = fuse_conv_bn_weights(
        conv.weight.double(), bias, mean, var, norm.eps, scale, shift
    )
    conv.weight, conv.bias = (
        nn.Parameter(t.to(dtype), conv.weight.requires_grad) for t in (weight, bias)
    )


def fold_norms(network: nn.Module, run: Callable[[], Any]) -> list[str]:
    """Fold the batch norms of a network in place, for inference.

    The network then computes the same up to rounding: in float64 the same spikes, in
    float32 a membrane within rounding of its threshold may fire at another step. It
    has other tensors, and fine-tunes differently, so fold a copy of what is trained
    further.

    Args:
        network: Network in eval mode.
        run: Runs it on any input, see :func:`find_pairs`.

    Returns:
        Names of the norms that were folded.
    """
    names: list[str] = []
    # Again, because a norm may follow a norm, as behind a RepConv.
    while pairs := find_pairs(run):
        for conv, norm in pairs:
            fold(conv, norm)
        gone = {norm for _, norm in pairs}
        for name, module in list(network.named_modules(remove_duplicate=False)):
            if module in gone:
                network.set_submodule(name, nn.Identity())
                names.append(name)
    return names


@torch.no_grad()
def folded(
    backbone: SpikingBackbone, image_size: tuple[int, int], dtype: torch.dtype
) -> SpikingBackbone:
    """Copy ``backbone`` for export, with its batch norms in its convolutions.

    RepConvs become one convolution each, whose input is spikes. The copy computes in
    float64 with weights rounded to ``dtype``, so that it fires exactly as a file of
    ``dtype`` does.
    """
    network = plain_copy(backbone, torch.float64)
    clip = torch.zeros(1, 1, network.in_channels, *image_size, dtype=torch.float64)
    network._check_input(clip)
    if hasattr(network, "switch_to_deploy"):
        network.switch_to_deploy()
    fold_norms(network, lambda: network.extract_maps(clip))
    for parameter in network.parameters():
        parameter.copy_(parameter.to(dtype))
    return network
