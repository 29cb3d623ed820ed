"""Intervals cover what they claim, and a sample is fair: shown by simulation, with fixed seeds."""

import math
import random
from collections import Counter

import pytest

from qvq_mlx.evaluate.statistics import Interval, Paired, paired, stratified, wilson


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    # published values of the score interval
    [
        (81, 263, 0.2553, 0.3662),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_is_the_published_interval(correct, total, low, high):
    interval = wilson(correct, total)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=6e-5)


def test_nothing_is_known_where_nothing_was_asked():
    assert wilson(0, 0) == Interval(0.0, 1.0)


@pytest.mark.parametrize(("share", "total"), [(0.703, 900), (0.359, 304), (0.204, 200), (0.5, 100)])
def test_wilson_covers_the_true_share_95_times_of_100(share, total):
    # the exact coverage, over every count that can come up
    covered = sum(
        math.exp(
            math.lgamma(total + 1)
            - math.lgamma(k + 1)
            - math.lgamma(total - k + 1)
            + k * math.log(share)
            + (total - k) * math.log(1 - share)
        )
        for k in range(total + 1)
        if wilson(k, total).low <= share <= wilson(k, total).high
    )
    assert covered == pytest.approx(0.95, abs=0.01)


def test_wilson_covers_by_simulation():
    draw = random.Random(20)
    runs, total, inside = 4000, 304, 0
    for _ in range(runs):
        share = draw.uniform(0.1, 0.9)
        correct = sum(draw.random() < share for _ in range(total))
        interval = wilson(correct, total)
        inside += interval.low <= share <= interval.high
    assert inside / runs == pytest.approx(0.95, abs=0.01)


def test_mcnemar_is_the_exact_sign_test():
    assert Paired(10, 0, 0, 5).p_value == 1.0
    assert Paired(0, 1, 9, 0).p_value == pytest.approx(2 * (1 + 10) / 2**10)
    assert Paired(0, 5, 5, 0).p_value == 1.0


def test_mcnemar_seldom_finds_a_difference_where_there_is_none():
    draw = random.Random(7)
    false_alarms, runs = 0, 1500
    for _ in range(runs):
        ease = [draw.random() for _ in range(200)]
        first = [draw.random() < easy for easy in ease]
        second = [draw.random() < easy for easy in ease]
        false_alarms += paired(first, second).p_value < 0.05
    assert false_alarms / runs <= 0.05


def test_the_paired_interval_covers_by_simulation():
    draw = random.Random(11)
    runs, inside, gain = 1500, 0, 0.05
    for _ in range(runs):
        ease = [draw.uniform(0.0, 0.9) for _ in range(300)]
        first = [draw.random() < easy for easy in ease]
        second = [draw.random() < easy + gain for easy in ease]
        interval = paired(first, second).interval
        inside += interval.low <= gain <= interval.high
    assert inside / runs == pytest.approx(0.95, abs=0.015)


def _items(counts):
    return [(stratum, f"{stratum}-{index}") for stratum, count in counts for index in range(count)]


COUNTS = [("algebra", 345), ("logic", 119), ("topology", 23), ("counting", 67), ("rare", 2)]


def _drawn(items, size, seed):
    return stratified(items, lambda item: item[0], lambda item: item[1], size, seed)


@pytest.mark.parametrize("size", [1, 5, 37, 100, 555])
def test_every_stratum_has_its_share_to_within_one(size):
    items = _items(COUNTS)
    for seed in range(20):
        drawn = _drawn(items, size, seed)
        assert len(drawn) == size == len(set(drawn))
        found = Counter(stratum for stratum, _ in drawn)
        for stratum, count in COUNTS:
            assert abs(found[stratum] - size * count / len(items)) < 1


def test_a_sample_is_the_same_for_the_same_seed_in_the_items_own_order():
    items = _items(COUNTS)
    assert _drawn(items, 50, 3) == _drawn(items, 50, 3)
    assert _drawn(items, 50, 3) != _drawn(items, 50, 4)
    assert _drawn(items, 50, 3) == [item for item in items if item in _drawn(items, 50, 3)]
    assert _drawn(items, 10_000, 3) == items


def test_a_sampled_score_is_unbiased():
    """Every item has the same chance, so the mean over many samples is the score of the whole."""
    items = _items(COUNTS)
    shares = {"algebra": 0.2, "logic": 0.6, "topology": 0.9, "counting": 0.4, "rare": 1.0}
    draw = random.Random(5)
    right = {item: draw.random() < shares[item[0]] for item in items}
    whole = sum(right.values()) / len(items)
    means = []
    hits = Counter()
    for seed in range(3000):
        drawn = _drawn(items, 40, seed)
        hits.update(drawn)
        means.append(sum(right[item] for item in drawn) / 40)
    deviation = math.sqrt(sum((mean - whole) ** 2 for mean in means) / len(means))
    assert sum(means) / len(means) == pytest.approx(
        whole, abs=3 * deviation / math.sqrt(len(means))
    )
    expected = 3000 * 40 / len(items)
    for item in items:
        assert hits[item] == pytest.approx(expected, abs=5 * math.sqrt(expected))
    # and strata lower the variance below that of a plain sample
    assert deviation < math.sqrt(whole * (1 - whole) / 40)
