r"""Outputs that were made elsewhere: a line of JSON for each question.

    {"id": "4", "answer": "\\\boxed{6}"}
    {"id": "4", "response": "Let me count ... **Final Answer** ..."}

`answer` is judged as it is; a `response` (or `output`) is split first, as a run's own text is.
Other keys are ignored, so a batch's records can be given.
"""

from __future__ import annotations

import json
from pathlib import Path

from qvq_mlx.batch.record import Status
from qvq_mlx.core.card import Thinking
from qvq_mlx.core.errors import InputError
from qvq_mlx.evaluate.result import Answered
from qvq_mlx.guards.saved import examine, has_answer
from qvq_mlx.system.reading import why

_RAW = ("response", "output")


def answers_in(path: Path, thinking: Thinking) -> dict[str, Answered]:
    """Return the answers of a file by question. Raises InputError with the line's number."""
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {why(error)}") from error
    found: dict[str, Answered] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        said = _answered(f"{path}:{number}", line, thinking)
        if said.id in found:
            raise InputError(f"{path}:{number}: the question {said.id!r} comes a second time")
        found[said.id] = said
    return found


def _answered(place: str, line: str, thinking: Thinking) -> Answered:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: is no JSON ({error})") from error
    name = entry.get("id") if isinstance(entry, dict) else None
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise InputError(f'{place}: has no "id"')
    if "answer" in entry:
        answer = entry["answer"]
        if answer is not None and not isinstance(answer, str):
            raise InputError(f'{place}: "answer" is no text')
        status = Status.NO_ANSWER if answer is None else Status.ANSWERED
        return Answered(str(name), status, answer)
    raw = next((entry[key] for key in _RAW if isinstance(entry.get(key), str)), None)
    if raw is None:
        raise InputError(f'{place}: has neither "answer" nor "response"')
    split = examine(raw, thinking)
    if not has_answer(split):
        return Answered(str(name), Status.NO_ANSWER, None, split.done.stop_reason)
    answer, source = split.transcript.answer, split.done.answer_source
    return Answered(str(name), Status.ANSWERED, answer, split.done.stop_reason, source)
