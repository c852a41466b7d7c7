"""Training steps that are captured once, in a CUDA graph, and replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from snnssl_mm.models.batch_norm import is_watched

Values = dict[str, Tensor]
"""Logged values of a training step, by name."""


class GraphBackend(Protocol):
    """Captures a function of no arguments.

    Attributes:
        device: Type of the devices that it captures on.
        rate_dtype: Type of the learning rates that a captured optimizer reads.
    """

    device: str
    rate_dtype: torch.dtype

    def capture(self, step: Callable[[], Values]) -> Callable[[], Values]:
        """Record what ``step`` computes, without computing it.

        Returns:
            A function that computes it again, from and to the same memory.
        """


class CUDAGraphs:
    """Capture in CUDA graphs; see :class:`GraphBackend`.

    Kernels are launched by the GPU itself in a replay, without Python and without
    gaps. A graph has memory of its own, which lives as long as it does.
    """

    device = "cuda"
    rate_dtype = torch.float32  # what fused AdamW reads from the device

    def capture(self, step: Callable[[], Values]) -> Callable[[], Values]:
        """Capture ``step`` on a side stream."""
        graph = torch.cuda.CUDAGraph()
        # The data loader's thread that pins memory may allocate meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            values = step()

        def replay() -> Values:
            graph.replay()
            return values

        return replay


def training_step(model: Any, inputs: list[Tensor], optim_wrapper: Any) -> Values:
    """Forward pass, loss, backward pass and update, as in mmengine's ``train_step``.

    Autocast casts a weight at each use: casts that it kept for the next use would be
    tensors from before the capture, or memory of the graph.

    Args:
        model: Model whose ``forward(inputs, mode='loss')`` returns its losses.
        inputs: Preprocessed views.
        optim_wrapper: mmengine's optimizer wrapper.

    Returns:
        The values to log, without a graph of autograd: it would keep gradients'
        accumulators of this stream alive, which cannot be captured on another.
    """
    with optim_wrapper.optim_context(model), no_autocast_cache():
        losses = model(inputs, mode="loss")
    total, values = model.parse_losses(losses)
    optim_wrapper.update_params(total)
    return {name: value.detach() for name, value in values.items()}


@contextmanager
def no_autocast_cache() -> Iterator[None]:
    """Disable autocast's cache of cast weights."""
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)


class StaticRates:
    """Learning rates in tensors, which a captured update reads in every replay.

    The parameter groups keep plain numbers, which schedules compute with and
    checkpoints contain; the tensors stand in for them during the capture only.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, dtype: torch.dtype) -> None:
        self.groups = optimizer.param_groups
        self.rates = [
            torch.zeros((), dtype=dtype, device=group["params"][0].device)
            for group in self.groups
        ]

    def fill(self) -> None:
        """Copy the groups' current learning rates, without waiting for the device."""
        for rate, group in zip(self.rates, self.groups, strict=True):
            rate.fill_(group["lr"])

    @contextmanager
    def in_groups(self) -> Iterator[None]:
        """Put the tensors into the groups, and make these ``capturable``, meanwhile."""
        before = [dict(group) for group in self.groups]
        for rate, group in zip(self.rates, self.groups, strict=True):
            group["lr"] = rate
            if "capturable" in group:
                group["capturable"] = True
        try:
            yield
        finally:
            for group, options in zip(self.groups, before, strict=True):
                group.update(options)


class Situation(NamedTuple):
    """What a captured step depends on besides the values of tensors.

    Attributes:
        inputs: Shape, strides and type of each view.
        network: Numbers, words and tuples of each module: its mode, path, threshold.
        tensors: Address of each parameter and buffer, and whether it is trained.
        options: Options of the parameter groups, without the learning rates.
        state: Identity of the optimizer's state, another one after loading it.
    """

    inputs: tuple[Any, ...]
    network: tuple[Any, ...]
    tensors: tuple[Any, ...]
    options: tuple[Any, ...]
    state: int


PLAIN = (bool, int, float, str, tuple, type(None))
CHANGING_OPTIONS = ("params", "lr")


