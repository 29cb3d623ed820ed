"""Several questions in flight on one model: the next one is read while the others decode.

Law: each is what it would be alone. A prompt is read a chunk or a picture at a time, and between
two of these the others are given a token each. How many are in flight may depend on what is faster.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import mlx.core as mx

from qvq_mlx.core.events import Progress
from qvq_mlx.core.tokens import Asked, Effort, Finished, Prompt, Step, Token
from qvq_mlx.engine.decode import decode
from qvq_mlx.engine.row import Row
from qvq_mlx.engine.soundness import UnsoundLogitsError
from qvq_mlx.engine.speculation import Speculation
from qvq_mlx.engine.widening import Widening

if TYPE_CHECKING:
    from qvq_mlx.engine.session import Session


class Flight:
    """The questions in flight: who is read, and who decodes."""

    def __init__(
        self, session: Session, asked: Iterator[Asked], most: int, beyond: float | None
    ) -> None:
        """See `Engine.generate_each`."""
        self._session = session
        self._asked = asked
        self._most = most
        self._widening = None if beyond is None else Widening(most, beyond)
        self._reading = 0  # the number of the question that is read, or was read last
        self._decoding: dict[int, Prompt] = {}
        self._unread: list[tuple[int, Finished]] = []  # stopped before they were read

    def steps(self) -> Iterator[tuple[int, Step]]:
        """Every question's steps, with its number; a question's last one is `Finished`."""
        session = self._session
        mx.reset_peak_memory()
        try:
            for step in decode([], Speculation(), self._arrivals()):
                match step:
                    case Token(row=number):
                        yield number, step
                    case Progress():
                        yield self._reading, step
                    case Row(number=number, passes=passes):
                        prompt = self._decoding.pop(number)
                        yield number, session.finished(prompt, step, Effort(passes=passes))
                unread, self._unread = self._unread, []
                yield from unread
        except UnsoundLogitsError:
            raise session.parts.model.unsound() from None
        yield from self._unread

    def _arrivals(self) -> Iterator[Row | Progress | None]:
        """Read one question after the other, as places are free."""
        session = self._session
        for number, one in enumerate(self._asked):
            self._reading = number
            start = yield from session.reader.read(one.prompt, one.control)
            if start is None:
                self._unread.append((number, session.unread(one.prompt, one.generation)))
                continue
            self._decoding[number] = one.prompt
            yield session.row(start, one.generation, one.control, number)
            while not self._has_place():
                rows, began_s = len(self._decoding), time.perf_counter()
                yield None  # a pass over them, and nothing else
                if self._widening is not None and len(self._decoding) == rows:
                    self._widening.took(rows, time.perf_counter() - began_s)
            if self._widening is not None and not self._widening.pays:
                return

    def _has_place(self) -> bool:
        most = self._most if self._widening is None else self._widening.width
        return len(self._decoding) < most
