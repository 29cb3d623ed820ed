"""The engine of a server as a process that borrows it sees it: `core.env.Engine` over a line.

Law: what it yields is what the engine itself would yield, item by item, each when it is asked for.
Where the server is gone before a reply has begun, the process's own engine answers instead, and
nobody is told; after that it is an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from qvq_mlx.core.clip import Visual
from qvq_mlx.core.env import Engine
from qvq_mlx.core.errors import QvqError, ServerGoneError
from qvq_mlx.core.events import Event, Notice, Progress
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.rounds import Round
from qvq_mlx.core.setup import Setup
from qvq_mlx.core.tokens import Asked, Control, Generation, Prompt, Step
from qvq_mlx.warm.client import Line, Wishes, connected
from qvq_mlx.warm.frames import Frame, GoneError
from qvq_mlx.warm.values import described, of_rounds, step_from

Own = Callable[[Control], Generator[Event, None, Engine | None]]
"""Loads the process's own engine; None where the control stopped it."""


def borrowed(
    folder: Path, plan: Plan, own: Own, control: Control
) -> Generator[Notice, None, BorrowedEngine | None]:
    """Find a server in `folder` that lends what `plan` asks for, and say so where others are
    before us. None where there is none.
    """
    setup, resolved = plan.resolved.setup, plan.resolved
    found = connected(
        folder,
        {
            "checkpoint": described(resolved.checkpoint),
            "drafting": setup.drafting,
            "draft_model": setup.draft_model and described(setup.draft_model),
            "draft_tokens": setup.draft_tokens,
            "caches": setup.cache_folder is not None,
            "cache_max_bytes": setup.cache_max_bytes,
            "alone": plan.alone,
            "wait": plan.request.policy.wait,
            "pid": os.getpid(),
        },
    )
    if found is None:
        return None
    line, waits = found
    if waits:
        yield Notice("waiting", f"waiting for another question to the server (pid {line.pid})")
    return BorrowedEngine(line, own, control)


