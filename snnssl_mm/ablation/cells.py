"""Cells of an ablation: one choice on every axis, and what it sets in the config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from snnssl_mm.ablation.objectives import (
    OBJECTIVES,
    ONE_VIEW,
    PAIRED,
    REDUNDANCY,
    SLICES,
)

NEURONS = {
    "lif": ("spike", "spike"),
    "mixed": ("dual", "dual"),
    "analog": ("analog", "analog"),
    "analog-mixed": ("analog", "dual"),
    "analog-lif": ("analog", "spike"),
    "lif-mixed": ("spike", "dual"),
}
"""Neuron in training -> ``train_path`` before and after the switch: spikes for both
views (LIF), one path per view (MixedLIF), or the analog path for both. Evaluation
always uses spikes."""
PAIRS = {"all": True, "cross-view": False}
BATCH_NORMS = ("joint", "per_view")
VIEWS = ("2", "4", "2+2 small")
WIDTH = 512
"""Width of the embeddings for which the main config's lambda is meant."""


class Cell(NamedTuple):
    """One choice on every axis; the defaults are those of the method.

    Attributes:
        loss: A key of :data:`~snnssl_mm.ablation.objectives.OBJECTIVES`.
        neuron: A key of :data:`NEURONS`.
        bn: Batch statistics of the backbone, ``'joint'`` or ``'per_view'``.
        pairs: ``'all'`` pairs of slices, or ``'cross-view'`` without those of two
            time steps of one view.
        steps: Time steps T; such as ``'2-4'`` for 2 before the switch and 4 after it.
        switch: Share of the training before the switch of path and time steps.
        projector: Batch statistics of the projector, ``'joint'`` or ``'per_view'``.
        views: Views of an image; ``'2+2 small'`` adds two of half the size.
        width: Dimensions D of the embeddings, at constant lambda D.
        jitter: ``'frames'`` redraws brightness and contrast for each time step.
        attention: Scale of the attention, ``'fixed'`` or ``'auto'``.
        threshold: Firing threshold of all neurons but those of attention.
        surrogate: Width of the rectangle, beyond which there is no gradient.
        time: Slices that the loss compares, such as ``'step'``; ``'default'`` for
            those of its config.
        windows: Views of recordings in time, see
            :mod:`snnssl_mm.ablation.data_axes`.
    """

    loss: str = "ctl"
    neuron: str = "mixed"
    bn: str = "joint"
    pairs: str = "all"
    steps: int | str = 4
    switch: float = 0.5
    projector: str = "joint"
    views: str = "2"
    width: int = WIDTH
    jitter: str = "none"
    attention: str = "fixed"
    threshold: float = 1.0
    surrogate: float = 1.0
    time: str = "default"
    windows: str = "config"

    @property
    def structure(self) -> str:
        """Time structure of the loss: which slices it compares."""
        return OBJECTIVES[self.loss][0] if self.time == "default" else self.time

    @property
    def canonical(self) -> Cell:
        """The same cell by its only name: CTL with two slices, or one, has its own."""
        names = {("ctl", "flat"): "flat", ("ctl", "boundary"): "btl"}
        loss = names.get((self.loss, self.time), self.loss)
        named = loss != self.loss or self.time == OBJECTIVES[loss][0]
        return self._replace(loss=loss, time="default" if named else self.time)

    @property
    def time_steps(self) -> tuple[int, int]:
        """T before and after the switch."""
        first, _, last = str(self.steps).partition("-")
        return int(first), int(last or first)

    @property
    def switches(self) -> bool:
        """Whether path or time steps change during training."""
        first, last = NEURONS[self.neuron]
        return first != last or "-" in str(self.steps)

    @property
    def possible(self) -> bool:
        """Whether the cell is defined and not equivalent to another one."""
        one_step = 1 in self.time_steps
        needs_two = self.loss == "predict" or self.structure == "boundary"
        of_views = ("views", "jitter", "windows", "bn", "projector")
        two_views = any(getattr(self, a) != getattr(Cell(), a) for a in of_views)
        return not (
            (self.time_steps == (1, 1) and self.pairs != "all")
            or (self.time_steps == (1, 1) and self.time != "default")
            or (one_step and needs_two)
            or self.structure not in OBJECTIVES[self.loss]
            or (self.loss not in PAIRED and self.pairs != "all")
            or (self.structure in ("step", "flat", "mean") and self.pairs != "all")
            or (self.loss not in REDUNDANCY and self.width != WIDTH)
            or (self.loss in ONE_VIEW and two_views)
            or (not self.switches and self.switch != Cell().switch)
            or (self.jitter != "none" and "-" in str(self.steps))
        )

    def config_options(self) -> dict[str, Any]:
        """Return the settings of this cell on top of those of its objective.

        Those of the data are in :mod:`snnssl_mm.ablation.data_axes`. An axis at its
        default leaves threshold, surrogate, attention and width to the config.
        """
        paths, steps = NEURONS[self.neuron], self.time_steps
        options: dict[str, Any] = {
            "model.train_path": paths[1],
            "model.backbone.bn": self.bn,
            "model.backbone.time_steps": steps[1],
        }
        if self.loss not in ONE_VIEW:
            options["model.projector_bn"] = self.projector
        if self.loss in PAIRED:
            options["model.head.loss.within_view"] = PAIRS[self.pairs]
        if self.time != "default":
            options["model.head.loss.time"] = self.time
        if self.switches:
            stages = [
                dict(begin=begin, train_path=path, train_time_steps=number)
                for begin, path, number in zip(
                    (0, self.switch), paths, steps, strict=True
                )
            ]
            hook = dict(type="snnssl_mm.PathScheduleHook", stages=stages)
            options["default_hooks.path_schedule"] = hook
        if self.width != WIDTH:
            options["model.neck.out_channels"] = self.width
            options["model.head.loss.lambd_dims"] = WIDTH
        if self.attention == "auto":
            options["model.backbone.attention_scale"] = "auto"
        neuron: dict[str, Any] = {}
        if self.threshold != Cell().threshold:
            neuron["v_threshold"] = self.threshold
        if self.surrogate != Cell().surrogate:
            neuron["surrogate"] = dict(type="rectangle", width=self.surrogate)
        if neuron:
            options["model.backbone.neuron"] = neuron
        return options

    def __str__(self) -> str:
        """Return the name of the cell, usable as a folder name."""
        name = f"{self.loss}_{self.neuron}_{self.bn}_{self.pairs}_T{self.steps}"
        further = [
            f"_{axis}-{getattr(self, axis)}".replace(" ", "-")
            for axis in Cell._fields[5:]
            if getattr(self, axis) != getattr(Cell(), axis)
        ]
        return name + "".join(further)


CHOICES: dict[str, tuple[Any, ...]] = {
    "loss": tuple(OBJECTIVES),
    "neuron": tuple(NEURONS),
    "bn": BATCH_NORMS,
    "pairs": tuple(PAIRS),
    "steps": (1, 2, 4, "2-4"),
    "switch": (0.25, 0.5, 0.8),
    "projector": BATCH_NORMS,
    "views": VIEWS,
    "width": (WIDTH, 4 * WIDTH),
    "jitter": ("none", "frames"),
    "attention": ("fixed", "auto"),
    "threshold": (1.0, 0.5),
    "surrogate": (1.0, 2.0),
    "time": SLICES,
    "windows": ("config", "none", "same", "window", "halves", "jitter", "drop"),
}


def cell_of(row: Mapping[str, Any]) -> Cell:
    """Return the cell of a row; axes that older rows lack have their defaults."""
    return Cell(**{axis: row[axis] for axis in Cell._fields if axis in row})
