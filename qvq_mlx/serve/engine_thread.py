"""One thread that owns the loaded model and answers requests in turn.

Law: the model is loaded, used and let go of in this thread alone (`engine.session` says why). What
a caller gets for a request is `Planned? Event* (Done | Failed)`: exactly one of the last two, and
it is last, whatever happens to the request. Where several replies are wanted, each event has the
number of its reply, and there is a `Done` for each. A request that fails, or whose client leaves,
disturbs no other one: its decode stops before the next token is committed. Whatever can be refused
is refused before the request waits: pictures are read and the plan is made in a thread beside this
one.

Deliveries are calls from these threads; a caller hands them on to its own loop and returns at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import OverloadedError, QvqError, StoppedError
from qvq_mlx.core.events import Event
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.request import Request
from qvq_mlx.core.tokens import Control
from qvq_mlx.memory.lock import BigModelLock
from qvq_mlx.run.ask import ask
from qvq_mlx.run.resident import ResidentModel
from qvq_mlx.run.unexpected import bug
from qvq_mlx.serve.choices import Numbered, drawn, plan_of
from qvq_mlx.serve.turns import Turns
from qvq_mlx.settings.config import Settings

MAX_WAITING = 16
"""Requests that wait, besides the one that runs: their pictures are in memory."""
_FIRST_GUESS_S = 30.0
"""The time of a request before one was measured."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The request is accepted: its pictures were read, and it waits for its turn."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Failed:
    """The request has ended without `Done`, or was refused."""

    error: QvqError


