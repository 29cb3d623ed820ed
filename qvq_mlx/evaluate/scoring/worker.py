"""The process that judges answers for `evaluate.judge`: a task per line in, a reading per line out.

A task is an object with `reading` (strict or canonical), `kind` (the gold type's name), `gold` and
`answer`. Memory is bounded where the system bounds it (Linux); a text that would need more is
refused by `scoring.latex` before.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import asdict

from qvq_mlx.evaluate import scoring
from qvq_mlx.evaluate.gold import (
    Gold,
    MathVisionGold,
    MathVistaGold,
    MmmuGold,
    OlympiadBenchGold,
    Reading,
    Verdict,
)
from qvq_mlx.records.typed import typed

MAX_MEMORY_BYTES = 2 * 2**30

_KINDS: dict[str, type[Gold]] = {
    kind.__name__: kind for kind in (MmmuGold, MathVistaGold, MathVisionGold, OlympiadBenchGold)
}
_READINGS = {"strict": scoring.strict_reading, "canonical": scoring.canonical_reading}


def main() -> None:
    """Judge until stdin ends."""
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    _say("ready")
    for line in sys.stdin:
        _say(json.dumps(asdict(_reading(json.loads(line)))))


def _reading(task: dict[str, object]) -> Reading:
    gold = typed(_KINDS[str(task["kind"])], task["gold"])
    try:
        return _READINGS[str(task["reading"])](gold, str(task["answer"]))
    except (MemoryError, RecursionError):
        return Reading(Verdict.UNJUDGED, None)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
