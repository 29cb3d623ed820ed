"""Values of `split` with --json."""

from __future__ import annotations

from dataclasses import dataclass

from qvq_mlx.core.events import AnswerSource, Notice, StopReason
from qvq_mlx.guards.language import Script
from qvq_mlx.guards.saved import Examined, has_answer
from qvq_mlx.records.runs import VERSION


@dataclass(frozen=True, slots=True)
class LoopRecord:
    """A loop: where the text begins to go in circles, and the length of one."""

    at_char: int
    period_chars: int


@dataclass(frozen=True, slots=True)
class ScriptsRecord:
    """Letters of each script, of the thinking and of the answer."""

    thinking: dict[Script, int]
    answer: dict[Script, int]


@dataclass(frozen=True, slots=True)
class SplitRecord:
    """`qvq split --json`. `answer`: null unless it is whole; `cut`: the text ends early."""

    version: int
    thinking: str
    answer: str | None
    partial_answer: str | None
    answer_source: AnswerSource
    cut: bool
    loop: LoopRecord | None
    scripts: ScriptsRecord
    notices: tuple[Notice, ...]


def split_record(found: Examined) -> SplitRecord:
    """Findings in a saved output."""
    answer, whole, loop = found.transcript.answer, has_answer(found), found.loop
    return SplitRecord(
        version=VERSION,
        thinking=found.transcript.thinking,
        answer=answer if whole else None,
        partial_answer=(answer or None) if not whole else None,
        answer_source=found.done.answer_source,
        cut=found.done.stop_reason is not StopReason.END,
        loop=LoopRecord(loop.at_char, loop.period_chars) if loop else None,
        scripts=ScriptsRecord(found.thinking_scripts, found.answer_scripts),
        notices=found.notices,
    )