class BorrowedEngine:
    """A server's engine, and the process's own one where the server is gone before it answers."""

    def __init__(self, line: Line, own: Own, control: Control) -> None:
        self._line = line
        self._load_own = own
        self._control = control
        self._own: Engine | None = None

    def loaded(self) -> Generator[Event, None, bool]:
        """Have the server load it, if it has to. False where the control stopped that, or where
        the server is gone and the own engine was stopped.
        """
        try:
            for answer in self._pulled({"do": "load"}, Wishes({0: self._control})):
                if "step" not in answer:
                    return bool(answer["end"])
                step = step_from(answer["step"])
                assert isinstance(step, Progress | Notice)
                yield step
        except GoneError:
            self._own = yield from self._load_own(self._control)
            return self._own is not None
        raise AssertionError("a call has an end")

    @property
    def server_pid(self) -> int | None:
        """The process that answers; None once it is gone and the own engine does."""
        return self._line.pid if self._own is None else None

    def under(self, setup: Setup) -> BorrowedEngine:  # noqa: ARG002  it is borrowed as it is
        """The same: a borrowed engine has the set-up that it was borrowed with."""
        return self

    def close(self) -> None:
        """Give it back."""
        self._line.close()

    def prompt(
        self,
        question: str,
        pictures: Sequence[Visual],
        system: str | None,
        rounds: Sequence[Round] = (),
        *,
        labelled: bool = True,
        inline: bool = False,
        thinks: bool = True,
    ) -> Prompt:
        """As the engine's."""
        options = {"labelled": labelled, "inline": inline, "thinks": thinks}
        if self._own is None:
            shown, blobs = self._line.with_pictures(pictures)
            call = {"do": "prompt", "question": question, "system": system, "options": options}
            with suppress(GoneError):
                return self._line.prompt(
                    self._line.call({**call, **shown, "rounds": of_rounds(rounds)}, None, blobs)
                )
        return self._instead().prompt(question, pictures, system, rounds, **options)

    def extended(
        self,
        prompt: Prompt,
        written: Sequence[int],
        text: str,
        pictures: Sequence[Visual] = (),
        *,
        thinks: bool = True,
    ) -> Prompt:
        """As the engine's."""
        if self._own is None:
            shown, blobs = self._line.with_pictures(pictures)
            before, more = self._of_prompt(prompt)
            call = {"do": "extended", "written": list(written), "text": text, "thinks": thinks}
            new = [*shown["new"], *before.pop("new")]
            with suppress(GoneError):
                return self._line.prompt(
                    self._line.call(
                        {**call, **shown, "new": new, "prompt": before}, None, [*blobs, *more]
                    )
                )
        return self._instead().extended(prompt, written, text, pictures, thinks=thinks)

    def generate(self, prompt: Prompt, generation: Generation, control: Control) -> Iterator[Step]:
        """As the engine's."""
        return self._rows(
            prompt, [(generation, control)], lambda own: own.generate(prompt, generation, control)
        )

    def generate_rows(
        self, prompt: Prompt, ways: Sequence[tuple[Generation, Control]]
    ) -> Iterator[Step]:
        """As the engine's."""
        return self._rows(prompt, ways, lambda own: own.generate_rows(prompt, ways))

    def generate_each(
        self, asked: Iterator[Asked], most: int, beyond: float | None = None
    ) -> Iterator[tuple[int, Step]]:
        """As the engine's."""
        if self._own is not None:
            yield from self._own.generate_each(asked, most, beyond)
            return
        taken: dict[int, Control] = {}
        call = {"do": "each", "most": most, "beyond": beyond}
        try:
            for answer in self._pulled(call, Wishes(taken), asked):
                if "step" in answer:
                    step = step_from(answer["step"])
                    assert not isinstance(step, Notice)
                    yield answer["of"], step
        except GoneError:
            raise self._gone from None

    def _rows(
        self,
        prompt: Prompt,
        ways: Sequence[tuple[Generation, Control]],
        instead: Callable[[Engine], Iterator[Step]],
    ) -> Iterator[Step]:
        written = False
        if self._own is None:
            described, blobs = self._of_prompt(prompt)
            call = {
                "do": "rows",
                "prompt": described,
                "new": described.pop("new"),
                "ways": [self._line.way(generation) for generation, _ in ways],
            }
            controls = Wishes({at: control for at, (_, control) in enumerate(ways)})
            try:
                for answer in self._pulled(call, controls, blobs=blobs):
                    if "step" in answer:
                        step = step_from(answer["step"])
                        assert not isinstance(step, Notice)
                        written = written or not isinstance(step, Progress)
                        yield step
                return
            except GoneError:
                if written:
                    raise self._gone from None
        yield from instead(self._instead())

    def _pulled(
        self,
        call: Frame,
        wishes: Wishes,
        asked: Iterator[Asked] | None = None,
        blobs: Sequence[bytes] = (),
    ) -> Iterator[Frame]:
        """Begin a call and ask for one item after the other; the last answer has its end."""
        line, ended = self._line, False
        line.tell(call, blobs)
        try:
            answer = line.call({"do": "next"}, wishes)
            while True:
                if "more" in answer:
                    answer = line.call(*self._next_of(asked, wishes))
                    continue
                ended = "step" not in answer or bool(answer.get("last"))
                yield answer
                if ended:
                    return
                answer = line.call({"do": "next"}, wishes)
        except (GoneError, QvqError):
            ended = True
            raise
        finally:
            if not ended:  # nobody wants the rest
                with suppress(GoneError):
                    line.call({"do": "drop"})

    def _next_of(
        self, asked: Iterator[Asked] | None, wishes: Wishes
    ) -> tuple[Frame, Wishes, Sequence[bytes]]:
        """Return the next question as a call; one that says that there is none."""
        found = None if asked is None else next(asked, None)
        if found is None:
            return {"do": "none"}, wishes, ()
        wishes.controls[max(wishes.controls, default=-1) + 1] = found.control
        described, blobs = self._of_prompt(found.prompt)
        frame = {
            "do": "asked",
            "prompt": described,
            "new": described.pop("new"),
            "way": self._line.way(found.generation),
        }
        return frame, wishes, blobs

    def _of_prompt(self, prompt: Prompt) -> tuple[dict[str, Any], list[bytes]]:
        shown, blobs = self._line.with_pictures(prompt.pictures)
        return {"ids": prompt.ids, **shown}, blobs

    def _instead(self) -> Engine:
        """Return the own engine, which is loaded now: the server is gone."""
        if self._own is None:
            self._line.close()
            load = self._load_own(self._control)
            while True:
                try:
                    next(load)
                except StopIteration as stop:
                    self._own = stop.value
                    break
            if self._own is None:
                raise self._gone
        return self._own

    @property
    def _gone(self) -> QvqError:
        return ServerGoneError(
            f"the server with the model (pid {self._line.pid}) ended before its answer did"
        )
