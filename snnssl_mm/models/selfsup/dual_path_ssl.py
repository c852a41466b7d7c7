"""Self-supervised algorithm: views through two paths in one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snnssl_mm.models.selfsup.frozen_teacher import FrozenTeacher
from snnssl_mm.models.selfsup.spiking_ssl import SpikingSSL
from snnssl_mm.models.selfsup.teacher import Teacher
from snnssl_mm.registry import MODELS


class Embeddings(NamedTuple):
    """Embeddings ``[T, N, D]`` of some views.

    Attributes:
        projections: Of the projector.
        predictions: Of the predictor, from the projections; the same without one.
        targets: What the predictions should be, without a gradient: the teacher's
            projections, a frozen teacher's features, or without one the projections.
    """

    projections: Tensor
    predictions: Tensor
    targets: Tensor


@MODELS.register_module()
class DualPathSSL(SpikingSSL):
    """Self-supervised learning with MixedLIF: spiking view A against analog view B.

    The two views are concatenated and pass the network once; in training mode every
    neuron sends the first half of the batch (A) through its spiking path and the
    second (B) through its analog one, with shared weights. A projector maps each time
    step's pooled features to embeddings, which the head's loss compares. In evaluation
    mode, and in every downstream task, all neurons spike. A reconstruction of the
    method of arXiv 2511.18542; other objectives are options beyond it.

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
        train_time_steps: T in training mode; None for the backbone's, or that of
            clips, which evaluation uses in any case. Of clips, as many frames next to
            each other as needed are averaged.
        projector_bn: Batch statistics of the projector's and the predictor's batch
            norms: ``'joint'`` of both halves of the views, or ``'per_view'``, those of
            each half. The backbone has its own option ``bn``.
        predictor: Config of a predictor of embeddings from embeddings, any mmpretrain
            neck without pooling, for the losses that compare predictions with targets
            (NegativeCosineLoss, NextStepLoss). ``in_channels`` and ``out_channels``
            are by default those of the embeddings.
        teacher: Options of a :class:`~snnssl_mm.models.Teacher`, whose projections are
            the targets, such as ``dict(momentum=0.996, path='analog')``; TeacherHook
            updates it. None for the projections themselves.
        frozen_teacher: Options of a :class:`~snnssl_mm.models.FrozenTeacher` instead,
            whose features of the same images are the targets, for distillation
            (FeatureDistillationLoss). The projector has as many outputs. It is no part
            of the model's state: checkpoints do not contain it.
        data_preprocessor: Config; a TwoViewDataPreprocessor by default.
        init_cfg: Initialisation, see mmengine.

    Attributes:
        graphed_step: Makes the training step from the preprocessed views on, instead of
            mmengine; GraphedStepHook sets it.
    """

    graphed_step: Callable[[DualPathSSL, list[Tensor], Any], dict[str, Tensor]] | None
    graphed_step = None
    frozen_teacher: FrozenTeacher | None

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        head: dict[str, Any],
        train_path: str = "dual",
        train_time_steps: int | None = None,
        projector_bn: str = "joint",
        predictor: dict[str, Any] | None = None,
        teacher: dict[str, Any] | None = None,
        frozen_teacher: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(
            backbone,
            neck,
            head,
            train_path,
            train_time_steps,
            data_preprocessor,
            init_cfg,
            views=2,
        )
        if projector_bn not in ("joint", "per_view"):
            raise ValueError(
                f"projector_bn must be 'joint' or 'per_view', got {projector_bn!r}"
            )
        self.projector_bn = projector_bn
        loss = getattr(self.head, "loss_module", None)
        self.has_targets = getattr(loss, "takes_targets", False)
        embedded = neck.get("out_channels")
        if teacher and frozen_teacher:
            raise ValueError(
                "give teacher (an average of past weights) or frozen_teacher (trained "
                "weights), not both"
            )
        if getattr(loss, "needs_teacher", False) and not (teacher or frozen_teacher):
            raise ValueError(
                f"{type(loss).__name__} compares each slice with a teacher's features, "
                "and with its own, without a teacher, it learns nothing; set "
                "frozen_teacher"
            )
        if (predictor or teacher or frozen_teacher) and not self.has_targets:
            raise ValueError(
                "a predictor and a teacher are for losses that compare predictions "
                "with targets, such as snnssl_mm.NegativeCosineLoss; got "
                f"{type(loss).__name__}"
            )
        if predictor is not None:
            channels = dict.fromkeys(("in_channels", "out_channels"), embedded)
            predictor = (channels if embedded else {}) | predictor
        self.predictor = None if predictor is None else MODELS.build(predictor)
        self.teacher = None if teacher is None else Teacher(self, **teacher)
        frozen = None if frozen_teacher is None else FrozenTeacher(**frozen_teacher)
        # Not registered: no parameter, no tensor of a checkpoint, always in eval mode.
        object.__setattr__(self, "frozen_teacher", frozen)
        self.train(self.training)

    def init_weights(self) -> None:
        """Initialise the weights; the teacher begins as a copy."""
        super().init_weights()
        if self.teacher is not None:
            self.teacher.copy_student(self)

    def _apply(self, *args: Any, **kwargs: Any) -> DualPathSSL:
        """Move the frozen teacher too, which is no submodule."""
        if (frozen := getattr(self, "frozen_teacher", None)) is not None:
            frozen._apply(*args, **kwargs)
        moved: DualPathSSL = super()._apply(*args, **kwargs)
        return moved

    def backbones(self) -> list[tuple[Any, str]]:
        """Return the backbones, each with its path in training."""
        found = super().backbones()
        if (teacher := getattr(self, "teacher", None)) is not None:
            found.append((teacher.backbone, teacher.path or self.train_path))
        return found

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """Preprocess a batch, and update the weights; return the logged values."""
        if self.graphed_step is None:
            values: dict[str, Tensor] = super().train_step(data, optim_wrapper)
            return values
        inputs = self.data_preprocessor(data, True)["inputs"]
        return self.graphed_step(self, inputs, optim_wrapper)

    def project(
        self, inputs: Tensor, networks: DualPathSSL | Teacher | None = None
    ) -> Tensor:
        """Compute the embeddings ``[T, N, D]`` of ``inputs``.

        Args:
            inputs: Images, or clips.
            networks: The model itself by default, or its teacher.
        """
        networks = networks or self
        return self.apply_per_step(networks.neck, networks.backbone(inputs)[-1])

    def apply_per_step(self, neck: nn.Module, x: Tensor) -> Tensor:
        """Apply a projector or predictor to ``x`` [T, N, ...] at each time step."""
        apart = self.training and self.projector_bn == "per_view"
        halves = x.chunk(2, dim=1) if apart else (x,)
        z = [
            neck((half.flatten(0, 1),))[0].unflatten(0, half.shape[:2])
            for half in halves
        ]
        return torch.cat(z, dim=1)

    def embed(self, inputs: Tensor) -> Embeddings:
        """Compute what a loss of predictions and targets compares."""
        z = self.project(inputs)
        prediction, target = z, z.detach()
        if self.predictor is not None:
            prediction = self.apply_per_step(self.predictor, z)
        if self.teacher is not None:
            with torch.no_grad():
                target = self.project(inputs, self.teacher)
        if self.frozen_teacher is not None:
            features = self.frozen_teacher(inputs, self.data_preprocessor)
            if features.shape[-1] != prediction.shape[-1]:
                raise ValueError(
                    f"the frozen teacher has {features.shape[-1]} features and the "
                    f"student predicts {prediction.shape[-1]}; set neck.out_channels="
                    f"{features.shape[-1]}"
                )
            target = features.expand(len(z), *features.shape)
        return Embeddings(z, prediction, target)

    def loss(
        self, inputs: list[Tensor], data_samples: Any = None, **_: Any
    ) -> dict[str, Tensor]:
        """Compute the loss and monitored values of one batch of views.

        Args:
            inputs: Preprocessed views, images ``[N, C, H, W]`` or clips
                ``[T, N, C, H, W]``, those of one size next to each other.
            data_samples: Not used; there are no labels.

        Raises:
            ValueError: If there are fewer than two views, or an odd number of a size,
                or ``train_time_steps`` does not divide the T of clips.
        """
        if not isinstance(inputs, list) or len(inputs) < 2:
            raise ValueError(
                "DualPathSSL needs two views of each image; use a two-view pipeline "
                "with collate_fn=dict(type='default_collate')"
            )
        groups: tuple[list[Tensor], ...] = ([], [], [])
        shown = [self.with_train_time_steps(view) for view in inputs]
        for shape, same_size in groupby(shown, key=lambda view: view.shape):
            views = list(same_size)
            if len(views) % 2:
                raise ValueError(
                    "half of the views spike, so DualPathSSL needs an even number of "
                    f"each size; got {len(views)} of shape {tuple(shape)}"
                )
            batch = torch.cat(views, dim=-4)
            for found, z in zip(groups, self.embed(batch), strict=True):
                found += z.chunk(len(views), dim=1)
        views, predictions, targets = groups
        if not self.has_targets:
            return self.head.loss(*views)
        return self.head.loss(*views, predictions=predictions, targets=targets)
