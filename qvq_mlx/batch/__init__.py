"""Many questions with one load: items in, records out, an item's failure a record like any other.

Law: an item is on the disk before the next one begins, and what is on the disk is not asked
again. An item that was stopped leaves no record: the next run asks it. What would fail every item
(the model, the command line, the output) ends the batch.

Not kept in the history: the output has it all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from qvq_mlx.batch.items import Item
from qvq_mlx.batch.keys import key_of, legacy_keys, model_identity
from qvq_mlx.batch.ledger import Ledger
from qvq_mlx.batch.record import BatchRecord, Status, answered, failed
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import (
    BigModelBusyError,
    DoesNotFitError,
    ModelError,
    OutputError,
    QvqError,
)
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Notice,
    Progress,
    StopReason,
    ThinkingDelta,
    Transcript,
)
from qvq_mlx.core.remedies import Show
from qvq_mlx.core.request import Request
from qvq_mlx.core.tokens import Control
from qvq_mlx.images.paths import path_of
from qvq_mlx.memory.lock import BigModelLock
from qvq_mlx.records.runs import ResultRecord, request_record, result_record
from qvq_mlx.run.ask import ask
from qvq_mlx.run.outputs import checkpoint_files
from qvq_mlx.run.plan import make_plan, resolve
from qvq_mlx.run.resident import ResidentModel
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


class Batch:
    """One model, and what every item is asked with: all of `request` but question and images."""

    def __init__(self, request: Request, env: Env, settings: Settings) -> None:
        """Raises a ModelError or UsageError where no item could be asked."""
        self._resolved = resolve(request, settings)
        self.model = self._resolved.card.name
        self.takes_video = self._resolved.card.vision.video
        self.files = checkpoint_files(self._resolved)
        """What is read of the model."""
        self._identity = model_identity(self._resolved)
        self._request = replace(request, policy=replace(request.policy, save=False))
        self._env = env
        # what an image cost stays in memory while it is asked about: 0.4 GB of a 72B model for
        # every picture of a folder is nothing to write to a disk
        self._settings = replace(settings, cache_max_bytes=0)

    def keys_for(self, item: Item) -> tuple[str, ...]:
        """The item's key, and then those that earlier versions gave it.

        They come of the contents of the item's images, as far as they are files that can be read.
        """
        contents = tuple(map(_content, item.images))
        request = replace(self._request, question=item.question)
        key = key_of(request, self._resolved, self._identity, contents)
        return (key, *legacy_keys(request, self._resolved.card, contents))

    def ask_all(
        self, items: Sequence[Item], ledger: Ledger, control: Control
    ) -> Iterator[Began | Event | Ended]:
        """Ask what is not done. Ends early where `control` stops it.

        Raises a QvqError that concerns every item.
        """
        loaded = ResidentModel(
            self._env.load_engine, BigModelLock(self._settings.cache_folder, self._env.sleep)
        )
        try:
            for number, item in enumerate(items, 1):
                if control.stopping:
                    return
                began = self._env.clock()
                key, *legacy = self.keys_for(item)
                if before := ledger.take((key, *legacy)):
                    yield Ended(number, item, before)
                    continue
                yield Began(number, item)
                record = yield from self._recorded(key, item, control, loaded)
                if record is None:
                    return
                ledger.write(record)
                yield Ended(number, item, record.status, record, self._env.clock() - began)
        finally:
            loaded.close()

    def _recorded(
        self, key: str, item: Item, control: Control, loaded: ResidentModel
    ) -> Generator[Event, None, BatchRecord | None]:
        """Ask about one item and return its record; None where the user stopped it."""
        try:
            result = yield from self._asked(item, control, loaded)
        except QvqError as error:
            if _concerns_all(error, asked=loaded.holds):
                raise
            return failed(key, item, self.model, error, self._env.spelling)
        except Exception as error:  # a bug, and a night's work must not end of it
            if debugging(self._env):
                raise
            bug = f"{type(error).__name__}: {error} (this is a bug)"
            shown = QvqError(bug, Show.TRACEBACK)
            return failed(key, item, self.model, shown, self._env.spelling)
        return None if result is None else answered(key, item, result)

    def _asked(
        self, item: Item, control: Control, loaded: ResidentModel
    ) -> Generator[Event, None, ResultRecord | None]:
        """One run's events, and its result; None where the user stopped it."""
        request = replace(self._request, question=item.question, images=item.images)
        plan = make_plan(request, self._env, self._settings)
        transcript = Transcript()
        notices: list[Notice] = []
        done: Done | None = None
        own = Control(control)  # a run that is over does not end the batch
        for event in ask(plan, self._env, self._settings, own, loaded):
            transcript.add(event)
            match event:
                case Notice():
                    notices.append(event)
                case Done():
                    done = event
                case Progress() | ThinkingDelta() | AnswerDelta() | AnswerRetracted():
                    pass
            yield event
        assert done is not None, "the stream ended without Done"
        if control.stopping or done.stop_reason is StopReason.INTERRUPT:
            return None
        return result_record(request_record(plan), transcript, tuple(notices), done)


def _concerns_all(error: QvqError, *, asked: bool) -> bool:
    """True if the next item would fail of it too; `asked`: an earlier one did not.

    What the command line lacks was said before the first item; a usage error is now of one
    picture (a crop that reaches outside, a video), or of a line of the items' file.
    """
    match error:
        case ModelError() | BigModelBusyError() | OutputError():
            return True
        case DoesNotFitError():
            return not asked
        case _:
            return False


def _content(source: str) -> str:
    """sha256 of a file's bytes; what is no file, or cannot be read, stands for itself."""
    try:
        path = path_of(source)
        if path.is_file():  # a pipe would be empty afterwards
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError, QvqError):
        pass
    return f"unread {source}"
