"""Finds a running server of the same user, and speaks to it.

Law: no server, one of another version or user, one that lends another model, and one that does not
answer are all the same: None. A wish of the user's reaches the server while it works.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from qvq_mlx.core.clip import Visual
from qvq_mlx.core.tokens import Continuation, Control, Generation, Prompt
from qvq_mlx.warm.frames import Frame, GoneError, receive, send
from qvq_mlx.warm.places import sockets
from qvq_mlx.warm.sockets import same_user
from qvq_mlx.warm.values import (
    SPOKEN,
    error_from,
    of_control,
    of_generation,
    of_visual,
)

_LOOK_S = 0.05
"""Seconds between two looks at what is wished for while the server works."""
_HELLO_S = 10.0
"""Of a machine that does much else a server answers late; loading the model takes longer still."""
_STOPPED_LOOKS = 200
"""Looks after a stop at a server that says nothing, before it counts as gone."""


def connected(folder: Path, hello: Frame) -> tuple[Line, bool] | None:
    """Return a server that lends what `hello` asks for, and whether others are before us.

    None where none does.
    """
    for path in sockets(folder):
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.settimeout(_HELLO_S)
        try:
            line.connect(str(path))
            if not same_user(line):
                raise GoneError("another user's")
            send(line, {"spoken": SPOKEN, **hello})
            answer, _ = receive(line, _refuse)
        except (OSError, GoneError):
            line.close()
            continue
        if answer.get("lent"):
            line.settimeout(_LOOK_S)
            return Line(line, int(path.stem)), bool(answer.get("waits"))
        line.close()
    return None


def _refuse() -> None:
    raise GoneError("it does not answer")


class Line:
    """A connection to the server whose process id is `pid`."""

    def __init__(self, line: socket.socket, pid: int) -> None:
        self.pid = pid
        self.open = True
        self._line = line
        self._pictures: list[Visual] = []
        self._kept: list[Continuation] = []

    def close(self) -> None:
        """Leave. May be called again."""
        self.open = False
        with suppress(OSError):
            self._line.close()

    def call(
        self, frame: Frame, controls: Wishes | None = None, blobs: Sequence[bytes] = ()
    ) -> Frame:
        """Send a call and return the answer. Raises GoneError, and the engine's error."""
        wishes = controls or Wishes({})
        self.tell({**frame, "wishes": wishes.changed()}, blobs)
        silent = 0

        def look() -> None:
            nonlocal silent
            if changed := wishes.changed():
                self.tell({"do": "wish", "wishes": changed})
            silent += wishes.stopping
            if silent > _STOPPED_LOOKS:
                raise GoneError("it does not stop")

        answer, _ = receive(self._line, look)
        if "error" in answer:
            raise error_from(answer["error"])
        return answer

    def with_pictures(self, pictures: Sequence[Visual]) -> tuple[dict[str, Any], list[bytes]]:
        """Number `pictures`, and add those that the server has not seen yet."""
        new: list[list[Any]] = []
        blobs: list[bytes] = []
        numbers: list[int] = []
        for picture in pictures:
            at = next((at for at, known in enumerate(self._pictures) if known is picture), None)
            if at is None:
                at = len(self._pictures)
                self._pictures.append(picture)
                described, pixels = of_visual(picture)
                new.append([described, sum(map(len, pixels))])
                blobs += pixels
            numbers.append(at)
        return {"pictures": numbers, "new": new}, blobs

    def prompt(self, answer: Frame) -> Prompt:
        """Return the prompt of an answer, with the pictures of this side."""
        end = answer["end"]
        return Prompt(tuple(end["ids"]), tuple(self._pictures[at] for at in end["pictures"]))

    def way(self, generation: Generation) -> Frame:
        """Encode a generation, its continuation as a number."""
        kept = generation.continuation
        if kept is None:
            return of_generation(generation, None)
        if all(known is not kept for known in self._kept):
            self._kept.append(kept)
        number = next(at for at, known in enumerate(self._kept) if known is kept)
        return of_generation(generation, number)

    def tell(self, frame: Frame, blobs: Sequence[bytes] = ()) -> None:
        """Send what has no answer of its own. Raises GoneError."""
        if not self.open:
            raise GoneError("it was closed here")
        self._line.settimeout(None)
        try:
            send(self._line, frame, blobs)
        finally:
            self._line.settimeout(_LOOK_S)


class Wishes:
    """The controls of a call, by number, and what the server was told of them."""

    def __init__(self, controls: dict[int, Control]) -> None:
        self.controls = controls
        self._told: dict[int, list[Any]] = {}

    @property
    def stopping(self) -> bool:
        """True if all of it is to stop."""
        return bool(self.controls) and all(one.stopping for one in self.controls.values())

    def changed(self) -> list[list[Any]]:
        """Return what is to be told, once."""
        found = []
        for number, control in self.controls.items():
            wishes = of_control(control)
            if (wishes[0] or wishes[2]) and self._told.get(number) != wishes:
                self._told[number] = wishes
                found.append([number, *wishes])
        return found
