"""Probes that train a linear classifier or the complete network.

The network is mmpretrain's ImageClassifier, trained by mmengine's Runner. An
interrupted probe resumes from its last epoch and gives the same numbers.
"""

from __future__ import annotations

import copy
import time
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, init_default_scope
from torch.backends import cudnn

from snnssl_mm.probing.digests import samples_digest, settings_digest
from snnssl_mm.probing.feature_cache import CachedBackbone
from snnssl_mm.probing.probe_configs import (
    classifier_settings,
    labelled_dataset,
    runtime_settings,
    testing_settings,
    training_settings,
)
from snnssl_mm.probing.probe_progress import ProgressHook, QuietRunner, prints_to
from snnssl_mm.probing.protocols import Protocol


class TrainedProbe:
    """One trained probe of one backbone, ready to run.

    Args:
        name: Name of the probe, such as ``'finetune'``.
        cfg: Config of the pretraining; its ``labelled_pipeline`` augments the images.
        protocol: Training settings.
        backbone: Backbone from which the training starts.
        classes: Number of classes.

    Attributes:
        images: Number of training images.
        digest: Digest of everything that determines the result.
        work_dir: Folder of checkpoints and logs, in the backbone's folder.

    Raises:
        ValueError: If the config has no ``labelled_pipeline``.
    """

    def __init__(
        self,
        name: str,
        cfg: Config,
        protocol: Protocol,
        backbone: CachedBackbone,
        classes: int,
    ) -> None:
        init_default_scope(cfg.get("default_scope", "mmpretrain"))
        self.seed = cfg.get("randomness", {}).get("seed") or 0
        dataset = labelled_dataset(cfg, protocol.fraction, self.seed)
        built = DATASETS.build(copy.deepcopy(dataset))
        self.images = len(built)
        self.backbone = backbone
        self.cfg = Config(
            {
                "default_scope": "mmpretrain",
                "model": classifier_settings(
                    cfg,
                    protocol,
                    *backbone.shape,
                    classes,
                    clips=backbone.first_inputs.dim() == 5,
                ),
                **training_settings(cfg, protocol, dataset, self.images),
                **testing_settings(cfg, classes),
                **runtime_settings(cfg, self.seed),
            }
        )
        self.digest = settings_digest(
            self.cfg.to_dict(), backbone.digest, samples_digest(built)
        )
        folder = f"{backbone.start}-{name}-{self.digest}"
        self.work_dir = backbone.folder / folder

    def run(self) -> tuple[dict[str, float], float]:
        """Train (or resume training) and test.

        Returns:
            Top-1 accuracy, and top-5 for more than ten classes, from 0 to 1; and the
            seconds that it took, including those before a resumption.
        """
        clock = ClockHook()
        self.backbone.backbone_file()  # shows its own progress bar if it is computed
        with (
            cudnn.flags(enabled=True, benchmark=False, deterministic=True),
            prints_to(self.work_dir / "prints.txt") as bars,
        ):
            runner = self.runner()
            runner.register_hook(clock)
            runner.register_hook(ProgressHook(bars, self.backbone.start))
            runner.train()
            metrics = runner.test()
        found = {
            key.removeprefix("accuracy/"): round(value / 100, 6)  # float32 precision
            for key, value in metrics.items()
        }
        return found, clock.seconds()

    def runner(self) -> QuietRunner:
        """Build the runner, which logs to a file and resumes from its folder."""
        cfg = copy.deepcopy(self.cfg)
        cfg.work_dir = str(self.work_dir)
        # mmengine adds the second to it, and runs of one name share their state.
        cfg.experiment_name = "-".join(self.work_dir.parts[-2:])
        init = {"type": "snnssl_mm.BackboneInit"}
        init["checkpoint"] = str(self.backbone.backbone_file())
        cfg.model.backbone.init_cfg = init
        # Set here, so that the name of the hook does not change the digest.
        cfg.default_hooks.checkpoint.type = "snnssl_mm.AtomicCheckpointHook"
        return QuietRunner.from_cfg(cfg)


class ClockHook(Hook):
    """Hook that counts the seconds of a training across resumptions."""

    priority = "NORMAL"  # before the checkpoint is saved
    entry = "probe_seconds"

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.before = 0.0

    def seconds(self) -> float:
        """Return the seconds until now, including those before a resumption."""
        return self.before + time.monotonic() - self.start

    def before_train(self, runner: Any) -> None:
        """Read the seconds so far from the checkpoint."""
        self.before = runner.message_hub.get_info(self.entry, 0.0)

    def after_train_iter(self, runner: Any, batch_idx: int, *_: Any, **__: Any) -> None:
        """Store the seconds so far, which the next checkpoint contains."""
        runner.message_hub.update_info(self.entry, self.seconds())
