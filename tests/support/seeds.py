"""Where a test's random numbers come from: one seed for the whole run.

`make test` takes seed 0, so that every run of the suite does the same. `make fuzz` sets
QVQ_FUZZ_SEED, another one in each round, and runs the tests with the mark `seeded`. QVQ_FUZZ_SLICE
divides the number of cases of a round, so that ten minutes hold several rounds of every test.
"""

from __future__ import annotations

import os
import random

SEED = int(os.environ.get("QVQ_FUZZ_SEED", "0"))
SLICE = int(os.environ.get("QVQ_FUZZ_SLICE", "1"))


def dice(name: str) -> random.Random:
    """The random numbers of the test called `name`."""
    return random.Random(f"{SEED}/{name}")


def wanted(usual: int, fuzzing: int) -> int:
    """Return how many cases a test takes: more of them with `make fuzz`, by its slice."""
    return max(usual, fuzzing // SLICE) if "QVQ_FUZZ_SEED" in os.environ else usual


def seconds(usual: int, fuzzing: int) -> int:
    """Return for how many seconds a case goes on: longer with `make fuzz`, whatever its slice."""
    return fuzzing if "QVQ_FUZZ_SEED" in os.environ else usual


def numbers(count: int, step: int = 1) -> range:
    """The numbers of `count` cases, `step` apart, where each case follows from its number."""
    return range(SEED, SEED + count * step, step)