def situation_of(
    modules: Sequence[nn.Module], inputs: Sequence[Tensor], optimizer: Any
) -> Situation:
    """Describe a training step; equal ones may be replayed for one another."""
    settings = [vars(module) for module in modules]
    tensors = [
        tensor
        for own in settings
        for tensor in (*own["_parameters"].values(), *own["_buffers"].values())
        if tensor is not None
    ]
    return Situation(
        tuple((view.shape, view.stride(), view.dtype) for view in inputs),
        tuple(
            [value for value in own.values() if isinstance(value, PLAIN)]
            for own in settings
        ),
        tuple((tensor.data_ptr(), tensor.requires_grad) for tensor in tensors),
        tuple(
            {key: group[key] for key in group if key not in CHANGING_OPTIONS}
            for group in optimizer.param_groups
        ),
        id(optimizer.state),
    )


class CapturedStep:
    """A training step in one situation, captured; calling it replays it.

    Args:
        model: See :func:`training_step`.
        inputs: Views, as examples.
        optim_wrapper: See :func:`training_step`.
        backend: Captures the step.

    Raises:
        RuntimeError: If the step does something that cannot be captured.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Sequence[Tensor],
        optim_wrapper: Any,
        backend: GraphBackend,
    ) -> None:
        optimizer = optim_wrapper.optimizer
        self.state = optimizer.state  # kept, so that no other one gets its identity
        self.inputs = [torch.empty_like(view) for view in inputs]
        self.copy(inputs)
        self.rates = StaticRates(optimizer, backend.rate_dtype)
        self.rates.fill()
        try:
            with self.rates.in_groups():
                self.replay = backend.capture(
                    lambda: training_step(model, self.inputs, optim_wrapper)
                )
        except RuntimeError as error:
            raise RuntimeError(
                "the training step cannot be captured in a CUDA graph: something in it "
                "waits for the GPU or has a size that depends on data (see the cause "
                "above); train without --graph, or remove GraphedStepHook"
            ) from error

    def copy(self, inputs: Sequence[Tensor]) -> None:
        """Copy views into the memory that the captured step reads."""
        for static, view in zip(self.inputs, inputs, strict=True):
            static.copy_(view)

    def __call__(self, inputs: Sequence[Tensor]) -> Values:
        """Replay the step on these views; return copies of its values."""
        self.copy(inputs)
        self.rates.fill()
        return {name: value.clone() for name, value in self.replay().items()}


class GraphedStep:
    """Training steps, captured and replayed where that gives the same weights.

    A situation (see :class:`Situation`) is captured after ``warmup`` training steps in
    it, which run eagerly and compile, allocate and measure what they need; they are
    steps of the training, so that nothing has to be restored. A smaller last batch runs
    eagerly; another path or number of time steps, or a loaded optimizer state, begins
    with a new warm-up. Steps in which a module has hooks run eagerly, since Python runs
    in the capture only. :class:`snnssl_mm.engine.GraphedStepHook` lists where this can
    be used.

    Args:
        backend: Captures the steps; CUDA graphs by default.
        warmup: Eager steps before a capture, at least one, in which the optimizer
            creates its state.

    Attributes:
        replays: Number of steps that were replayed.
    """

    def __init__(self, backend: GraphBackend | None = None, warmup: int = 3) -> None:
        if warmup < 1:
            raise ValueError(
                f"a capture needs at least 1 eager step before it, got warmup={warmup}"
            )
        self.backend = backend or CUDAGraphs()
        self.warmup = warmup
        self.captured: CapturedStep | None = None
        self.captured_in: Situation | None = None
        self.last: Situation | None = None
        self.repeated = 0  # eager steps in the last situation
        self.replays = 0

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        """Copy as None: copies of the model have other tensors, and step eagerly."""
        return type(None), ()

    def __call__(
        self, model: nn.Module, inputs: list[Tensor], optim_wrapper: Any
    ) -> Values:
        """Make a training step; return its values to log."""
        modules = list(model.modules())
        if any(map(is_watched, modules)):
            return training_step(model, inputs, optim_wrapper)
        now = situation_of(modules, inputs, optim_wrapper.optimizer)
        if self.captured is None or now != self.captured_in:
            if not self.ready_for(now):
                return training_step(model, inputs, optim_wrapper)
            self.captured = CapturedStep(model, inputs, optim_wrapper, self.backend)
            self.captured_in = now
        assert self.captured is not None
        self.replays += 1
        return self.captured(inputs)

    def ready_for(self, now: Situation) -> bool:
        """Whether this situation had its warm-up; free a graph that is outdated."""
        if self.captured_in is not None and now[1:] != self.captured_in[1:]:
            self.captured = self.captured_in = None
        self.repeated = self.repeated + 1 if now == self.last else 1
        self.last = now
        return self.repeated > self.warmup
