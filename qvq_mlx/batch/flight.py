"""A batch's items in flight together: plans in, records out, in the order in which they end.

Law: an item's record is the one that it gets alone. What fails in company is left in `unfinished`,
to be asked alone, so that its failure is its own record and no other item's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from qvq_mlx.batch.items import Item
from qvq_mlx.batch.record import BatchRecord, answered
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    StopReason,
    ThinkingDelta,
    Transcript,
)
from qvq_mlx.core.plan import Plan
from qvq_mlx.records.runs import ResultRecord, request_record, result_record


@dataclass(slots=True)
class Run:
    """One item's run so far."""

    plan: Plan
    transcript: Transcript = field(default_factory=Transcript)
    notices: list[Notice] = field(default_factory=list)
    done: Done | None = None

    def see(self, event: Event) -> None:
        """Take the next event."""
        self.transcript.add(event)
        match event:
            case Notice():
                self.notices.append(event)
            case Done():
                self.done = event
            case Progress() | ThinkingDelta() | AnswerDelta() | AnswerRetracted() | Looked():
                pass

    @property
    def result(self) -> ResultRecord | None:
        """The item's result; None where the user stopped it."""
        assert self.done is not None, "the stream ended without Done"
        if self.done.stop_reason is StopReason.INTERRUPT:
            return None
        plan, notices = self.plan, tuple(self.notices)
        return result_record(request_record(plan), self.transcript, notices, self.done)


@dataclass(frozen=True, slots=True)
class Due:
    """An item that has to be asked: its number, counted from 1, and its key."""

    number: int
    item: Item
    key: str
    began_s: float


@dataclass(frozen=True, slots=True)
class Settled:
    """An item with its record."""

    due: Due
    record: BatchRecord


class Flight:
    """The items in flight. `plan` reads an item's pictures, or returns the record of why not.

    `asked` yields the items that are due, as places become free.
    """

    def __init__(self, asked: Iterator[Due], plan: Callable[[Due], Plan | BatchRecord]) -> None:
        self._asked = asked
        self._plan = plan
        self._runs: dict[int, tuple[Due, Run]] = {}
        self._begun: deque[Due | Settled] = deque()  # since it was last asked

    @property
    def unfinished(self) -> tuple[Due, ...]:
        """Items that were taken and have no record."""
        return tuple(due for due, _ in self._runs.values())

    def plans(self) -> Iterator[Plan]:
        """Plan one item after the other; one whose pictures cannot be read is settled by it."""
        count = 0
        for due in self._asked:
            self._begun.append(due)
            planned = self._plan(due)
            if isinstance(planned, BatchRecord):
                self._begun.append(Settled(due, planned))
                continue
            self._runs[count] = due, Run(planned)
            count += 1
            yield planned

    def begun(self) -> Iterator[Due | Settled]:
        """Yield the items that were taken up, and those settled by their pictures, since the last
        call.
        """
        while self._begun:
            yield self._begun.popleft()

    def see(self, number: int, event: Event) -> Settled | None:
        """Take an event of plan `number`; its record where it was the last one. An item that the
        user stopped has none.
        """
        due, run = self._runs[number]
        run.see(event)
        if run.done is None:
            return None
        del self._runs[number]
        result = run.result
        return None if result is None else Settled(due, answered(due.key, due.item, result))
