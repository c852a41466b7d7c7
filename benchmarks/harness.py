"""Comparison of implementations: equal results, interleaved times, peak memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from device_timing import Cuda, QueuedTimer, Sample
from memory import PeakMemory
from torch import Tensor

T = TypeVar("T")

Run = Callable[[], Any]
"""Timed function; returns the compared result, a tensor or a sequence of tensors."""

SAMPLE_S = 2e-3
"""Shorter runs are repeated within a round until they take this long."""


@dataclass(frozen=True)
class Side:
    """One of the compared implementations.

    Attributes:
        build: Makes a run with its inputs, for a size.
        compared: Whether its result must equal ours; False for another function.
        memory: Whether to measure its peak memory.
    """

    build: Callable[[Any], Run]
    compared: bool = True
    memory: bool = True


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        name: Name of the computation, unique in its row.
        sides: Name -> side; the first is ours.
        size: Size for ``build``.
        small: Size of a first run that loads code and kernels, for the memory.
        check: Comparison of the sides instead of comparing the results of the warm-up;
            returns a description and raises if the sides differ.
        tolerance: Largest relative difference, and largest absolute difference as a
            fraction of the root mean square of our result.
        may_differ: Share of elements that may differ more, such as spikes of membranes
            that reach the threshold only by rounding.
        budget_s: Time for the rounds; it may be exceeded to reach the fewest rounds.
        rounds: Fewest and most rounds.
        items: Number of items per run and their unit, for a rate.
        details: Computes further numbers of the sides from runs and medians.
        headline: Whether the README shows the case.
    """

    name: str
    sides: Mapping[str, Side]
    size: Any = None
    small: Any = None
    check: Callable[[], str] | None = None
    tolerance: tuple[float, float] = (1e-4, 1e-5)
    may_differ: float = 0.0
    budget_s: float = 10.0
    rounds: tuple[int, int] = (3, 30)
    items: tuple[int, str] | None = None
    details: Callable[[dict[str, Run], dict[str, float]], dict[str, Any]] | None = None
    headline: bool = False


@dataclass(frozen=True)
class Skipped:
    """A comparison that this machine cannot make.

    Attributes:
        name: As of a :class:`Case`.
        reason: What the machine lacks.
    """

    name: str
    reason: str


def seconds_of(run: Run, number: int, device: str) -> float:
    """Measure the seconds per run over ``number`` runs, including the device's work.

    From an idle device, so with the host's latency; :class:`.QueuedTimer` has none.
    """
    if device == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        for _ in range(number):
            run()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1e3 / number
    begin = time.perf_counter()
    for _ in range(number):
        run()
    return (time.perf_counter() - begin) / number


def interleave(
    runs: Mapping[str, Run],
    seconds: Callable[[str, Run], T],
    budget_s: float,
    rounds: tuple[int, int],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[T]]:
    """Time all runs in turn, round by round, until the budget is used up."""
    times: dict[str, list[T]] = {name: [] for name in runs}
    end = clock() + budget_s
    for index in range(rounds[1]):
        if index >= rounds[0] and clock() >= end:
            break
        for name, run in runs.items():
            times[name].append(seconds(name, run))
    return times


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return median and quartiles with four digits."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return {"median": digits(middle), "quartiles": [digits(low), digits(high)]}


def digits(value: float, number: int = 4) -> float:
    """Round to a number of significant digits."""
    return float(f"{value:.{number}g}")


