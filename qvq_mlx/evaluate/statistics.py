"""Intervals, a paired test and a stratified sample: how far a score can be believed.

Formulas: Wilson's score interval (E. B. Wilson, 1927); McNemar's exact test, which is the two-sided
sign test on the questions where two runs differ (Q. McNemar, 1947). Strata are sampled by the
largest remainder, so that every stratum has its share of the sample to within one question.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

Z_95 = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A range of accuracies, 0 to 1."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """Two runs over the same questions: how many each has right, alone and together.

    `p_value` is McNemar's, exact and two-sided: how likely so uneven a split of the questions where
    the runs differ would be if both were equally good.
    """

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def total(self) -> int:
        """Return the number of questions."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def difference(self) -> float:
        """Return the second run's accuracy minus the first's."""
        return (self.only_second - self.only_first) / self.total if self.total else 0.0

    @property
    def p_value(self) -> float:
        """Return McNemar's exact p-value; 1 where the runs never differ."""
        differing = self.only_first + self.only_second
        fewer = min(self.only_first, self.only_second)
        tail = sum(math.comb(differing, count) for count in range(fewer + 1))
        return min(1.0, 2 * tail / (1 << differing))

    @property
    def interval(self) -> Interval:
        """Return the 95 % interval of `difference` (Wald, with the pairing's variance)."""
        n, apart = self.total, self.only_first + self.only_second
        if n == 0:
            return Interval(-1.0, 1.0)
        spread = Z_95 * math.sqrt(max(apart / n - self.difference**2, 0.0) / n)
        return Interval(max(-1.0, self.difference - spread), min(1.0, self.difference + spread))


def wilson(correct: int, total: int, z: float = Z_95) -> Interval:
    """Return the score interval of an accuracy; all of 0 to 1 where nothing was asked."""
    if total == 0:
        return Interval(0.0, 1.0)
    share = correct / total
    scale = 1 + z * z / total
    centre = (share + z * z / (2 * total)) / scale
    spread = z / scale * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return Interval(max(0.0, centre - spread), min(1.0, centre + spread))


def paired(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Count two runs' results for the same questions in the same order."""
    pairs = list(zip(first, second, strict=True))
    return Paired(
        both=pairs.count((True, True)),
        only_first=pairs.count((True, False)),
        only_second=pairs.count((False, True)),
        neither=pairs.count((False, False)),
    )


def stratified(
    items: Sequence[T],
    stratum: Callable[[T], Hashable],
    name: Callable[[T], str],
    size: int,
    seed: int,
) -> list[T]:
    """Return `size` of the items, drawn from every stratum by its share, in their own order.

    The draw is decided by a hash of `seed` and an item's `name`, so it is the same on every
    machine. Which stratum gets the question that rounding leaves over is drawn by its remainder,
    so each item has the same chance.
    """
    if size >= len(items):
        return list(items)
    strata: dict[Hashable, list[int]] = {}
    for index, item in enumerate(items):
        strata.setdefault(stratum(item), []).append(index)
    chosen: list[int] = []
    for key, count in _shares(strata, size, len(items), seed).items():
        ranked = sorted(strata[key], key=lambda index: _draw(seed, name(items[index])))
        chosen += ranked[:count]
    return [items[index] for index in sorted(chosen)]


def _shares(
    strata: dict[Hashable, list[int]], size: int, total: int, seed: int
) -> dict[Hashable, int]:
    """Return how many of each stratum; systematic sampling decides over the remainders.

    The strata stand one after the other on a line, each as long as its exact share; a comb with
    teeth one apart, laid on at a drawn place, hits each as often as its share or one less or more.
    """
    place, hits, end = _draw(seed, "strata"), {}, 0.0
    for number, (key, members) in enumerate(strata.items(), 1):
        begin, end = end, size * len(members) / total + end
        if number == len(strata):
            end = float(size)
        hits[key] = math.ceil(end - place) - math.ceil(begin - place)
    return hits


def _draw(seed: int, name: str) -> float:
    """Return a number from 0 to 1 that follows from a seed and a name."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
