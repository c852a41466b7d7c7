"""Means, deviations and intervals over seeds, against scipy.stats."""

from math import isnan

import numpy as np
import pytest
from scipy import stats

from snnssl_mm.analysis.seed_statistics import Summary, gain_over

VALUES = {0: 92.1, 1: 93.4, 2: 91.7, 3: 94.0}
BASELINE = {0: 55.0, 1: 54.2, 2: 57.9, 3: 52.6}


def test_summary_is_mean_and_sample_deviation():
    values = list(VALUES.values())
    summary = Summary.of(values)
    assert summary.mean == pytest.approx(np.mean(values))
    assert summary.deviation == pytest.approx(np.std(values, ddof=1))
    assert summary.number == 4


def test_one_seed_has_no_deviation():
    summary = Summary.of([88.25])
    assert isnan(summary.deviation)
    assert str(summary) == "88.2"


@pytest.mark.parametrize("number", [2, 3, 4])
def test_paired_interval_equals_that_of_scipy(number):
    seeds = list(VALUES)[:number]
    ours = gain_over({s: VALUES[s] for s in seeds}, {s: BASELINE[s] for s in seeds})
    test = stats.ttest_rel([VALUES[s] for s in seeds], [BASELINE[s] for s in seeds])
    assert (ours.low, ours.high) == pytest.approx(test.confidence_interval(0.95))
    assert (ours.method, ours.seeds) == ("paired", number)


def test_seeds_pair_by_number_not_by_order():
    shuffled = {seed: BASELINE[seed] for seed in (2, 0, 3, 1)}
    assert gain_over(VALUES, shuffled) == gain_over(VALUES, BASELINE)


def test_pairing_uses_common_seeds_only():
    more = {**BASELINE, 7: 1000.0}
    assert gain_over(VALUES, more) == gain_over(VALUES, BASELINE)


@pytest.mark.parametrize("others", [(5, 6, 7, 8), (3, 5, 6)])
def test_welch_interval_equals_that_of_scipy_if_seeds_do_not_pair(others):
    baseline = dict(zip(others, BASELINE.values(), strict=False))
    ours = gain_over(VALUES, baseline)
    test = stats.ttest_ind(
        list(VALUES.values()), list(baseline.values()), equal_var=False
    )
    assert (ours.low, ours.high) == pytest.approx(test.confidence_interval(0.95))
    assert (ours.method, ours.seeds) == ("Welch", len(others))


@pytest.mark.parametrize("baseline", [{0: 55.0}, {4: 55.0}, BASELINE])
def test_one_seed_has_a_gain_without_interval(baseline):
    ours = gain_over({0: 92.0}, baseline)
    assert ours.mean == pytest.approx(92 - np.mean(list(baseline.values())))
    assert isnan(ours.low)
    assert isnan(ours.high)
    assert (ours.method, ours.has_interval) == ("one seed", False)


@pytest.mark.parametrize("seeds", [(0, 1, 2), (3, 4, 5)])
def test_zero_variance_has_no_interval(seeds):
    # 0.1 + 0.2 differs from 0.3 by rounding, which is no spread over seeds.
    values = {0: 0.1 + 0.2, 1: 0.3, 2: 0.3}
    ours = gain_over(values, dict.fromkeys(seeds, 0.1))
    assert ours.mean == pytest.approx(0.2)
    assert isnan(ours.low)
    assert (ours.method, str(ours)) == ("no spread", "+0.2")


def test_interval_covers_the_true_gain_in_95_of_100_experiments():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        shared = generator.normal(0, 3, 3)  # of a seed, for both
        values = dict(enumerate(50 + shared + generator.normal(0, 1, 3)))
        baseline = dict(enumerate(45 + shared + generator.normal(0, 1, 3)))
        gain = gain_over(values, baseline)
        covered += gain.low <= 5 <= gain.high
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)
