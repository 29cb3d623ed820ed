"""Earlier questions and answers: what a follow-up brings along, and how a model is told of them.

Law: of an earlier round the prompt holds the question, its pictures and the answer, never the
thinking; the chat templates of the Qwen families drop it there. What does not fit is left out from
the oldest on, and its pictures stay: they go to the oldest question that is kept, so that the
prompt begins as before and what the pictures cost is not paid again.

A model that knows one round only is asked anew, and told in words what was said before (`retold`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from qvq_mlx.core.image_options import ImageOptions

RETOLD_BYTES = 6000
"""Of earlier questions and answers, where they are retold: some 1,500 tokens of English. What the
QVQ model answers behind its marker has a median of 192 characters and a maximum of 1,777 (261
outputs)."""
ATTACHMENTS = "pictures"
"""The folder of their bytes, within the history's."""
_LEAST_BYTES = 256
"""A single answer is cut before it is left out."""


@dataclass(frozen=True, slots=True)
class Round:
    """An earlier question and answer. `pictures` were shown with the question, not before."""

    question: str
    answer: str
    pictures: int = 0

    @property
    def size_bytes(self) -> int:
        """Of its text, in UTF-8."""
        return _bytes(self.question) + _bytes(self.answer)


@dataclass(frozen=True, slots=True)
class Source:
    """A source of pictures: its name, how it was read, and the hash of its bytes.

    It held so many `pictures`. `path` is absolute, for a file on the disk. An empty `sha256`: it
    may have changed since.
    """

    name: str
    options: ImageOptions
    sha256: str
    pictures: int
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A source that an earlier question was about. `data` are its bytes where they were kept;
    None: it is read again, and has to be what it was.
    """

    source: Source
    data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Attachment:
    """The bytes of a source that cannot be read again."""

    sha256: str
    data: bytes = field(repr=False)


def kept(rounds: Sequence[Round], room_bytes: int | None) -> tuple[Round, ...]:
    """The newest rounds whose texts fit together. None: all of them.

    The last one always stays, its answer cut where it has to be.
    """
    if room_bytes is None or not rounds:
        return tuple(rounds)
    room = max(room_bytes, _LEAST_BYTES)
    first, used = len(rounds) - 1, rounds[-1].size_bytes
    while first > 0 and used + rounds[first - 1].size_bytes <= room:
        first -= 1
        used += rounds[first].size_bytes
    head = replace(rounds[first], pictures=sum(past.pictures for past in rounds[: first + 1]))
    if used > room:  # then it is the only one
        question = _cut(head.question, room // 2)
        head = replace(head, question=question, answer=_cut(head.answer, room - _bytes(question)))
    return (head, *rounds[first + 1 :])


def retold(question: str, rounds: Sequence[Round]) -> str:
    """One question for a model that knows one round only. The wording is fixed."""
    if not rounds:
        return question
    told = "".join(
        f"Question: {past.question.strip()}\nAnswer: {past.answer.strip()}\n\n" for past in rounds
    )
    return f"Earlier questions about the same subject, with your answers:\n\n{told}Now: {question}"


def _cut(text: str, room_bytes: int) -> str:
    """The beginning of a text, with an ellipsis where something is missing."""
    data = text.encode()
    if len(data) <= room_bytes:
        return text
    return data[: max(0, room_bytes - 3)].decode(errors="ignore") + "…"


def _bytes(text: str) -> int:
    return len(text.encode())
