"""Runs every check and prints a line for each, then `PASS n FAIL n SKIP n`.

Law: a check passes, fails with what it found, or is skipped with the reason; none is left out.
What needs macOS or Metal is skipped elsewhere, so that the rest is known to work before a Mac
runs it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum

from tools.metal.checks import CHECKS
from tools.metal.needs import NotHereError


class Outcome(StrEnum):
    """How a check ended."""

    PASS = "PASS"  # noqa: S105
    FAIL = "FAIL"
    SKIP = "SKIP"


def outcome_of(check: Callable[[], str]) -> tuple[Outcome, str]:
    """Run a check; return how it ended, and its fact, fault or reason on one line."""
    try:
        return Outcome.PASS, check()
    except NotHereError as skipped:
        return Outcome.SKIP, str(skipped)
    except Exception as error:
        return Outcome.FAIL, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def main() -> int:
    """Print the report; 1 where a check failed."""
    counts = dict.fromkeys(Outcome, 0)
    for name, check in CHECKS.items():
        outcome, said = outcome_of(check)
        counts[outcome] += 1
        sys.stdout.write(f"{outcome}  {name}: {said}\n")
        sys.stdout.flush()
    sys.stdout.write(" ".join(f"{outcome} {count}" for outcome, count in counts.items()) + "\n")
    return 1 if counts[Outcome.FAIL] else 0


if __name__ == "__main__":
    sys.exit(main())
