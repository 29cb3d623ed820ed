"""Values of `log list` and `log search` with --json, and how a saved run ended.

Law: a field is added, never renamed or given another meaning, while `version` stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from qvq_mlx.core.events import ConcludedBy
from qvq_mlx.records.runs import VERSION


class Ending(StrEnum):
    """Endings of a run. Without a whole answer, `end`, `budget`, `length`, `loop` and `interrupt`
    are the stop reason.
    """

    ANSWER = "answer"
    """There is a whole answer."""
    END = "end"
    BUDGET = "budget"
    LOOP = "loop"
    LENGTH = "length"
    INTERRUPT = "interrupt"
    FAILED = "failed"
    """An error ended it; its last notice says which."""
    KILLED = "killed"
    """Its process ended and said nothing."""
    RUNNING = "running"
    """It is being written."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of `qvq log list`. `images` are their names as they were given.

    `concluded_by` says who asked for the answer before the model gave it; null where nobody did.
    Tokens are null where the run has no end. `time` is ISO 8601.
    """

    id: str
    time: str
    model: str
    images: tuple[str, ...]
    question: str
    ending: Ending
    concluded_by: ConcludedBy | None
    thinking_tokens: int | None
    answer_tokens: int | None
    path: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A run that holds the words: where (`question`, `answer`, `thinking`), and the text around
    the first of them.
    """

    entry: Entry
    places: tuple[str, ...]
    excerpt: str


@dataclass(frozen=True, slots=True)
class EntryList:
    """`qvq log list --json`."""

    runs: tuple[Entry, ...]
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class HitList:
    """`qvq log search --json`."""

    found: tuple[Hit, ...]
    version: int = VERSION
