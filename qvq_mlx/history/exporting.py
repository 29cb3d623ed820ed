"""A saved run as the object of `--json`, and as Markdown.

Law: a run without an end becomes a result without an answer: `interrupt`, with a notice that says
whether it was killed, failed or is still being written. Nothing is cleaned here: it is data.
"""

from __future__ import annotations

from dataclasses import asdict

from qvq_mlx.core.events import Event, Notice
from qvq_mlx.history.reading import Run, interrupted
from qvq_mlx.records.history import Ending
from qvq_mlx.records.runs import Json, ResultRecord, event_to_json, result_record

_WORDS = {
    Ending.KILLED: "the process of this run ended before the run did",
    Ending.RUNNING: "this run is still being written",
}


def result(run: Run) -> ResultRecord:
    """The whole run in one object."""
    notices = run.notices
    if run.ending in _WORDS:
        notices = (*notices, Notice(run.ending.value, _WORDS[run.ending]))
    return result_record(run.request, run.transcript, notices, run.done or interrupted(run.events))


def ended(run: Run) -> tuple[Event, ...]:
    """The events with an end, made up where there is none."""
    return run.events if run.done else (*run.events, interrupted(run.events))


def result_json(run: Run) -> Json:
    """The same with the run's id and time in front: a line of `qvq log export`."""
    time = run.time.isoformat(timespec="seconds") if run.time else None
    return {"id": run.id, "time": time, **asdict(result(run))}


def lines_json(run: Run) -> list[Json]:
    """The request and the events, as `--jsonl` gives them."""
    return [asdict(run.request), *(event_to_json(event) for event in run.events)]


def markdown(run: Run) -> str:
    """Question, answer and thinking as a section of a document."""
    found = result(run)
    time = f"{run.time:%Y-%m-%d %H:%M}" if run.time else "unknown time"
    facts = [time, found.model, f"id {run.id}", f"ended: {run.ending}"]
    facts += [f"`{image.path}`" for image in found.images]
    parts = [f"## {_one_line(found.question)}", " · ".join(facts)]
    if found.answer is not None:
        parts.append(found.answer.strip())
    elif found.partial_answer:
        parts += ["*unfinished:*", found.partial_answer.strip()]
    if found.thinking.strip():
        count = found.stats.thinking_tokens
        parts += [
            f"<details><summary>Thinking, {count:,} tokens</summary>",
            found.thinking.strip(),
            "</details>",
        ]
    return "\n\n".join(parts) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())
