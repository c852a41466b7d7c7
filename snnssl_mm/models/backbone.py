"""Base class of spiking backbones: time, freezing, checkpointing, layer depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Self

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint

from snnssl_mm.models.clips import frames_of_clips, unfold_frames
from snnssl_mm.models.layers import channels_last
from snnssl_mm.models.masking import hide, only_visible, visible_patches


@contextmanager
def buffers_replaced(
    module: nn.Module, buffers: Sequence[dict[str, Tensor | None]]
) -> Iterator[None]:
    """Let ``module`` work on other buffers, and restore its own afterwards.

    Args:
        module: The module.
        buffers: Buffers of each of its modules, see :func:`copied_buffers`.
    """
    kept = [(child, dict(child._buffers)) for child in module.modules()]
    for (child, _), others in zip(kept, buffers, strict=True):
        child._buffers.update(others)
    try:
        yield
    finally:
        for child, own in kept:
            child._buffers.update(own)


def copied_buffers(module: nn.Module) -> list[dict[str, Tensor | None]]:
    """Copy the buffers of each module in ``module``."""
    return [
        {name: None if b is None else b.clone() for name, b in child._buffers.items()}
        for child in module.modules()
    ]


def circumstances(module: nn.Module) -> AbstractContextManager[None]:
    """Return a context in which ``module`` computes later what it would now."""
    buffers, patches = copied_buffers(module), visible_patches()

    @contextmanager
    def restored() -> Iterator[None]:
        with buffers_replaced(module, buffers), only_visible(patches):
            yield

    return restored()


@torch.compiler.disable  # cannot trace a checkpoint that replaces buffers
def run_checkpointed(
    module: nn.Module, *inputs: Any, function: Callable[..., Any] | None = None
) -> Any:
    """Compute ``module(*inputs)`` and keep its inputs only (gradient checkpointing).

    The backward pass recomputes the activations. Outputs, gradients and buffers are
    those of a plain call; parameters get gradients also if no input requires one. The
    recomputation starts from the buffers as they were, so that BatchNorm's running
    statistics, which it must not update again, are the same wherever they are used; and
    it sees the same patches of masked images. ``torch.compile`` runs it uncompiled.

    Args:
        module: Module whose buffers a recomputation must not change.
        *inputs: Its inputs.
        function: What is computed; ``module`` itself by default.
    """
    return checkpoint(
        function or module,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), circumstances(module)),
    )


def run_plainly(
    module: nn.Module, *inputs: Any, function: Callable[..., Any] | None = None
) -> Any:
    """Compute ``module(*inputs)``, or the function, without gradient checkpointing."""
    return (function or module)(*inputs)


class Checkpointed:
    """Base class of modules that recompute activations of their parts, or store them.

    Attributes:
        with_cp: Whether they are recomputed in the backward pass (gradient
            checkpointing); it can be changed at any time.
    """

    with_cp = False

    @property
    def run(self) -> Callable[..., Any]:
        """Return the function that calls a part: ``self.run(part, *inputs)``."""
        return run_checkpointed if self.with_cp else run_plainly


class SpikingBackbone(Checkpointed, BaseModule):
    """Base class of the backbones: a stem and layers on top of it.

    A subclass builds its modules, sets :attr:`layer_names`, :attr:`channels` and
    :attr:`stride`, then calls :meth:`freeze`. It computes its maps in
    :meth:`extract_maps`, and calls modules that ``with_cp`` may checkpoint by
    ``self.run(module, *inputs)``. :func:`snnssl_mm.testing.check_backbone` tests it.

    Args:
        time_steps: T, number of time steps for which a still image is shown, and of
            the frames of a clip that are folded into channels.
        out_indices: Indices of the maps to return.
        time_readout: ``'mean'`` over time, or ``'none'`` to keep the time axis.
        norm_eval: Whether normalisations stay in eval mode while training: they use
            their running statistics and do not update them.
        with_cp: Whether activations are recomputed in the backward pass instead of
            being stored (gradient checkpointing).
        init_cfg: Initialisation, see mmengine.
        num_maps: Number of maps that ``out_indices`` chooses from.
        in_channels: Channels of an image: 3 for colours, 2 for the polarities of
            events.

    Attributes:
        layer_names: Names of the submodules that are frozen together and share a
            learning rate, from the input on; the first are the stem's.
        channels: Channels of each map, whether it is returned or not.
        stride: Divisor of the sides of an image.
        any_size: Whether other sides work, too: maps are then larger by one position.
        structure: Settings that decide the function and are not visible in the tensors'
            shapes, by name; checkpoints are compared by them.
    """

    layer_names: Sequence[tuple[str, ...]] = ()
    channels: Sequence[int] = ()
    stride = 1
    any_size = False
    frozen_stages = -1

    def __init__(
        self,
        time_steps: int = 4,
        out_indices: Sequence[int] = (0,),
        time_readout: str = "mean",
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: Any = None,
        num_maps: int = 4,
        in_channels: int = 3,
    ) -> None:
        super().__init__(init_cfg)
        name = type(self).__name__
        if time_steps < 1:
            raise ValueError(f"{name} needs time_steps >= 1, got {time_steps}")
        if not out_indices or not set(out_indices) <= set(range(num_maps)):
            raise ValueError(
                f"out_indices must be among 0..{num_maps - 1}, got {out_indices}"
            )
        if time_readout not in ("mean", "none"):
            raise ValueError(
                f"time_readout must be 'mean' or 'none', got {time_readout!r}"
            )
        if in_channels < 1:
            raise ValueError(f"in_channels must be at least 1, got {in_channels}")
        self.in_channels = in_channels
        self.time_steps = time_steps
        self.out_indices = tuple(out_indices)
        self.time_readout = time_readout
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.structure: dict[str, Any] = {}

    def extract_maps(self, x: Tensor) -> Sequence[Tensor]:
        """Compute the maps ``[T, N, C, H', W']`` that ``out_indices`` chooses from.

        Args:
            x: ``[N, C, H, W]``, shown ``time_steps`` times, or ``[T, N, C, H, W]``.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of ``out_indices`` for images or clips.

        Args:
            x: ``[N, C, H, W]``, ``[T, N, C, H, W]``, or a clip that passed a stock
                pipeline as an image, see :func:`unfold_frames`.
        """
        x = unfold_frames(x, frames_of_clips(self), self.in_channels)
        self._check_input(x)
        maps = self.extract_maps(channels_last(x))
        outputs = (hide(maps[i]) for i in self.out_indices)
        if self.time_readout == "mean":
            # mmcv's operators read maps of another order as if they were contiguous.
            return tuple(m.mean(0).contiguous() for m in outputs)
        return tuple(outputs)

    def _check_input(self, x: Tensor) -> None:
        name, channels = type(self).__name__, self.in_channels
        if x.dim() not in (4, 5) or x.shape[-3] != channels:
            raise ValueError(
                f"{name} expects [N, {channels}, H, W] or [T, N, {channels}, H, W], or "
                f"frames folded into {frames_of_clips(self)} x {channels} channels as "
                f"its time_steps and in_channels say, got {tuple(x.shape)}"
            )
        height, width = x.shape[-2:]
        divisor = 1 if self.any_size else self.stride
        if height % divisor or width % divisor or 0 in (height, width):
            raise ValueError(
                f"{name} needs image sides that are multiples of {self.stride}, "
                f"got {height}x{width}; resize, or pad in the data preprocessor: "
                f"pad_size_divisor={self.stride} (mmdet, mmpretrain), or "
                f"test_cfg=dict(size_divisor={self.stride}) (mmseg)"
            )

    def freeze(self, frozen_stages: int) -> None:
        """Freeze the first layers: no gradient, and eval mode in every mode.

        Args:
            frozen_stages: -1 for none, 0 for the stem, k for the stem and the first
                k layers after it.
        """
        last = len(self.layer_names) - 1
        if not -1 <= frozen_stages <= last:
            raise ValueError(
                f"frozen_stages must be -1 (none), 0 (the stem) or up to {last} (all "
                f"{last} layers too), got {frozen_stages}"
            )
        self.frozen_stages = frozen_stages
        for layer in self.frozen_layers():
            layer.requires_grad_(False)
        self.train(self.training)

    def frozen_layers(self) -> list[nn.Module]:
        """Return the modules that ``frozen_stages`` freezes."""
        layers = self.layer_names[: self.frozen_stages + 1]
        return [self.get_submodule(name) for names in layers for name in names]

    def train(self, mode: bool = True) -> Self:
        """Switch the mode of all but the frozen layers."""
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

        The convention is that of mmpretrain's backbones: 0 is the stem, then come the
        layers, and everything after the backbone has the last depth.

        Args:
            param_name: Name of the parameter in the complete model.
            prefix: Prefix of the backbone in it, such as ``'backbone.'``.

        Returns:
            The depth, and the number of depths (layers, stem and head).
        """
        depths = len(self.layer_names) + 1
        if param_name.startswith(prefix):
            inner = param_name.removeprefix(prefix)
            for depth, names in enumerate(self.layer_names):
                if inner.startswith(tuple(f"{name}." for name in names)):
                    return depth, depths
        return depths - 1, depths
