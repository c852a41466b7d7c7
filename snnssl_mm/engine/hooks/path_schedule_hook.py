"""Schedule of the neurons' path and of the number of time steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook

from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.neurons.paths import PATHS
from snnssl_mm.registry import HOOKS

SETTINGS = ("train_path", "train_time_steps")


@HOOKS.register_module()
class PathScheduleHook(Hook):
    """Change the path of DualPathSSL and its time steps during pretraining.

    For example, both views on the analog path in the first half, then spiking against
    analog, with one time step at first, which costs a quarter of four::

        dict(type='snnssl_mm.PathScheduleHook', stages=[
            dict(train_path='analog', train_time_steps=1),
            dict(begin=0.5, train_path='dual', train_time_steps=4)])

    Stages depend on the iteration only, so that a resumed training continues in the
    right one. Evaluation is not affected: it spikes, for the backbone's time steps.

    Args:
        stages: Settings of DualPathSSL, ``train_path`` and ``train_time_steps``, and
            where they ``begin``, a share of the iterations from 0 to 1, ascending; 0
            in the first stage. Settings that a stage omits stay.

    Attributes:
        model_stages: The model's settings in each stage; the pre-flight runs a batch
            in each of them.

    Raises:
        ValueError: If a stage has other settings or other values.
    """

    def __init__(self, stages: Sequence[Mapping[str, Any]]) -> None:
        self.begins = [float(stage.get("begin", 0)) for stage in stages]
        unknown = {key for stage in stages for key in stage} - {"begin", *SETTINGS}
        ascending = sorted(set(self.begins)) == self.begins
        if unknown or not ascending or self.begins[:1] != [0] or self.begins[-1] >= 1:
            raise ValueError(
                f"PathScheduleHook expects stages of {SETTINGS} whose begin ascends "
                f"from 0 and stays below 1, got {list(stages)}"
            )
        self.model_stages: list[dict[str, Any]] = []
        for stage in stages:
            before = self.model_stages[-1] if self.model_stages else {}
            own = {key: value for key, value in stage.items() if key != "begin"}
            require_known_values(own)
            self.model_stages.append({**before, **own})
        self.current: int | None = None

    def before_train(self, runner: Any) -> None:
        """Start the schedule; refuse another algorithm.

        Raises:
            TypeError: If the model has no such settings.
        """
        model = unwrapped(runner.model)
        if not all(hasattr(model, name) for name in SETTINGS):
            raise TypeError(
                "PathScheduleHook changes the path of a DualPathSSL, but the model is "
                f"a {type(model).__name__}; remove the hook"
            )
        self.current = None

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Apply the settings of a stage in its first iteration."""
        share = runner.iter / runner.max_iters
        stage = sum(begin <= share for begin in self.begins) - 1
        if stage == self.current:
            return
        self.current = stage
        model = unwrapped(runner.model)
        for name, value in self.model_stages[stage].items():
            setattr(model, name, value)
        model.train()
        listed = ", ".join(f"{k}={v!r}" for k, v in self.model_stages[stage].items())
        runner.logger.info(f"iteration {runner.iter + 1}: {listed}")


def require_known_values(stage: Mapping[str, Any]) -> None:
    """Require a path of neurons, and a number of time steps or None.

    Raises:
        ValueError: If a value is another one.
    """
    path, steps = stage.get("train_path", PATHS[0]), stage.get("train_time_steps")
    if path not in PATHS:
        raise ValueError(
            f"PathScheduleHook got a stage of train_path={path!r}, expected one of "
            f"{PATHS}"
        )
    if steps is not None and (type(steps) is not int or steps < 1):
        raise ValueError(
            f"PathScheduleHook got a stage of train_time_steps={steps!r}, expected an "
            "int of at least 1, or None for the backbone's"
        )
