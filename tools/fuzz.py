"""Runs the random tests round after round, each with another seed, until the time is over.

    python -m tools.fuzz SECONDS [SEED]

A round is one run of pytest over the property tests (hypothesis) and the tests with the mark
`seeded`. The first round takes SEED (drawn where it is not given), the next one SEED + 1000000:
each of a test's many cases takes a number of its own above the seed. A round holds a 50th of the
cases, so that ten minutes hold several; with FUZZ_SLICE=1 in the environment it holds all, ten
thousand faulted pulls and five hundred typists among them. No round begins after SECONDS; the one
that is under way ends. A failure ends it all, and says how to repeat the round.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

STEP = 1_000_000
SLICE = os.environ.get("FUZZ_SLICE", "50")


def main(seconds: float, seed: int) -> int:
    """Return the exit code of the last round."""
    begun, rounds = time.monotonic(), 0
    while True:
        print(f"round {rounds + 1}, seed {seed}", flush=True)
        code = round_of(seed)
        rounds += 1
        if code:
            print(f"seed {seed} found something; again: make fuzz FUZZ_SECONDS=0 FUZZ_SEED={seed}")
            return code
        took_s = time.monotonic() - begun
        if took_s >= seconds:
            print(f"{rounds} rounds in {took_s:.0f} s found nothing; the last seed was {seed}")
            return 0
        seed += STEP


def round_of(seed: int) -> int:
    """Run the random tests once, and return the exit code of pytest."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-n", "auto", "-p", "no:cacheprovider",
        "-m", "(hypothesis or seeded) and not slow",
        "--hypothesis-profile=fuzz", f"--hypothesis-seed={seed}",
    ]  # fmt: skip
    environ = {**os.environ, "QVQ_FUZZ_SEED": str(seed), "QVQ_FUZZ_SLICE": SLICE}
    return subprocess.run(command, env=environ, check=False).returncode


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[2:3]]
    sys.exit(main(float(sys.argv[1]), *given or [random.randrange(STEP)]))
