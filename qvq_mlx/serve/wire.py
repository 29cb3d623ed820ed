"""Shape that the three HTTP interfaces have in common, and that of their streams.

Each interface reads a body into `Asked` and writes pieces of replies as JSON or as server-sent
events. It knows nothing of queues, threads and sockets.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from qvq_mlx.core.events import Stats
from qvq_mlx.core.plan import Plan
from qvq_mlx.records.runs import pointed_at, request_record
from qvq_mlx.reply.box import boxed
from qvq_mlx.serve.asked import Asked
from qvq_mlx.serve.fields import Fields
from qvq_mlx.serve.reply import End, Finish, Piece

Json = dict[str, Any]
EXTENSION = "qvq"
"""The one key that holds what the interfaces do not know: notices, places, numbers."""
EVENTS = 1
"""The version of the events that another qvq is sent where it asks for them."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as a client gets it. `param` names a field of the body."""

    status: int
    message: str
    code: str
    param: str | None = None
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One whole reply."""

    plan: Plan
    end: End


class Stream(Protocol):
    """Writes one reply as server-sent events."""

    def begin(self) -> Iterator[bytes]:
        """Before the first piece."""

    def piece(self, index: int, plan: Plan, piece: Piece) -> Iterator[bytes]:
        """The next piece of choice `index`."""

    def failed(self, refusal: Refusal) -> Iterator[bytes]:
        """The reply ends with an error."""

    def finish(self, choices: Sequence[Choice]) -> Iterator[bytes]:
        """After the last piece of the last choice."""

    def pulse(self) -> bytes:
        """Return bytes that keep the connection alive while nothing happens."""


class Interface(Protocol):
    """One of the HTTP interfaces."""

    def asked(self, body: Fields) -> Asked:
        """Read a body. Raises RequestError."""

    def error(self, refusal: Refusal) -> Json:
        """The body of an error."""

    def whole(self, asked: Asked, choices: Sequence[Choice]) -> Json:
        """The body of a whole reply."""

    def stream(self, asked: Asked) -> Stream:
        """Begin a reply that is streamed."""


def new_id(prefix: str) -> str:
    """Return an id that no other reply has."""
    return prefix + secrets.token_hex(12)


def now_s() -> int:
    """Return the seconds since 1970."""
    return int(time.time())


def data_event(record: Json) -> bytes:
    """A server-sent event without a name."""
    return f"data: {compact(record)}\n\n".encode()


def named_event(record: Json) -> bytes:
    """A server-sent event that is called by the `type` of its record."""
    return f"event: {record['type']}\ndata: {compact(record)}\n\n".encode()


def compact(record: Json) -> str:
    """JSON on one line, in ASCII."""
    return json.dumps(record, separators=(",", ":"))


def extension(choice: Choice) -> Json:
    """Return what the interfaces have no field for."""
    done, answer = choice.end.done, choice.end.answer
    pointing = pointed_at(request_record(choice.plan), answer, asked=False)
    return {
        "complete": done.complete
        or bool(choice.end.stopped_at)
        or choice.end.finish is Finish.CALLS,
        "stop_reason": done.stop_reason,
        "answer_source": done.answer_source,
        "concluded_by": done.concluded_by,
        "boxed": boxed(answer) if done.complete else None,
        "notices": [asdict(notice) for notice in choice.end.notices],
        "pointing": [asdict(one) for one in pointing] if any(p.said for p in pointing) else None,
        "stats": asdict(done.stats),
    }


def summed(choices: Sequence[Choice]) -> Stats:
    """The numbers of all choices. The prompt counts once."""
    every = [choice.end.done.stats for choice in choices]
    return Stats(
        prompt_tokens=every[0].prompt_tokens,
        image_tokens=every[0].image_tokens,
        cached_tokens=every[0].cached_tokens,
        generated_tokens=sum(stats.generated_tokens for stats in every),
        thinking_tokens=sum(stats.thinking_tokens for stats in every),
    )
