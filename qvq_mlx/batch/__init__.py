"""Many questions with one load: items in, records out, an item's failure a record like any other.

Law: a record is on the disk before the next item takes its place, and what is on the disk is not
asked again. An item that was stopped leaves no record: the next run asks it. What would fail every
item (the model, the command line, the output) ends the batch.

Not kept in the history: the output has it all.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from qvq_mlx.batch.contents import Contents
from qvq_mlx.batch.flight import Due, Flight, Run, Settled
from qvq_mlx.batch.in_flight import check_together, most_tried
from qvq_mlx.batch.items import Item
from qvq_mlx.batch.keys import KeyMaker, legacy_keys, model_identity
from qvq_mlx.batch.ledger import Ledger
from qvq_mlx.batch.record import BatchRecord, Status, answered, failed
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import (
    BigModelBusyError,
    DoesNotFitError,
    HostGoneError,
    ModelError,
    OutputError,
    OverloadedError,
    QvqError,
    ServerGoneError,
)
from qvq_mlx.core.events import Done, Event
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.remedies import Show
from qvq_mlx.core.request import Request
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import Control
from qvq_mlx.memory.lock import BigModelLock
from qvq_mlx.run.ask import ask
from qvq_mlx.run.outputs import checkpoint_files
from qvq_mlx.run.plan import make_plan, resolve
from qvq_mlx.run.resident import ResidentModel
from qvq_mlx.run.together import ask_together
from qvq_mlx.settings.config import Settings, debugging


@dataclass(frozen=True, slots=True)
class Began:
    """Item `number`, counted from 1, is taken up."""

    number: int
    item: Item


@dataclass(frozen=True, slots=True)
class Ended:
    """It is done; `record` None: it was before. `seconds` it took."""

    number: int
    item: Item
    status: Status
    record: BatchRecord | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Course:
    """One pass over the items: where records go, what ends it, the model that stays loaded, and
    the items that were done before and are not told yet.
    """

    ledger: Ledger
    control: Control
    loaded: ResidentModel
    skipped: list[Ended]

    def told(self) -> Iterator[Ended]:
        """Hand out what was skipped since the last call."""
        found = self.skipped[:]
        self.skipped.clear()
        yield from found


class Batch:
    """One model, and what every item is asked with: all of `request` but question and images."""

    def __init__(self, request: Request, env: Env, settings: Settings) -> None:
        """Raises a ModelError or UsageError where no item could be asked."""
        in_flight = request.policy.in_flight
        if in_flight is not None and in_flight > 1:
            check_together(request)
        self._resolved = resolve(request, settings)
        self.model = self._resolved.card.name
        self.takes_video = self._resolved.card.vision.video
        self.files = checkpoint_files(self._resolved)
        """The files that the model is read from."""
        self._finds_out = in_flight is None
        if in_flight is None:
            in_flight = most_tried(self._resolved, request, env)
        self._in_flight = in_flight
        policy = replace(request.policy, save=False, in_flight=1)
        together = replace(policy, draft=str(Drafting.NONE), in_flight=self._in_flight)
        self._together_request = replace(request, policy=together)
        alone = policy if self._finds_out or self._in_flight == 1 else together
        self._request = replace(request, policy=alone)
        self._keys = KeyMaker(self._request, self._resolved, model_identity(self._resolved))
        self._contents = Contents()
        self._env = env
        # what an image cost stays in memory while it is asked about: 0.4 GB of a 72B model for
        # every picture of a folder is nothing to write to a disk
        self._settings = replace(settings, cache_max_bytes=0)

    def keys_for(self, item: Item) -> Iterator[str]:
        """Yield the item's key, and then those that earlier versions gave it, if they are wanted.

        They come of the contents of the item's images, as far as they are files that can be read.
        """
        contents = tuple(map(self._contents.of, item.images))
        yield self._keys.key(item.question, contents)
        request = replace(self._request, question=item.question)
        yield from legacy_keys(request, self._resolved.card, contents)

    def ask_all(
        self, items: Sequence[Item], ledger: Ledger, control: Control
    ) -> Iterator[Began | Event | Ended]:
        """Ask what is not done. Ends early where `control` stops it.

        Raises a QvqError that concerns every item.
        """
        loaded = ResidentModel(
            self._env.load_engine,
            BigModelLock(self._settings.cache_folder, self._env.sleep),
            self._settings.cache_folder if self._env.hostfile is None else None,
        )
        course = _Course(ledger, control, loaded, [])
        due = self._due(items, course)
        try:
            if self._in_flight > 1:
                beyond: float | None = None
                if self._finds_out:
                    beyond = yield from self._first_answered(due, course)
                yield from self._together(due, course, beyond)
            for one in due:
                yield from self._in_its_turn(one, course)
            yield from course.told()
        finally:
            loaded.close()

    def _first_answered(
        self, due: Iterator[Due], course: _Course
    ) -> Generator[Began | Event | Ended, None, float]:
        """Ask one item after the other until one has an answer; return the tokens/s of that."""
        rate = 0.0
        for one in due:
            for event in self._in_its_turn(one, course):
                yield event
                if isinstance(event, Done):
                    rate = event.stats.tokens_per_s
                elif isinstance(event, Ended) and event.status is Status.ANSWERED:
                    return rate
        return 0.0

    def _in_its_turn(self, one: Due, course: _Course) -> Iterator[Began | Event | Ended]:
        """Say what was skipped before an item, and ask that."""
        yield from course.told()
        yield Began(one.number, one.item)
        yield from self._alone(one, course)

    def _due(self, items: Sequence[Item], course: _Course) -> Iterator[Due]:
        """Yield the items that have to be asked; those that were done before are skipped."""
        for number, item in enumerate(items, 1):
            if course.control.stopping:
                return
            began_s = self._env.clock()
            keys = self.keys_for(item)
            key = next(keys)
            if before := course.ledger.take(chain((key,), keys)):
                course.skipped.append(Ended(number, item, before))
            else:
                yield Due(number, item, key, began_s)

    def _alone(self, due: Due, course: _Course) -> Iterator[Event | Ended]:
        """Ask one item; nothing is recorded where the user stopped it."""
        if course.control.stopping:
            return
        record = yield from self._recorded(due, course)
        if record is not None:
            yield self._ended(Settled(due, record), course.ledger)

    def _together(
        self, due: Iterator[Due], course: _Course, beyond: float | None
    ) -> Iterator[Began | Event | Ended]:
        """Ask several items at a time, until none is due, the memory has no room for several, or
        that is no faster than `beyond`.
        """
        while True:
            flight = Flight(due, lambda one: self._planned(one, course.loaded))
            steps = ask_together(
                flight.plans(), self._in_flight, self._env, course.control, course.loaded, beyond
            )
            failed: Exception | None = None
            while failed is None:
                try:
                    found = next(steps, None)
                except Exception as error:
                    found, failed = None, error
                yield from course.told()
                for one in flight.begun():
                    if isinstance(one, Settled):
                        yield self._ended(one, course.ledger)
                    else:
                        yield Began(one.number, one.item)
                if found is None:
                    break
                yield found[1]
                if (settled := flight.see(*found)) is not None:
                    yield self._ended(settled, course.ledger)
            if failed is None:
                return
            if isinstance(failed, QvqError) and _concerns_all(failed, asked=course.loaded.holds):
                raise failed
            if not isinstance(failed, QvqError) and debugging(self._env):
                raise failed
            for one in flight.unfinished:
                yield from self._alone(one, course)
            if isinstance(failed, DoesNotFitError):
                return

    def _ended(self, settled: Settled, ledger: Ledger) -> Ended:
        """Write a record, and then say so."""
        due, record = settled.due, settled.record
        ledger.write(record, due.number)
        seconds = self._env.clock() - due.began_s
        return Ended(due.number, due.item, record.status, record, seconds)

    def _recorded(self, due: Due, course: _Course) -> Generator[Event, None, BatchRecord | None]:
        """Ask about one item and return its record; None where the user stopped it.

        Where the server that lent its model ends before the answer does, it is asked again, here.
        """
        try:
            plan = self._plan(due, self._request)
            try:
                run = yield from self._run(plan, course)
            except ServerGoneError:
                here = replace(plan.request.policy, server=False)
                plan = replace(plan, request=replace(plan.request, policy=here))
                run = yield from self._run(plan, course)
            result = None if course.control.stopping else run.result
        except Exception as error:
            return self._failed(due, error, course.loaded)
        return None if result is None else answered(due.key, due.item, result)

    def _run(self, plan: Plan, course: _Course) -> Generator[Event, None, Run]:
        run = Run(plan)
        own = Control(course.control)  # a run that is over does not end the batch
        for event in ask(plan, self._env, self._settings, own, course.loaded):
            run.see(event)
            yield event
        return run

    def _planned(self, due: Due, loaded: ResidentModel) -> Plan | BatchRecord:
        """Read an item's pictures; its record where they cannot be read."""
        try:
            return self._plan(due, self._together_request)
        except Exception as error:
            return self._failed(due, error, loaded)

    def _plan(self, due: Due, request: Request) -> Plan:
        asked = replace(request, question=due.item.question, images=due.item.images)
        return make_plan(asked, self._env, self._settings)

    def _failed(self, due: Due, error: Exception, loaded: ResidentModel) -> BatchRecord:
        """Return the record of an item that could not be asked. Raises what concerns every item."""
        if isinstance(error, QvqError):
            if _concerns_all(error, asked=loaded.holds):
                raise error
            return failed(due.key, due.item, self.model, error, self._env.spelling)
        if debugging(self._env):
            raise error
        # a bug, and a night's work must not end of it
        bug = f"{type(error).__name__}: {error} (this is a bug)"
        shown = QvqError(bug, Show.TRACEBACK)
        return failed(due.key, due.item, self.model, shown, self._env.spelling)


def _concerns_all(error: QvqError, *, asked: bool) -> bool:
    """True if the next item would fail of it too; `asked`: an earlier one did not.

    What the command line lacks was said before the first item; a usage error is now of one
    picture (a crop that reaches outside, a video), or of a line of the items' file.
    """
    match error:
        case ModelError() | BigModelBusyError() | OutputError():
            return True
        case HostGoneError() | OverloadedError():
            return True
        case DoesNotFitError():
            return not asked
        case _:
            return False
