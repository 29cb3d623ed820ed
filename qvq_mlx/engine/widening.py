"""Finds how many rows write the most tokens per second together.

Law: twice as many are tried as long as that was faster. A number of rows is judged by the median
of some passes in which nothing but them was run; what one row writes otherwise, with a drafter, may
be faster than all of them.
"""

from __future__ import annotations

from statistics import median

PASSES = 9
"""Passes by which a number of rows is judged."""
LEAST_GAIN = 1.05
"""A smaller gain is not told from the noise of a clock."""


class Widening:
    """The number of rows that there may be, as far as it is known."""

    def __init__(self, most: int, beyond: float) -> None:
        """At most `most` rows, which have to write more than `beyond` tokens/s."""
        self.width = 1
        self.settled = False
        self._most = most
        self._beyond = beyond
        self._best, self._rate = 1, 0.0
        self._times_s: list[float] = []

    @property
    def pays(self) -> bool:
        """False once it is known that questions are answered faster one by one."""
        return not self.settled or self._best > 1

    def took(self, rows: int, seconds: float) -> None:
        """Take the time of a pass over so many rows, and nothing else."""
        if self.settled or rows != self.width:
            return
        self._times_s.append(seconds)
        if len(self._times_s) < PASSES:
            return
        rate = rows / max(median(self._times_s), 1e-9)
        self._times_s = []
        if rate > LEAST_GAIN * self._rate:
            self._best, self._rate = rows, rate
            if rows < self._most:
                self.width = min(self._most, 2 * rows)
                return
        self.settled = True
        if self._rate <= LEAST_GAIN * self._beyond:
            self._best = 1
        self.width = self._best