def summarise_times(times: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    """Summarise the seconds of every side, and their ratios to ours.

    Ratios are taken within a round, so that temporary load affects both runs; median
    and quartiles are over the rounds.
    """
    ours, *others = times
    sides = {
        name: {"seconds": spread(values), "rounds": len(values)}
        for name, values in times.items()
    }
    for name in others:
        pairs = zip(times[name], times[ours], strict=True)
        sides[name]["times_ours"] = spread([other / own for other, own in pairs])
    return sides


def summarise(samples: Mapping[str, Sequence[Sample]]) -> dict[str, dict[str, Any]]:
    """Summarise the samples of every side: the device's times, and the host's if any.

    ``waits_for_device`` is there if the device's time of a side contains the host's.
    """
    sides = summarise_times({n: [s.seconds for s in samples[n]] for n in samples})
    for name, found in samples.items():
        host = [sample.host for sample in found if sample.host is not None]
        if host:
            sides[name]["host_seconds"] = spread(host)
        if any(sample.waits for sample in found):
            sides[name]["waits_for_device"] = True
    return sides


def seconds_in_turn(side: Mapping[str, Any]) -> float:
    """Seconds of a run among others: device and host work at once, and one waits."""
    host = side.get("host_seconds", side["seconds"])
    return float(max(side["seconds"]["median"], host["median"]))


def timer_of(run: Run, number: int, device: str) -> Callable[[], Sample]:
    """Make a timer of a warm run; ``number`` is that of runs in a sample on a CPU."""
    if device == "cuda":
        return QueuedTimer(run, Cuda())
    return lambda: Sample(seconds_of(run, number, device))


def tensors(result: Any) -> list[Tensor]:
    """Return the tensors of a result."""
    return [result] if isinstance(result, Tensor) else list(result)


def compare(results: Mapping[str, Any], case: Case) -> str:
    """Compare every result with the first; return a description.

    Raises:
        ArithmeticError: If a result differs.
    """
    ours = next(iter(case.sides))
    others = [name for name, side in case.sides.items() if side.compared][1:]
    worst = 0.0
    for name in others:
        for own, other in zip(
            tensors(results[ours]), tensors(results[name]), strict=True
        ):
            rtol, atol = case.tolerance
            scale = own.double().square().mean().sqrt().item()
            close = torch.isclose(own, other.to(own.dtype), rtol, atol * scale)
            share = (~close).double().mean().item()
            if own.shape != other.shape or share > case.may_differ:
                raise ArithmeticError(
                    f"{case.name}: {share:.2%} of a result of {name!r} "
                    f"{tuple(other.shape)} differ from {ours!r} {tuple(own.shape)} by "
                    f"more than rtol {rtol:g}, atol {atol:g} times its scale; at most "
                    f"{case.may_differ:.2%} may. Nothing was timed."
                )
            worst = max(worst, share)
    if not others:
        return ""
    rtol, atol = case.tolerance
    return f"equal within {rtol:g} (or {atol:g} RMS) but for {worst:.2g} of elements"


def warm_up(run: Run, device: str) -> tuple[Any, int]:
    """Run until warm; return the result and how many runs make a round's sample."""
    start = time.perf_counter()
    result = run()
    took = time.perf_counter() - start
    if took < 1:  # for longer runs, loading and compiling matter little
        took = seconds_of(run, 1, device)
        took = min(took, seconds_of(run, 1, device))
    return result, max(1, math.ceil(SAMPLE_S / took))


def measure(
    case: Case, device: str, peak: Callable[[str], float] | None = None
) -> dict[str, Any]:
    """Compare all sides of a case, time them in turn and measure their memory.

    Args:
        case: What to compare.
        device: ``'cpu'`` or ``'cuda'``.
        peak: Measures the peak memory of a side by its name, in MiB.
    """
    compared = case.check() if case.check else ""
    runs = {name: side.build(case.size) for name, side in case.sides.items()}
    warm = {name: warm_up(run, device) for name, run in runs.items()}
    if not case.check:
        compared = compare({name: result for name, (result, _) in warm.items()}, case)
    timers = {
        name: timer_of(runs[name], number, device) for name, (_, number) in warm.items()
    }
    del warm
    samples = interleave(
        runs, lambda name, _: timers[name](), case.budget_s, case.rounds
    )
    timers.clear()  # they hold the runs
    sides = summarise(samples)
    if case.items:
        for side in sides.values():
            side["per_second"] = digits(case.items[0] / seconds_in_turn(side))
    if case.details:
        medians = {name: side["seconds"]["median"] for name, side in sides.items()}
        for name, details in case.details(runs, medians).items():
            sides[name] |= details
    del runs  # the children need the memory
    if peak:
        for name, side in case.sides.items():
            if side.memory:
                sides[name]["peak_mib"] = round(peak(name), 1)
    result = {"case": case.name, "compared": compared, "sides": sides}
    if case.items:
        result["items"] = case.items[1]
    return {**result, "headline": case.headline}


def peak_of(case: Case, name: str, device: str) -> float:
    """Measure the peak memory of one run of a side in MiB, in its own process."""
    side = case.sides[name]
    if case.small is not None:
        side.build(case.small)()
    run = side.build(case.size)
    with PeakMemory(device) as memory:
        run()
    return memory.mib
