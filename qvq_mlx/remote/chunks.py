"""Reads a stream of chat completions, chunk by chunk.

Law: a stream that does not say how it ended was cut, and is an error, whatever came before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qvq_mlx.core.errors import HostError, NetworkError, QvqError, UsageError
from qvq_mlx.core.events import Event
from qvq_mlx.core.remedies import Remedy
from qvq_mlx.core.tokens import Part
from qvq_mlx.records.runs import event_from_json
from qvq_mlx.records.typed import typed
from qvq_mlx.remote.wire import message_of
from qvq_mlx.system.reading import parse_json

Json = dict[str, Any]
_END = "[DONE]"
_USAGE = ("prompt_tokens", "completion_tokens")


@dataclass(frozen=True, slots=True)
class Piece:
    """More of the reply. `part` None: the host does not tell thinking from answer."""

    text: str
    part: Part | None


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens as the host counts them; None where it does not say."""

    prompt: int = 0
    completion: int | None = None
    reasoning: int | None = None
    cached: int = 0
    image: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """The end, and why, in the host's word."""

    finish: str
    usage: Usage


def records(lines: Iterator[str], name: str, remedy: Remedy) -> Iterator[Json]:
    """Yield the objects of a stream up to its end. `name` is the host's.

    Raises what the host says instead, HostError, and NetworkError where the stream is cut.
    """
    for line in lines:
        if not line.startswith("data:"):
            continue  # a comment, an event's name, an empty line
        text = line.removeprefix("data:").strip()
        if text == _END:
            return
        try:
            record = parse_json(text)
        except ValueError as error:
            raise HostError(f"{name} sends what is no JSON within its reply", remedy) from error
        if not isinstance(record, dict):
            raise HostError(f"{name} sends what is no chunk of a reply", remedy)
        if record.get("error"):
            raise _said(record, name, remedy)
        yield record
    raise NetworkError(f"{name} cut its reply", remedy)


def events(found: Iterator[Json], name: str, remedy: Remedy) -> Iterator[Event]:
    """Yield the events that a qvq sends. Raises HostError for what is none."""
    for record in found:
        own = record.get("qvq")
        told = own.get("event") if isinstance(own, dict) else None
        if not isinstance(told, dict):
            continue
        try:
            event = event_from_json(told)
            # of another machine every type is checked, the inner ones too
            event = typed(type(event), {key: told[key] for key in told if key != "type"})
        except ValueError as error:
            raise HostError(f"{name} sends an event that is not known here", remedy) from error
        yield event


def pieces(found: Iterator[Json], name: str, remedy: Remedy) -> Iterator[Piece | Ended]:
    """Yield the reply piece by piece, and its end.

    A host that gave thinking a field of its own tells the two apart from there on.
    """
    finish, usage, tells = "", Usage(), False
    blank = ""  # white space before anything that was written says how it is told
    for record in found:
        usage = _usage(record.get("usage")) or usage
        for choice in _choices(record):
            delta = choice.get("delta")
            delta = delta if isinstance(delta, dict) else {}
            thought = _text(delta, "reasoning_content") or _text(delta, "reasoning")
            if thought:
                tells, blank = True, ""
                yield Piece(thought, Part.THINKING)
            if content := blank + _text(delta, "content"):
                if tells or content.strip():
                    blank = ""
                    yield Piece(content, Part.ANSWER if tells else None)
                else:
                    blank = content
            finish = str(choice.get("finish_reason") or "") or finish
    if not finish:
        raise NetworkError(f"{name} does not say how its reply ended", remedy)
    yield Ended(finish, usage)


def _said(record: Json, name: str, remedy: Remedy) -> QvqError:
    """An error in place of a chunk: of the request where it says so, else of the moment."""
    error = record["error"]
    kind = str(error.get("type", "")) if isinstance(error, dict) else ""
    words = f"{name} says: {message_of(record)}"
    if kind in ("invalid_request_error", "BadRequestError"):
        return UsageError(words, remedy)
    return NetworkError(words, remedy)


def _choices(record: Json) -> list[Json]:
    choices = record.get("choices")
    found = choices if isinstance(choices, list) else []
    return [one for one in found if isinstance(one, dict) and not one.get("index")]


def _text(delta: Json, name: str) -> str:
    value = delta.get(name)
    return value if isinstance(value, str) else ""


def _usage(value: object) -> Usage | None:
    if not isinstance(value, dict):
        return None
    prompt, completion = (_count(value.get(name)) for name in _USAGE)
    if completion is None:
        return None
    told, wrote = value.get("prompt_tokens_details"), value.get("completion_tokens_details")
    told, wrote = (one if isinstance(one, dict) else {} for one in (told, wrote))
    return Usage(
        prompt or 0,
        completion,
        _count(wrote.get("reasoning_tokens")),
        _count(told.get("cached_tokens")) or 0,
        _count(told.get("image_tokens")) or 0,
    )


def _count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count else None  # type: ignore[return-value]
