"""Final checkpoint with the BatchNorm statistics of the spiking path."""

from __future__ import annotations

from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.checkpoints.random_states import random_states_kept
from snnssl_mm.models import DualPathSSL
from snnssl_mm.probing.probe_models import build_eval_model
from snnssl_mm.recording.health_features import estimate_statistics
from snnssl_mm.recording.two_views import two_view_batches
from snnssl_mm.registry import HOOKS


@HOOKS.register_module()
class SpikingStatisticsHook(Hook):
    """Re-estimate BatchNorm statistics on the spiking path for the final checkpoint.

    In training the running statistics average over the spiking and the analog path,
    but everything that uses the checkpoint spikes. The hook replaces them in the
    checkpoint at the end of training by averages over augmented training images on the
    spiking path; ``--pretrained`` takes those. Weights, frozen layers, a predictor, a
    teacher, the running model and earlier checkpoints keep what they have.

    Args:
        num_images: Training images to estimate from, evenly spread, two views each.
    """

    priority = "VERY_LOW"  # after EMAHook, whose weights the checkpoint gets

    def __init__(self, num_images: int = 1024) -> None:
        if num_images < 2:
            raise ValueError(
                f"SpikingStatisticsHook needs num_images >= 2, got {num_images}"
            )
        self.num_images = num_images

    def before_train(self, runner: Any) -> None:
        """Refuse another algorithm, whose last checkpoint would fail.

        Raises:
            TypeError: If the model is no DualPathSSL, which has two views.
        """
        model = unwrapped(runner.model)
        if not isinstance(model, DualPathSSL):
            raise TypeError(
                "SpikingStatisticsHook needs the two views of a DualPathSSL, but the "
                f"model is a {type(model).__name__}; remove the hook"
            )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Replace the statistics in the checkpoint that ends training."""
        # Checkpoints by iterations are written before runner.iter counts the last one.
        if checkpoint["meta"]["iter"] < runner.max_iters or not is_main_process():
            return
        device = next(runner.model.parameters()).device
        with random_states_kept():
            model = build_eval_model(runner.cfg).to(device)
        model.load_state_dict(checkpoint["state_dict"])
        loader = runner.train_dataloader
        views = two_view_batches(loader.dataset, loader.collate_fn, self.num_images)
        estimate_statistics(model, views)
        for name, buffer in model.named_buffers():
            if name in checkpoint["state_dict"]:
                checkpoint["state_dict"][name] = buffer.cpu()
        runner.logger.info(
            f"the checkpoint has BatchNorm statistics of the spiking path, of "
            f"{min(self.num_images, len(loader.dataset))} training images"
        )
