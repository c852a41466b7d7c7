"""Preprocessing of the views of images and clips, with a check for NaN and inf."""

from __future__ import annotations

from typing import Any

import torch
from mmpretrain.models import SelfSupDataPreprocessor
from torch import Tensor

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
