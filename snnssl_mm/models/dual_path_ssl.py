"""Self-supervised algorithm: views through two paths in one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import torch
from mmpretrain.models import BaseSelfSupervisor, SelfSupDataPreprocessor
from torch import Tensor

from snnssl_mm.models.batch_norm import set_views
from snnssl_mm.neurons import ReLUNeuron, set_path
from snnssl_mm.registry import MODELS


@MODELS.register_module()
class TwoViewDataPreprocessor(SelfSupDataPreprocessor):
    """mmpretrain's preprocessor, for clips too, with a check for NaN and inf.

    A neuron with NaN input does not fire, so NaN would never reach the loss.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Check, move, convert and normalise a batch.

        Args:
            data: ``inputs`` (one tensor or a list of views, each ``[N, 3, H, W]`` or
                ``[N, T, 3, H, W]``) and ``data_samples``.
            training: As in mmpretrain.
        """
        inputs = data["inputs"]
        views = inputs if isinstance(inputs, list) else [inputs]
        if not all(isinstance(view, Tensor) for view in views):
            raise ValueError(
                "expected one stacked tensor a view, got lists; set "
                "collate_fn=dict(type='default_collate') in the data loader"
            )
        for index, view in enumerate(views):
            if view.is_floating_point() and not torch.isfinite(view).all():
                bad = (~torch.isfinite(view)).flatten(1).any(1).nonzero()
                samples = data.get("data_samples") or [{}] * len(view)
                file = samples[int(bad[0])].get("img_path")
                raise ValueError(
                    f"view {index} of the batch contains NaN or inf in {len(bad)} of "
                    f"{len(view)} images, first in {file or f'number {int(bad[0])}'}; "
                    "check the image and the transforms with `snnssl browse`"
                )
        samples_and_steps = views[0].shape[:-3]
        frames = [view.flatten(0, -4) for view in views]
        result = super().forward({**data, "inputs": frames}, training)
        views = [view.unflatten(0, samples_and_steps) for view in result["inputs"]]
        return {**result, "inputs": views if isinstance(inputs, list) else views[0]}


@MODELS.register_module()
class DualPathSSL(BaseSelfSupervisor):
    """Self-supervised learning with MixedLIF: spiking view A against analog view B.

    The two views are concatenated and pass the network once; in training mode every
    neuron sends the first half of the batch (A) through its spiking path and the
    second (B) through its analog one, with shared weights. A projector maps each time
    step's pooled features to embeddings, which the head's temporal loss compares. In
    evaluation mode, and in every downstream task, all neurons spike. A reconstruction
    of the method of arXiv 2511.18542.

    With more than two views, an option beyond the method, the first half of them
    spikes and the rest is analog. Views of another size, such as the small crops of
    multi-crop (Caron et al., arXiv 2006.09882), pass the network after the others,
    again half and half, so that there must be an even number of each size.

    Args:
        backbone: Config of a spiking backbone; its time readout is set to ``'none'``.
            With ``neuron=dict(type='snnssl_mm.ReLUNeuron')`` it has no paths, and both
            views pass the same network.
        neck: Config of the projector, any mmpretrain neck; it sees [T N, C, H, W].
        head: Config of the head, such as TemporalLossHead.
        train_path: Path of the neurons in training mode: ``'dual'``, or ``'spike'``
            or ``'analog'`` for all views. PathScheduleHook changes it over training.
        train_time_steps: T in training mode, for still images; None for the
            backbone's, which evaluation uses in any case.
        projector_bn: Batch statistics of the projector's batch norms: ``'joint'`` of
            both halves of the views, or ``'per_view'``, those of each half. The
            backbone has its own option ``bn``.
        data_preprocessor: Config; a TwoViewDataPreprocessor by default.
        init_cfg: Initialisation, see mmengine.

    Attributes:
        graphed_step: Makes the training step from the preprocessed views on, instead of
            mmengine; GraphedStepHook sets it.
    """

    graphed_step: Callable[[DualPathSSL, list[Tensor], Any], dict[str, Tensor]] | None
    graphed_step = None

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        head: dict[str, Any],
        train_path: str = "dual",
        train_time_steps: int | None = None,
        projector_bn: str = "joint",
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: Any = None,
    ) -> None:
        data_preprocessor = dict(data_preprocessor or {})
        data_preprocessor.setdefault("type", "snnssl_mm.TwoViewDataPreprocessor")
        super().__init__(
            backbone={**backbone, "time_readout": "none"},
            neck=neck,
            head=head,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        if projector_bn not in ("joint", "per_view"):
            raise ValueError(
                f"projector_bn must be 'joint' or 'per_view', got {projector_bn!r}"
            )
        self.train_path = train_path
        self.time_steps: int = getattr(self.backbone, "time_steps", 1)
        self.train_time_steps = train_time_steps
        self.projector_bn = projector_bn
        relus = (isinstance(m, ReLUNeuron) for m in self.backbone.modules())
        if set_path(self.backbone, "spike") == 0 and not any(relus):
            raise ValueError(
                f"{type(self.backbone).__name__} has no MixedLIF neuron; DualPathSSL "
                "needs a spiking backbone such as snnssl_mm.Spikformer"
            )
        self.train(self.training)

    def train(self, mode: bool = True) -> DualPathSSL:
        """Switch the mode; eval mode always uses the spiking path and the full T."""
        super().train(mode)
        steps = self.train_time_steps if mode else None
        self.backbone.time_steps = steps or self.time_steps
        set_path(self.backbone, self.train_path if mode else "spike")
        set_views(self.backbone, 2 if mode else 1)
        return self

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """Preprocess a batch, and update the weights; return the logged values."""
        if self.graphed_step is None:
            values: dict[str, Tensor] = super().train_step(data, optim_wrapper)
            return values
        inputs = self.data_preprocessor(data, True)["inputs"]
        return self.graphed_step(self, inputs, optim_wrapper)

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the backbone's time-averaged maps ``[N, C, H, W]``."""
        return tuple(features.mean(0) for features in self.run_backbone(inputs))

    def run_backbone(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute maps ``[T, N, C, H, W]`` of images, or of clips ``[N, T, ...]``."""
        if inputs.dim() == 5:  # [N, T, ...] from the loader, time first in the network
            inputs = inputs.transpose(0, 1)
        return self.backbone(inputs)

    def project(self, inputs: Tensor) -> Tensor:
        """Compute the embeddings ``[T, N, D]`` of ``inputs``."""
        features = self.run_backbone(inputs)[-1]
        apart = self.training and self.projector_bn == "per_view"
        halves = features.chunk(2, dim=1) if apart else (features,)
        z = [
            self.neck((half.flatten(0, 1),))[0].unflatten(0, half.shape[:2])
            for half in halves
        ]
        return torch.cat(z, dim=1)

    def loss(
        self, inputs: list[Tensor], data_samples: Any = None, **_: Any
    ) -> dict[str, Tensor]:
        """Compute the loss and monitored values of one batch of views.

        Args:
            inputs: Views, each ``[N, 3, H, W]`` (or ``[N, T, 3, H, W]``, images with a
                time axis), those of one size next to each other.
            data_samples: Not used; there are no labels.

        Raises:
            ValueError: If there are fewer than two views, or an odd number of a size.
        """
        if not isinstance(inputs, list) or len(inputs) < 2:
            raise ValueError(
                "DualPathSSL needs two views of each image; use a two-view pipeline "
                "with collate_fn=dict(type='default_collate')"
            )
        z: list[Tensor] = []
        for shape, same_size in groupby(inputs, key=lambda view: view.shape):
            views = list(same_size)
            if len(views) % 2:
                raise ValueError(
                    "half of the views spike, so DualPathSSL needs an even number of "
                    f"each size; got {len(views)} of shape {tuple(shape)}"
                )
            z += self.project(torch.cat(views)).chunk(len(views), dim=1)
        return self.head.loss(*z)
