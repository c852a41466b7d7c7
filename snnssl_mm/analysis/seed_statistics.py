"""Mean, spread and confidence interval of a metric over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan, sqrt
from statistics import fmean, stdev, variance
from typing import Literal, NamedTuple

from scipy.special import stdtrit

CONFIDENCE = 0.95
NO_SPREAD = 1e-9
"""Standard deviation below which values only differ by rounding."""

Method = Literal["paired", "Welch", "one seed", "no spread"]


class Summary(NamedTuple):
    """Mean and sample standard deviation over seeds.

    Attributes:
        mean: Mean.
        deviation: Standard deviation with n - 1 in the denominator; NaN for one seed.
        number: Number of seeds n.
    """

    mean: float
    deviation: float
    number: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Summarise one or more values."""
        deviation = stdev(values) if len(values) > 1 else nan
        return cls(fmean(values), deviation, len(values))

    def __str__(self) -> str:
        """Format mean and deviation; one seed has no deviation."""
        if self.number == 1:
            return f"{self.mean:.1f}"
        return f"{self.mean:.1f} ± {self.deviation:.1f}"


class Gain(NamedTuple):
    """Difference of two means with its confidence interval.

    Attributes:
        mean: Difference, positive if the values exceed the baseline.
        low: Lower limit of the 95 % confidence interval; NaN if there is none.
        high: Upper limit.
        method: ``'paired'`` (Student t over differences of equal seeds), ``'Welch'``
            (fewer than two seeds in common), or the reason why there is no interval:
            ``'one seed'``, or ``'no spread'`` if the variance is estimated as zero.
        seeds: Number of pairs, or the smaller number of seeds if they do not pair.
    """

    mean: float
    low: float
    high: float
    method: Method
    seeds: int

    @property
    def has_interval(self) -> bool:
        """Whether the interval could be estimated."""
        return self.method in ("paired", "Welch")

    def __str__(self) -> str:
        """Format the gain with its sign and its interval."""
        if not self.has_interval:
            return f"{self.mean:+.1f}"
        return f"{self.mean:+.1f} [{self.low:.1f}, {self.high:.1f}]"


def gain_over(values: Mapping[int, float], baseline: Mapping[int, float]) -> Gain:
    """Compute the mean gain over a baseline and its 95 % confidence interval.

    With at least two seeds in common, the differences ``d`` of equal seeds give
    ``mean(d) ± t(n - 1) sd(d) / sqrt(n)``. Otherwise Welch's interval of independent
    samples is used, with the Welch-Satterthwaite degrees of freedom, if both have two
    seeds.

    Args:
        values: Score by seed, at least one.
        baseline: Score of the baseline by seed, at least one.
    """
    common = values.keys() & baseline.keys()
    if len(common) > 1:
        differences = [values[seed] - baseline[seed] for seed in sorted(common)]
        error = stdev(differences) / sqrt(len(common))
        mean, freedom = fmean(differences), len(common) - 1.0
        return with_interval(mean, error, freedom, "paired", len(common))
    mean = fmean(values.values()) - fmean(baseline.values())
    smaller = min(len(values), len(baseline))
    if smaller == 1:
        return Gain(mean, nan, nan, "one seed", 1)
    parts = [variance(v.values()) / len(v) for v in (values, baseline)]
    sizes = (len(values), len(baseline))
    spread = sum(part**2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
    freedom = sum(parts) ** 2 / spread if spread else 1.0
    return with_interval(mean, sqrt(sum(parts)), freedom, "Welch", smaller)


def with_interval(
    mean: float, error: float, freedom: float, method: Method, seeds: int
) -> Gain:
    """Return a gain with the interval of a Student t distribution.

    Args:
        mean: The gain.
        error: Its standard error.
        freedom: Degrees of freedom.
        method: How they were computed.
        seeds: Number of seeds.
    """
    if error < NO_SPREAD:
        return Gain(mean, nan, nan, "no spread", seeds)
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return Gain(mean, mean - half, mean + half, method, seeds)
