"""Clips: where a batch ``[N, T, C, H, W]`` of a loader becomes ``[T, N, C, H, W]``.

A loader stacks samples, so the time axis comes second; spiking networks read it first,
and cannot tell the two orders apart. Data preprocessors exchange the axes, by
:func:`time_first` and nowhere else: what they return, and every network takes, is
``[T, N, C, H, W]``. T is that of the data; a backbone's ``time_steps`` is for still
images. Detectors and segmentors know images only: there a clip is an image of T C
channels on its way, which the backbone takes apart, see :func:`unfold_frames`.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from mmpretrain.models import SelfSupDataPreprocessor
from torch import Tensor

from snnssl_mm.registry import MODELS

PIXELS = ("mean", "std", "to_rgb", "bgr_to_rgb", "rgb_to_bgr")
"""Settings of data preprocessors that concern single pixels."""


def time_first(batch: Tensor) -> Tensor:
    """Return clips ``[N, T, C, H, W]`` as ``[T, N, C, H, W]``, and images as they are.

    Raises:
        ValueError: If the batch has another number of axes.
    """
    if batch.dim() not in (4, 5):
        raise ValueError(
            "expected a batch of images [N, C, H, W] or of clips [N, T, C, H, W], got "
            f"{tuple(batch.shape)}"
        )
    return batch.transpose(0, 1) if batch.dim() == 5 else batch


def samples_first(inputs: Tensor) -> Tensor:
    """Return network inputs ``[T, N, C, H, W]`` as ``[N, T, C, H, W]``.

    For what is computed per sample without a network. Images stay as they are.
    """
    return inputs.movedim(-4, 0)


def unfold_frames(x: Tensor, time_steps: int, in_channels: int) -> Tensor:
    """Return a clip whose frames are folded into channels as ``[T, N, C, H, W]``.

    Pipelines, data preprocessors and sliding windows of detectors and segmentors know
    images only; for them a clip is an image ``[N, T C, H, W]`` with channel ``t C + c``
    for channel c of frame t, as the transform FoldFrames makes it. Any other input is
    returned unchanged.

    Args:
        x: The input of a backbone.
        time_steps: T.
        in_channels: C.

    Raises:
        ValueError: If three channels may be three frames or the colours of an image.
    """
    if x.dim() != 4 or time_steps == 1 or x.shape[1] != time_steps * in_channels:
        return x
    if x.shape[1] == 3:
        raise ValueError(
            f"three channels of {tuple(x.shape)} may be colours or three frames of one "
            "channel; give frames as [T, N, 1, H, W], or set in_channels=3 for colours"
        )
    return time_first(x.unflatten(1, (time_steps, in_channels)))


def frames_of_clips(backbone: Any) -> int:
    """Return the frames of a folded clip: T of a backbone, also if it is expanded."""
    steps: int = backbone.time_steps // getattr(backbone, "spike_steps", 1)
    return steps


def reads_events(backbone: Any) -> bool:
    """Tell whether a backbone reads frames of events: OFF and ON, two channels."""
    return getattr(backbone, "in_channels", None) == 2


def require_time_first(preprocessor: Any, inputs: Any, samples: int) -> None:
    """Refuse clips whose axes a data preprocessor did not exchange.

    Args:
        preprocessor: Data preprocessor of a model with a spiking backbone.
        inputs: What it returned: a batch, or a list of views.
        samples: N.

    Raises:
        ValueError: If the inputs are clips, and not ``[T, N, C, H, W]``.
    """
    ours = (TwoViewDataPreprocessor, ClipDataPreprocessor)
    for view in inputs if isinstance(inputs, (list, tuple)) else [inputs]:
        if not isinstance(view, Tensor) or view.dim() != 5:
            continue
        exchanged = view.shape[1] == samples != len(view)
        if not exchanged and not isinstance(preprocessor, ours):
            kind = type(preprocessor).__name__
            raise ValueError(
                f"{kind} gives clips as {tuple(view.shape)} for {samples} samples, but "
                "spiking networks read [T, N, C, H, W]; wrap it: data_preprocessor="
                "dict(type='snnssl_mm.ClipDataPreprocessor', data_preprocessor=dict("
                f"type='{kind}', ...))"
            )


def refuse_ambiguous_clips(model: Any) -> None:
    """Let a model refuse, at its first batch, clips whose axes are not exchanged.

    Args:
        model: Model of OpenMMLab; without spiking backbone nothing is checked.

    Raises:
        ValueError: When the data preprocessor is called, from
            :func:`require_time_first`.
    """
    preprocessor = getattr(model, "data_preprocessor", None)
    spiking = hasattr(getattr(model, "backbone", None), "time_steps")
    if not spiking or not isinstance(preprocessor, torch.nn.Module):
        return

    def check(module: Any, given: tuple[Any, ...], result: Any) -> None:
        handle.remove()
        inputs = given[0]["inputs"]
        if not isinstance(inputs, (Tensor, list, tuple)):
            return
        views = not isinstance(inputs, Tensor) and inputs[0].dim() == 5
        samples = len(inputs[0] if views else inputs)
        require_time_first(module, result["inputs"], samples)

    handle = preprocessor.register_forward_hook(check)


@MODELS.register_module()
class TwoViewDataPreprocessor(SelfSupDataPreprocessor):
    """mmpretrain's preprocessor, for clips too, with a check for NaN and inf.

    A neuron with NaN input does not fire, so NaN would never reach the loss.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Check, move, convert and normalise a batch.

        Args:
            data: ``inputs`` (one tensor or a list of views, each ``[N, C, H, W]`` or
                ``[N, T, C, H, W]``) and ``data_samples``.
            training: As in mmpretrain.

        Returns:
            The same; clips are ``[T, N, C, H, W]``.
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
        ordered = [time_first(view) for view in views]
        frames = [view.flatten(0, -4) for view in ordered]
        result = super().forward({**data, "inputs": frames}, training)
        views = [
            frame.unflatten(0, view.shape[:-3])
            for frame, view in zip(result["inputs"], ordered, strict=True)
        ]
        return {**result, "inputs": views if isinstance(inputs, list) else views[0]}


