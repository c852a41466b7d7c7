"""Base class of self-supervised algorithms on spiking backbones: paths and time."""

from __future__ import annotations

from typing import Any, Self

from mmpretrain.models import BaseSelfSupervisor
from torch import Tensor

from snnssl_mm.models.batch_norm import set_views
from snnssl_mm.neurons import ReLUNeuron, set_path


class SpikingSSL(BaseSelfSupervisor):
    """Self-supervised algorithm whose backbone keeps its time axis.

    In training mode neurons take ``train_path`` and there are ``train_time_steps``; in
    evaluation mode, and in every downstream task, all neurons spike for the full T.

    Args:
        backbone: Config of a spiking backbone; its time readout is set to ``'none'``.
        neck: Config of the neck, see the subclass.
        head: Config of the head, likewise.
        train_path: Path of the neurons in training mode: ``'spike'``, ``'analog'``, or
            ``'dual'``, the first half of the samples on the one and the second on the
            other. PathScheduleHook changes it over training.
        train_time_steps: T in training mode; None for the backbone's, or that of
            clips, which evaluation uses in any case. Of clips, as many frames next to
            each other as needed are averaged.
        data_preprocessor: Config; a TwoViewDataPreprocessor by default.
        init_cfg: Initialisation, see mmengine.
        views: Parts of a training batch whose statistics ``bn='per_view'`` keeps apart;
            None for the halves of path ``'dual'``, and else for the batch as a whole.

    Raises:
        ValueError: If the backbone has neither neurons with paths nor ReLUNeurons.
    """

    backbone: Any
    neck: Any
    head: Any

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: Any = None,
        head: Any = None,
        train_path: str = "spike",
        train_time_steps: int | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: Any = None,
        views: int | None = None,
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
        self.train_path = train_path
        self.time_steps: int = getattr(self.backbone, "time_steps", 1)
        self.train_time_steps = train_time_steps
        self.views = views
        relus = (isinstance(m, ReLUNeuron) for m in self.backbone.modules())
        if set_path(self.backbone, "spike") == 0 and not any(relus):
            name = type(self).__name__
            raise ValueError(
                f"{type(self.backbone).__name__} has no MixedLIF neuron; {name} "
                "needs a spiking backbone such as snnssl_mm.Spikformer"
            )
        self.train(self.training)

    def backbones(self) -> list[tuple[Any, str]]:
        """Return the backbones, each with its path in training."""
        return [(self.backbone, self.train_path)]

    def train(self, mode: bool = True) -> Self:
        """Switch the mode; eval mode always uses the spiking path and the full T."""
        super().train(mode)
        steps = self.train_time_steps if mode else None
        for backbone, path in self.backbones():
            backbone.time_steps = steps or self.time_steps
            set_path(backbone, path if mode else "spike")
            views = self.views or (2 if path == "dual" else 1)
            set_views(backbone, views if mode else 1)
        return self

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the backbone's time-averaged maps ``[N, C, H, W]``.

        Args:
            inputs: Preprocessed images ``[N, C, H, W]``, or clips ``[T, N, C, H, W]``.
        """
        return tuple(features.mean(0) for features in self.backbone(inputs))

    def with_train_time_steps(self, view: Tensor) -> Tensor:
        """Reduce clips to ``train_time_steps`` by averaging frames.

        As if events had been integrated over longer windows, but with the same level.

        Raises:
            ValueError: If the clips' T is not a multiple of it.
        """
        steps = self.train_time_steps if self.training else None
        if view.dim() == 4 or steps is None:
            return view
        if len(view) % steps:
            raise ValueError(
                f"train_time_steps={steps} must divide the T={len(view)} frames of a "
                "clip; change it, or the stages of PathScheduleHook, or time_steps of "
                "the pipeline (EventFrames)"
            )
        return view.unflatten(0, (steps, -1)).mean(1)
