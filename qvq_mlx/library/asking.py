"""Ask a question, or many of one loaded model.

Law: what can be refused is refused when a function is called, before anything heavy is loaded. A
generator that is closed, or left by an exception, stops the model before its next token.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from types import TracebackType
from typing import Self

from qvq_mlx.core.events import Done, Event, Notice, Transcript
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.tokens import Control
from qvq_mlx.library.options import Asked, Options, Schema
from qvq_mlx.library.pictures import Image, sources_of
from qvq_mlx.library.world import environment
from qvq_mlx.memory.lock import BigModelLock
from qvq_mlx.records.runs import ResultRecord, request_record, result_record
from qvq_mlx.run.ask import ask as events_of
from qvq_mlx.run.choose import model_for
from qvq_mlx.run.plan import make_plan
from qvq_mlx.run.resident import ResidentModel
from qvq_mlx.run.verdict import failure
from qvq_mlx.settings import config

_DEFAULTS = Options()


class Model:
    """A model that stays loaded from the first question until the `with` block ends.

    `name` is a card's, a folder or a repository, as for `-m`; None: the configured one, else the
    best on this disk. Raises ModelNotOnDiskError where there is none, ConfigError for settings that
    cannot be read. It is used from the thread that asked first; one process holds one big model.
    """

    def __init__(self, name: str | None = None) -> None:
        self._env = environment()
        self._settings = config.read(self._env)
        self._name = model_for(self._env, self._settings, name)
        lock = BigModelLock(self._settings.cache_folder, self._env.sleep)
        self._held = ResidentModel(self._env.load_engine, lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the model. May be called at any time, and again."""
        self._held.close()

    def ask(
        self,
        images: Image | Sequence[Image],
        question: str,
        *,
        budget: int | str | None = None,
        schema: Schema | None = None,
        seed: int | None = None,
        options: Options = _DEFAULTS,
    ) -> Generator[Event, None, None]:
        """Yield the events of one question, the last of which is `Done`.

        `images` may be empty. `budget`: tokens of thinking, or low, medium, high, none; `schema`: a
        JSON schema that the answer satisfies. Raises a QvqError before the first event where the
        question cannot be asked.
        """
        return self._events(self._plan(images, Asked(question, budget, schema, seed, options)))

    def answer(
        self,
        images: Image | Sequence[Image],
        question: str,
        *,
        budget: int | str | None = None,
        schema: Schema | None = None,
        seed: int | None = None,
        options: Options = _DEFAULTS,
    ) -> ResultRecord:
        """Return the answer, its thinking, boxed value, places and costs: what `--json` prints.

        Raises what `ask` raises, and NoAnswerError or SchemaError where there is no whole answer.
        """
        plan = self._plan(images, Asked(question, budget, schema, seed, options))
        transcript, notices = Transcript(), list[Notice]()
        done: Done | None = None
        for event in self._events(plan):
            transcript.add(event)
            if isinstance(event, Notice):
                notices.append(event)
            done = event if isinstance(event, Done) else None
        assert done is not None, "a stream ends with Done"
        if error := failure(done, plan, 0, saved=options.save):
            raise error
        return result_record(request_record(plan), transcript, tuple(notices), done)

    def _plan(self, images: Image | Sequence[Image], asked: Asked) -> Plan:
        request = asked.request(sources_of(images), self._name)
        return make_plan(request, self._env, self._settings)

    def _events(self, plan: Plan) -> Generator[Event, None, None]:
        control = Control()
        events = events_of(plan, self._env, self._settings, control, self._held)
        try:
            yield from events
        except BaseException:
            control.stop()
            for _ in events:  # up to its `Done`, so that the model is whole for the next question
                pass
            raise


def ask(
    images: Image | Sequence[Image],
    question: str,
    *,
    model: str | None = None,
    budget: int | str | None = None,
    schema: Schema | None = None,
    seed: int | None = None,
    options: Options = _DEFAULTS,
) -> Generator[Event, None, None]:
    """Yield the events of one question to a model that is loaded for it. See `Model.ask`."""
    loaded = Model(model)
    events = loaded.ask(images, question, budget=budget, schema=schema, seed=seed, options=options)
    return _closing(loaded, events)


def answer(
    images: Image | Sequence[Image],
    question: str,
    *,
    model: str | None = None,
    budget: int | str | None = None,
    schema: Schema | None = None,
    seed: int | None = None,
    options: Options = _DEFAULTS,
) -> ResultRecord:
    """Return the answer of a model that is loaded for it. See `Model.answer`."""
    with Model(model) as loaded:
        return loaded.answer(
            images, question, budget=budget, schema=schema, seed=seed, options=options
        )


def _closing(model: Model, events: Generator[Event, None, None]) -> Generator[Event, None, None]:
    with model:
        yield from events