@MODELS.register_module()
class ClipDataPreprocessor(BaseDataPreprocessor):
    """Any data preprocessor of OpenMMLab, for clips.

    Wrap a stock model's preprocessor in it where the pipeline gives clips (such as
    :class:`snnssl_mm.datasets.EventFrames`). Colours and normalisation apply to each
    frame; the rest (padding, stacking, labels, mixup) is done by the stock class, which
    sees a clip as an image of T C channels.

    Args:
        data_preprocessor: Config of the stock class, such as ``ClsDataPreprocessor``,
            with ``mean``, ``std`` and ``to_rgb`` as for images.
        **settings: Settings that a model adds, such as ``batch_augments`` of
            mmpretrain's classifiers; those that are not None go to the stock class.

    Example:
        >>> settings = dict(type="mmpretrain.ClsDataPreprocessor", mean=[0.5], std=[2])
        >>> clips = torch.rand(8, 4, 2, 32, 32)
        >>> ClipDataPreprocessor(settings)({"inputs": clips})["inputs"].shape
        torch.Size([4, 8, 2, 32, 32])
    """

    def __init__(self, data_preprocessor: dict[str, Any], **settings: Any) -> None:
        super().__init__()
        given = {name: value for name, value in settings.items() if value is not None}
        inner = {**data_preprocessor, **given}
        pixels = {name: inner.pop(name) for name in PIXELS if name in inner}
        self.pixels = TwoViewDataPreprocessor(**pixels)
        self.inner: Any = MODELS.build(inner)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Preprocess a batch.

        Args:
            data: ``inputs``, clips ``[N, T, C, H, W]`` or a list of N clips
                ``[T, C, H, W]``, which may differ in size; and ``data_samples``.
            training: Whether to augment the batch.

        Returns:
            What the stock class returns; ``inputs`` are ``[T, N, C, H, W]``.

        Raises:
            ValueError: If the inputs are not clips, or differ in T or C.
        """
        inputs, stacked = data["inputs"], isinstance(data["inputs"], Tensor)
        clips = [inputs] if stacked else [clip.unsqueeze(0) for clip in inputs]
        if any(clip.dim() != 5 for clip in clips):
            shape = tuple(clips[0].shape)
            raise ValueError(
                "ClipDataPreprocessor expects clips [N, T, C, H, W], got "
                f"{shape if stacked else shape[1:]}; add a transform that makes frames "
                "(EventFrames), or use the stock data preprocessor for still images"
            )
        frames = self.pixels({"inputs": clips, "data_samples": None})["inputs"]
        steps = {(len(clip), clip.shape[2]) for clip in frames}
        if len(steps) > 1:
            raise ValueError(
                "clips of a batch need the same T and C, got (T, C) = "
                f"{', '.join(map(str, sorted(steps)))}; set time_steps of EventFrames"
            )
        joined = [samples_first(clip).flatten(1, 2) for clip in frames]
        inner = joined[0] if stacked else [clip.squeeze(0) for clip in joined]
        result: dict[str, Any] = self.inner({**data, "inputs": inner}, training)
        batch = result["inputs"].unflatten(1, next(iter(steps)))
        return {**result, "inputs": time_first(batch)}