Delivery = Planned | Event | Numbered | Failed
Deliver = Callable[[Delivery], None]


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the thread. `model` is loaded now; None: none is.

    `waiting` counts requests whose turn has not come, `ended` those whose turn has ended. `idle_s`
    counts since the last one ended, or since the start; None while one runs.
    """

    model: str | None
    running: bool
    waiting: int
    ended: int
    idle_s: float | None


@dataclass(eq=False, slots=True)
class Job:
    """A request on its way. `control` stops it, or asks for its answer now.

    Where several replies are wanted there is one of `controls` for each; they are drawn `together`
    where that is possible.
    """

    request: Request
    client: str
    deliver: Deliver
    control: Control
    controls: tuple[Control, ...] = ()
    plan: Plan | None = None
    together: bool = False

    def tell(self, item: Delivery) -> None:
        """Deliver; where that fails the client is gone, and so is the reason to go on."""
        try:
            self.deliver(item)
        except Exception:
            self.control.stop()


@dataclass(eq=False, slots=True)
class Loan:
    """The model, lent to another process for a question of its own.

    `work` has the engine's thread until it returns; `leave` makes it return.
    """

    client: str
    name: str
    work: Callable[[ResidentModel], None]
    leave: Callable[[], None]


class EngineThread:
    """The thread. `submit` from any thread; `close` at the end, in a `finally`.

    `keep_s`: the model is let go of after so many idle seconds; None: never.
    """

    def __init__(
        self,
        env: Env,
        settings: Settings,
        keep_s: float | None = None,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._env = env
        self._settings = settings
        self._keep_s = keep_s
        self._max_waiting = max_waiting
        self._changed = threading.Condition()
        self._turns: Turns[Job | Loan] = Turns()
        self._planning: set[Job] = set()
        self._running: Job | Loan | None = None
        self._loaded: str | None = None
        self._closing = False
        self._over = threading.Event()
        self._ended, self._spent_s = 0, 0.0
        self._idle_since_s = monotonic()
        self._planner = ThreadPoolExecutor(1, "qvq-plan")
        self._thread = threading.Thread(target=self._run, name="qvq-engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request, client: str, deliver: Deliver, replies: int = 1) -> Job:
        """Plan `request` and queue it. Clients of different names take turns.

        Raises OverloadedError where too many wait, and StoppedError once it is closing.
        """
        control = Control()
        controls = tuple(Control(control) for _ in range(replies)) if replies > 1 else ()
        job = Job(request, client, deliver, control, controls)
        with self._changed:
            if self._closing:
                raise _closed()
            waiting = len(self._turns) + len(self._planning)
            if waiting >= self._max_waiting:
                raise OverloadedError(
                    f"{waiting} requests wait already, and no more are taken",
                    retry_after_s=self._wait_s(waiting),
                )
            self._planning.add(job)
            self._planner.submit(self._plan, job)
        return job

    def lend(self, loan: Loan) -> bool:
        """Queue a loan. False where no more may wait, or it is closing."""
        with self._changed:
            if self._closing or len(self._turns) + len(self._planning) >= self._max_waiting:
                return False
            self._turns.put(loan.client, loan)
            self._changed.notify_all()
            return True

    @property
    def settings(self) -> Settings:
        """Return the settings that every request is planned with."""
        return self._settings

    @property
    def is_busy(self) -> bool:
        """True if a request runs or waits."""
        with self._changed:
            return self._running is not None or len(self._turns) > 0

    @property
    def others_wait(self) -> bool:
        """True if a request waits for its turn."""
        with self._changed:
            return len(self._turns) > 0

    def cancel(self, job: Job) -> None:
        """End a request, whether it waits or runs. May be called at any time, and again."""
        job.control.stop()
        with self._changed:
            waited = self._turns.drop(job.client, job)
        if waited:
            job.tell(Failed(_left()))

    @property
    def status(self) -> Status:
        """Return the state at this moment."""
        with self._changed:
            waiting = len(self._turns) + len(self._planning)
            running = self._running is not None
            idle_s = None if running else monotonic() - self._idle_since_s
            return Status(self._loaded, running, waiting, self._ended, idle_s)

    def close(self) -> None:
        """Stop what runs, end what waits, let go of the model. Returns when all of it is done."""
        with self._changed:
            self._closing = True
            waiting = self._turns.clear()
            running = self._running
            for job in (*self._planning, *([running] if isinstance(running, Job) else [])):
                job.control.stop()
            self._changed.notify_all()
        for one in (*waiting, running):
            if isinstance(one, Loan):
                one.leave()
            elif one is not None and one is not running:
                one.tell(Failed(_closed()))
        self._planner.shutdown()
        self._over.wait()

    def _plan(self, job: Job) -> None:
        """Read the pictures, in the planner's thread; then the request waits for its turn."""
        try:
            if job.control.stopping:
                raise self._gone
            count = max(1, len(job.controls))
            job.plan, job.together = plan_of(job.request, count, self._env, self._settings)
        except Exception as error:
            self._refuse(job, error if isinstance(error, QvqError) else bug(error, self._env))
            return
        job.tell(Planned(job.plan))
        with self._changed:
            self._planning.discard(job)
            goes_on = not (self._closing or job.control.stopping)
            if goes_on:
                self._turns.put(job.client, job)
                self._changed.notify_all()
        if not goes_on:
            job.tell(Failed(self._gone))

    @property
    def _gone(self) -> StoppedError:
        """Why a request that is not answered any more ended."""
        return _closed() if self._closing else _left()

    def _refuse(self, job: Job, error: QvqError) -> None:
        with self._changed:
            self._planning.discard(job)
        job.tell(Failed(error))

    def _run(self) -> None:
        """The thread itself."""
        lock = BigModelLock(self._settings.cache_folder, self._env.sleep)
        resident = ResidentModel(self._env.load_engine, lock)
        try:
            while (job := self._next(resident)) is not None:
                began_s = monotonic()
                if isinstance(job, Loan):
                    job.work(resident)
                else:
                    self._answer(job, resident)
                with self._changed:
                    self._running = None
                    self._loaded = _name_of(job) if resident.holds else None
                    self._ended += 1
                    self._idle_since_s = monotonic()
                    self._spent_s += self._idle_since_s - began_s
        finally:
            resident.close()
            self._over.set()
        # A thread that used mlx takes the interpreter's lock once more when it ends, after `join`
        # has returned; a process that ends meanwhile is aborted. So it waits for the process's end.
        threading.Event().wait()

    def _next(self, resident: ResidentModel) -> Job | Loan | None:
        """Wait for the next job; None once it is closing. An idle model is let go of."""
        with self._changed:
            while not self._closing:
                self._running = self._turns.take()
                if self._running is not None:
                    return self._running
                idle_s = self._keep_s if resident.holds else None
                if not self._changed.wait(idle_s) and not len(self._turns):
                    resident.close()
                    self._loaded = None
            return None

    def _answer(self, job: Job, resident: ResidentModel) -> None:
        """Run one job to its `Done`, or to what it failed with."""
        assert job.plan is not None, "it was planned before it waited"
        env, settings = self._env, self._settings
        events: Iterator[Event | Numbered]
        if job.controls:
            together = job.together
            events = drawn(job.plan, job.controls, env, settings, resident, together=together)
        else:
            events = ask(job.plan, env, settings, job.control, resident)
        try:
            for event in events:
                job.tell(event)
        except Exception as error:
            job.tell(Failed(error if isinstance(error, QvqError) else bug(error, self._env)))

    def _wait_s(self, waiting: int) -> float:
        """Estimate the seconds until a place in the queue is free."""
        each_s = self._spent_s / self._ended if self._ended else _FIRST_GUESS_S
        return max(1.0, each_s * waiting / max(1, self._max_waiting))


def _name_of(job: Job | Loan) -> str | None:
    if isinstance(job, Loan):
        return job.name
    return job.plan.resolved.card.name if job.plan is not None else None


def _left() -> StoppedError:
    return StoppedError("the client left before its turn")


def _closed() -> StoppedError:
    return StoppedError("the server is shutting down")
