"""What spiking backbones share: freezing, checkpointing, the depth of a parameter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Self

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint


@contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """Let ``module`` work on copies of its buffers, so that these do not change.

    A second forward pass over the same batch must not count twice in BatchNorm's
    running statistics. (Switching their update off instead would change which tensors
    are saved for the backward pass, and checkpointing needs both passes to agree.)
    """
    kept = [(child, dict(child._buffers)) for child in module.modules()]
    for child, buffers in kept:
        for name, buffer in buffers.items():
            child._buffers[name] = None if buffer is None else buffer.clone()
    try:
        yield
    finally:
        for child, buffers in kept:
            child._buffers.update(buffers)


def run_checkpointed(module: nn.Module, *inputs: Any) -> Tensor:
    """Compute ``module(*inputs)`` and keep its inputs only, not what is inside.

    The backward pass computes the inside again. Outputs, gradients and buffers are
    those of a plain call; parameters get gradients also if no input requires one.
    """
    result: Tensor = checkpoint(
        module,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), buffers_kept(module)),
    )
    return result


def run_plainly(module: nn.Module, *inputs: Any) -> Tensor:
    """Compute ``module(*inputs)``."""
    result: Tensor = module(*inputs)
    return result


class SpikingBackbone(BaseModule):
    """Base of the backbones: a stem and layers on top of it.

    A subclass builds its modules, sets :attr:`layer_names`, then calls
    :meth:`freeze`; it runs what ``with_cp`` concerns by ``self.run(module, *inputs)``.

    Args:
        norm_eval: Whether normalisations stay in eval mode while training: they use
            their running statistics and leave them as they are.
        with_cp: Whether activations are computed again in the backward pass instead
            of being stored (gradient checkpointing).
        init_cfg: Initialisation, see mmengine.

    Attributes:
        layer_names: Names of the submodules that are frozen together and share a
            learning rate, from the input on; the first is the stem.
    """

    layer_names: Sequence[str] = ()
    frozen_stages = -1

    def __init__(
        self, norm_eval: bool = False, with_cp: bool = False, init_cfg: Any = None
    ) -> None:
        super().__init__(init_cfg)
        self.norm_eval = norm_eval
        self.run = run_checkpointed if with_cp else run_plainly

    def freeze(self, frozen_stages: int) -> None:
        """Freeze the first layers for good: no gradient, and always in eval mode.

        Args:
            frozen_stages: -1 for none, 0 for the stem, k for the stem and the first
                k layers after it.
        """
        last = len(self.layer_names) - 1
        if not -1 <= frozen_stages <= last:
            raise ValueError(
                f"frozen_stages must be -1 (none), 0 (the stem) or up to {last} (all "
                f"{last} blocks too), got {frozen_stages}"
            )
        self.frozen_stages = frozen_stages
        for layer in self.frozen_layers():
            layer.requires_grad_(False)
        self.train(self.training)

    def frozen_layers(self) -> list[nn.Module]:
        """Return the modules that ``frozen_stages`` names."""
        names = self.layer_names[: self.frozen_stages + 1]
        return [self.get_submodule(name) for name in names]

    def train(self, mode: bool = True) -> Self:
        """Switch mode, except of what is frozen."""
        super().train(mode)
        for layer in self.frozen_layers():
            layer.eval()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _NormBase):
                    module.eval()
        return self

    def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
        """Depth of a parameter, for layer-wise learning-rate decay.

        The same convention as mmpretrain's backbones: 0 is the stem, then come the
        layers, and whatever follows the backbone has the last depth.

        Args:
            param_name: Name of the parameter in the whole model.
            prefix: Name of the backbone there, such as ``'backbone.'``.

        Returns:
            The depth, and the number of depths (layers, stem and head).
        """
        depths = len(self.layer_names) + 1
        if param_name.startswith(prefix):
            inner = param_name.removeprefix(prefix)
            for depth, name in enumerate(self.layer_names):
                if inner.startswith(f"{name}."):
                    return depth, depths
        return depths - 1, depths
