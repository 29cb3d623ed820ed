"""One connection of a server: a process of the same user borrows the loaded model.

Law: the engine is used by one borrower at a time, in the thread that calls `serve`. It does the
next step when it is asked for it and not before: the borrower is to it what a screen is to a
generator. A borrower that leaves, or that is let go, stops its decode before the next token.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress

from qvq_mlx.core.clip import Visual
from qvq_mlx.core.env import Engine
from qvq_mlx.core.events import Event
from qvq_mlx.core.tokens import Asked, Continuation, Control, Finished, Generation, Prompt, Step
from qvq_mlx.warm.frames import Frame, GoneError, receive, send
from qvq_mlx.warm.values import (
    generation_from,
    of_error,
    of_step,
    rounds_from,
    steer,
    visual_from,
)

Load = Callable[[Control], Generator[Event, None, Engine | None]]
"""Makes the engine ready that a hello asked for."""
Item = Step | Event | tuple[int, Step]
_LOOK_MS = 1000
_PATIENCE = 60
"""Looks at a borrower that asks for nothing while others wait, before it is let go."""


class _DroppedError(Exception):
    """The borrower wants no more while it is asked for its next question."""


class _Steered(Control):
    """A control that looks at what the borrower wishes for whenever the engine reads it."""

    __slots__ = ("_look",)

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self._look = look

    @property
    def stopping(self) -> bool:
        """True once the borrower wishes so, or has left."""
        self._look()
        return super().stopping

    @property
    def concluding(self) -> bool:
        """True once the borrower wishes so."""
        self._look()
        return super().concluding


class Desk:
    """The serving side of a connection whose hello was read. `serve` in the engine's thread.

    No thread reads beside it: a step costs the borrower two changes of process, and no more.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._ready = select.poll()
        self._ready.register(line, select.POLLIN)
        self._calls: deque[tuple[Frame, memoryview]] = deque()
        self._controls: dict[int, Control] = {}
        self._gone = False
        self._pictures: list[Visual] = []
        self._kept: dict[int, Continuation] = {}

    def say(self, frame: Frame) -> None:
        """Send a message to the borrower. Raises GoneError."""
        send(self._line, frame)

    def let_go(self) -> None:
        """End the connection, from any thread."""
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def serve(self, load: Load, others_wait: Callable[[], bool]) -> None:
        """Answer calls until the borrower leaves. `others_wait` for the engine, too.

        An error of the engine's goes to the borrower; none is raised. The connection is closed.
        """
        engine: Engine | None = None
        try:
            while (call := self._next(others_wait)) is not None:
                frame, blob = call
                try:
                    if frame["do"] == "load":
                        engine = self._pulled(load(self._control(0)), others_wait)
                    elif engine is not None:
                        self._do(engine, frame, blob, others_wait)
                except GoneError:
                    raise
                except Exception as error:
                    self.say({"error": of_error(error)})
        except GoneError:
            pass
        finally:
            self._pictures, self._kept = [], {}
            self._line.close()

    def _do(
        self, engine: Engine, frame: Frame, blob: memoryview, others_wait: Callable[[], bool]
    ) -> None:
        """Answer one call to the engine."""
        self._take_pictures(frame, blob)
        match frame["do"]:
            case "prompt" | "extended":
                self._say_prompt(self._written(engine, frame))
            case "rows":
                ways = [
                    (self._generation(way), self._control(number))
                    for number, way in enumerate(frame["ways"])
                ]
                prompt = self._prompt(frame["prompt"])
                # one way of its own is `generate`: it may be drafted for
                steps = (
                    engine.generate(prompt, *ways[0])
                    if len(ways) == 1
                    else engine.generate_rows(prompt, ways)
                )
                self._pulled(steps, others_wait, len(ways))
            case "each":
                asked = self._asked(engine, others_wait)
                each = engine.generate_each(asked, frame["most"], frame["beyond"])
                self._pulled(each, others_wait)
            case other:
                raise ValueError(f"nobody can {other!r}")

    def _written(self, engine: Engine, frame: Frame) -> Prompt:
        """Return the prompt that a call asks for."""
        if frame["do"] == "prompt":
            return engine.prompt(
                frame["question"],
                self._shown(frame),
                frame["system"],
                rounds_from(frame["rounds"]),
                **frame["options"],
            )
        return engine.extended(
            self._prompt(frame["prompt"]),
            frame["written"],
            frame["text"],
            self._shown(frame),
            thinks=frame["thinks"],
        )

    def _pulled(
        self, steps: Iterator[Item], others_wait: Callable[[], bool], ends: int = 0
    ) -> Engine | None:
        """Send each item when it is asked for, then whether they come to an engine, and return it;
        None where the borrower does not want the rest.

        The last of so many `ends` says that it is the last: a reader may leave it at that.
        """
        while True:
            call = self._next(others_wait)
            if call is None or call[0]["do"] != "next":
                if isinstance(steps, Generator):
                    steps.close()
                if call is None:
                    raise GoneError
                self.say({"end": False})
                return None
            try:
                step = next(steps)
            except StopIteration as stop:
                engine: Engine | None = stop.value
                self.say({"end": engine is not None})
                return engine
            except _DroppedError:
                self.say({"end": False})
                return None
            if isinstance(step, tuple):
                self.say({"step": of_step(step[1]), "of": step[0]})
                continue
            ends -= isinstance(step, Finished)
            is_last = isinstance(step, Finished) and ends == 0
            if is_last and isinstance(steps, Generator):
                steps.close()
            self.say({"step": of_step(step), "last": is_last})
            if is_last:
                return None

    def _asked(self, engine: Engine, others_wait: Callable[[], bool]) -> Iterator[Asked]:
        """Ask the borrower for its next question whenever the engine has a place for one.

        The borrower has the engine write that question's prompt first.
        """
        number = 0
        self.say({"more": True})
        while True:
            call = self._next(others_wait)
            if call is None:
                raise GoneError
            frame, blob = call
            self._take_pictures(frame, blob)
            match frame["do"]:
                case "prompt" | "extended":
                    self._say_prompt(self._written(engine, frame))
                case "asked":
                    prompt = self._prompt(frame["prompt"])
                    yield Asked(prompt, self._generation(frame["way"]), self._control(number))
                    number += 1
                    self.say({"more": True})
                case "none":
                    return
                case _:
                    raise _DroppedError

    def _next(self, others_wait: Callable[[], bool]) -> tuple[Frame, memoryview] | None:
        """Wait for a call; None where the borrower left, or kept the others waiting too long."""
        looks = 0
        while not self._gone and looks < _PATIENCE:
            if self._calls:
                return self._calls.popleft()
            if self._ready.poll(_LOOK_MS):
                self._read()
            else:
                looks = looks + 1 if others_wait() else 0
        self.let_go()
        return None

    def _look(self) -> None:
        """Read what has come, and wait for nothing."""
        while not self._gone and self._ready.poll(0):
            self._read()

    def _read(self) -> None:
        """Read a message: a wish holds at once, a call waits until it is asked for."""
        try:
            frame, blob = receive(self._line)
        except GoneError:
            self._gone = True
            for control in self._controls.values():
                control.stop()
            return
        if frame["do"] in ("load", "rows", "each"):
            self._controls = {}
        for number, *wishes in frame.get("wishes", ()):
            steer(self._control(number), wishes)
        if frame["do"] != "wish":
            self._calls.append((frame, blob))

    def _control(self, number: int) -> Control:
        """Return what steers way or question `number` of the call that was read last."""
        return self._controls.setdefault(number, _Steered(self._look))

    def _take_pictures(self, frame: Frame, blob: memoryview) -> None:
        """Keep the pictures that came with a call: the next ones name them by number."""
        at = 0
        for described, size in frame.get("new", ()):
            self._pictures.append(visual_from(described, blob[at : at + size]))
            at += size

    def _shown(self, frame: Frame) -> tuple[Visual, ...]:
        return tuple(self._pictures[number] for number in frame["pictures"])

    def _prompt(self, frame: Frame) -> Prompt:
        return Prompt(tuple(frame["ids"]), self._shown(frame))

    def _generation(self, frame: Frame) -> Generation:
        kept: int | None = frame["kept"]
        continuation = None if kept is None else self._kept.setdefault(kept, Continuation())
        return generation_from(frame, continuation)

    def _say_prompt(self, prompt: Prompt) -> None:
        numbers = [
            next(at for at, known in enumerate(self._pictures) if known is picture)
            for picture in prompt.pictures
        ]
        self.say({"end": {"ids": prompt.ids, "pictures": numbers}})
