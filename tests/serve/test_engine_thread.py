"""One thread answers requests in turn, and no request disturbs another."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace

import pytest

from qvq_mlx.core.env import Engine
from qvq_mlx.core.errors import ImageNotFoundError, OverloadedError, StoppedError
from qvq_mlx.core.events import Done, Progress, StopReason, checked, fold
from qvq_mlx.core.request import Request
from qvq_mlx.core.tokens import Control, Step
from qvq_mlx.serve.engine_thread import Delivery, EngineThread, Failed, Job, Planned
from qvq_mlx.settings import config
from tests.conftest import EXAMPLES, ScriptedEngine, World
from tests.support.waiting import CEILING_S, eventually

Build = Callable[..., World]
WORDS = ("I look.\n\n", "**Final Answer**\n\n", "two", " red", " circles")
ASKED = Request("How many?", (str(EXAMPLES / "shapes.png"),), "tiny")
"""Nothing here waits so long: a test that would, fails."""


@dataclass
class Inbox:
    """What one request gets."""

    items: queue.Queue[Delivery] = field(default_factory=queue.Queue)

    def until_end(self) -> list[Delivery]:
        got = []
        while not got or not isinstance(got[-1], Done | Failed):
            got.append(self.items.get(timeout=CEILING_S))
        return got


def thread_of(world: World, **settings: int) -> EngineThread:
    return EngineThread(world.env, config.read(world.env), **settings)


def events_of(got: list[Delivery]) -> list[object]:
    planned, *events = got
    assert isinstance(planned, Planned)
    return list(checked(events))  # type: ignore[arg-type]


@dataclass
class Held:
    """An engine that stops at its second token until the test lets it go on."""

    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    tokens: int = 0

    def on_token(self, index: int, _control: Control) -> None:
        self.tokens += 1
        if index == 1:
            self.reached.set()
            assert self.go_on.wait(CEILING_S)

    def engine(self) -> ScriptedEngine:
        return ScriptedEngine(WORDS, on_token=self.on_token)


@pytest.fixture
def held() -> Iterator[Held]:
    found = Held()
    yield found
    found.go_on.set()


def test_a_request_becomes_a_plan_then_events_and_the_model_stays(world: Build) -> None:
    thread, inbox = thread_of(world(WORDS)), Inbox()
    try:
        thread.submit(ASKED, "a", inbox.items.put)
        assert fold(events_of(inbox.until_end())).answer == "two red circles"  # type: ignore[arg-type]
        thread.submit(ASKED, "a", inbox.items.put)
        again = events_of(inbox.until_end())
        assert not [
            event for event in again if isinstance(event, Progress) and event.stage == "load"
        ]
        assert thread.status.model == "qvq-tiny"
    finally:
        thread.close()


def test_a_client_that_leaves_stops_its_decode_within_one_token(world: Build, held: Held) -> None:
    thread, inbox = thread_of(world(engine=held.engine())), Inbox()
    try:
        job = thread.submit(ASKED, "a", inbox.items.put)
        assert held.reached.wait(CEILING_S)
        thread.cancel(job)
        held.go_on.set()
        done = inbox.until_end()[-1]
        assert isinstance(done, Done)
        assert (done.stop_reason, done.complete, held.tokens) == (StopReason.INTERRUPT, False, 2)
    finally:
        thread.close()


def test_a_request_that_fails_disturbs_no_other(world: Build) -> None:
    thread, bad, good = thread_of(world(WORDS)), Inbox(), Inbox()
    try:
        thread.submit(replace(ASKED, images=("gone.png",)), "a", bad.items.put)
        thread.submit(ASKED, "a", good.items.put)
        (failed,) = bad.until_end()
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, ImageNotFoundError)
        assert isinstance(good.until_end()[-1], Done)
    finally:
        thread.close()


class Broken(ScriptedEngine):
    """Fails once, as a bug of a library would."""

    def generate(self, *given: object) -> Iterator[Step]:  # type: ignore[override]
        if not self.generations:
            self.generations.append(given[1])  # type: ignore[arg-type]
            raise ZeroDivisionError("of a library")
        return super().generate(*given)  # type: ignore[arg-type]


def test_a_bug_ends_one_request_and_not_the_thread(world: Build) -> None:
    thread, inbox = thread_of(world(engine=Broken(WORDS))), Inbox()
    try:
        thread.submit(ASKED, "a", inbox.items.put)
        failed = inbox.until_end()[-1]
        assert isinstance(failed, Failed)
        assert failed.error.message == "ZeroDivisionError: of a library (this is a bug)"
        thread.submit(ASKED, "a", inbox.items.put)
        assert isinstance(inbox.until_end()[-1], Done)
    finally:
        thread.close()


def test_a_client_that_cannot_be_told_is_one_that_left(world: Build) -> None:
    engine = ScriptedEngine(WORDS)
    thread, inbox = thread_of(world(engine=engine)), Inbox()

    def closed(_item: Delivery) -> None:
        raise RuntimeError("the loop is closed")

    try:
        thread.submit(ASKED, "a", closed)
        thread.submit(ASKED, "b", inbox.items.put)
        assert isinstance(inbox.until_end()[-1], Done)
        assert len(engine.generations) == 1  # the first one never began
    finally:
        thread.close()


def test_too_many_requests_are_refused_with_a_time(world: Build, held: Held) -> None:
    thread, inbox = thread_of(world(engine=held.engine()), max_waiting=1), Inbox()
    try:
        thread.submit(ASKED, "a", inbox.items.put)
        assert held.reached.wait(CEILING_S)
        waits = thread.submit(ASKED, "b", Inbox().items.put)
        with pytest.raises(OverloadedError) as refused:
            thread.submit(ASKED, "c", inbox.items.put)
        assert refused.value.retry_after_s >= 1
        thread.cancel(waits)
        eventually(lambda: thread.status.waiting == 0)
        assert until_planned(thread).plan is not None
    finally:
        held.go_on.set()
        thread.close()


def until_planned(thread: EngineThread) -> Job:
    """Another request, once its plan is made."""
    inbox = Inbox()
    job = thread.submit(ASKED, "d", inbox.items.put)
    assert isinstance(inbox.items.get(timeout=CEILING_S), Planned)
    return job


def test_closing_ends_what_runs_with_done_and_what_waits_with_an_error(
    world: Build, held: Held
) -> None:
    thread, runs, waits = thread_of(world(engine=held.engine())), Inbox(), Inbox()
    thread.submit(ASKED, "a", runs.items.put)
    assert held.reached.wait(CEILING_S)
    thread.submit(ASKED, "b", waits.items.put)
    assert isinstance(waits.items.get(timeout=CEILING_S), Planned)
    closing = threading.Thread(target=thread.close)
    closing.start()
    failed = waits.until_end()[-1]  # the one that runs is held, so the queue was emptied first
    held.go_on.set()
    closing.join(CEILING_S)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, StoppedError)
    assert isinstance(runs.until_end()[-1], Done)
    with pytest.raises(StoppedError):
        thread.submit(ASKED, "c", runs.items.put)


def test_one_thread_loads_and_generates_and_lets_go_when_idle(world: Build) -> None:
    seen: list[str] = []
    unloaded = threading.Event()
    engine = ScriptedEngine(
        WORDS, on_token=lambda _i, _c: seen.append(threading.current_thread().name)
    )

    class Model:
        """An engine whose end is seen."""

        prompt, generate = engine.prompt, engine.generate

        def __del__(self) -> None:
            seen.append(threading.current_thread().name)
            unloaded.set()

    def load(*_: object) -> Generator[Progress, None, Engine | None]:
        seen.append(threading.current_thread().name)
        yield from ()
        return Model()  # type: ignore[return-value]

    w = world(WORDS)
    w.env = replace(w.env, load_engine=load)
    thread, inbox = EngineThread(w.env, config.read(w.env), keep_s=0), Inbox()
    try:
        thread.submit(ASKED, "a", inbox.items.put)
        assert isinstance(inbox.until_end()[-1], Done)
        assert unloaded.wait(CEILING_S)
        assert set(seen) == {"qvq-engine"}
    finally:
        thread.close()
