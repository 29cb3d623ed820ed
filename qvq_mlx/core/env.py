"""The world as one argument, so that a test builds its own and patches nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # names in annotations: `qvq --version` does not wait for them
    import os
    from datetime import datetime
    from pathlib import Path
    from typing import TextIO

    from qvq_mlx.core.clip import Visual
    from qvq_mlx.core.events import Notice, Progress
    from qvq_mlx.core.machine import Machine
    from qvq_mlx.core.network import Network
    from qvq_mlx.core.remedies import Spelling
    from qvq_mlx.core.rounds import Round
    from qvq_mlx.core.setup import Checkpoint, Setup
    from qvq_mlx.core.tokens import Asked, Control, Generation, Prompt, Step


class Engine(Protocol):
    """A loaded model."""

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
        """Token ids for one question about some pictures, in the family's reference order.

        The first `pictures` are those of the earlier `rounds`, as many as these say. `labelled`:
        several pictures of a message are numbered. `inline`: those of the question stand at its
        `<image n>`, as `Placement.INLINE` says. `thinks` False: the model is asked not to think.
        """

    def extended(
        self,
        prompt: Prompt,
        written: Sequence[int],
        text: str,
        pictures: Sequence[Visual] = (),
        *,
        thinks: bool = True,
    ) -> Prompt:
        """`prompt`, the reply `written` to it, and a next message of the user's.

        In `text`, `<picture>` stands for each of `pictures` in turn.
        """

    def generate(self, prompt: Prompt, generation: Generation, control: Control) -> Iterator[Step]:
        """Progress of encode and prefill, then tokens as they are committed, then `Finished`."""

    def generate_rows(
        self, prompt: Prompt, ways: Sequence[tuple[Generation, Control]]
    ) -> Iterator[Step]:
        """Several ways on from one prefill, in step. A token says its row; at the end comes one
        `Finished` per row, in order.
        """

    def under(self, setup: Setup) -> Engine:
        """The same loaded weights with another drafter or other caches: the text is the same.

        `setup` names the same draft model.
        """

    def generate_each(
        self, asked: Iterator[Asked], most: int, beyond: float | None = None
    ) -> Iterator[tuple[int, Step]]:
        """Questions of their own, up to `most` in flight at a time, each as if it ran alone.

        The next one is taken where a place is free, and read between the passes of the others. A
        step comes with the number of its question, counted from 0. `beyond`: as many at a time as
        write the most tokens/s here; where that is no more than `beyond`, or where one at a time
        is as fast, no further question is taken.
        """


class EngineLoader(Protocol):
    """Reads a checkpoint from disk. The generator reports progress, and what is left unused of it,
    and returns the engine.
    """

    def __call__(
        self, checkpoint: Checkpoint, setup: Setup, control: Control
    ) -> Generator[Progress | Notice, None, Engine | None]:
        """None where `control` stopped the load."""


def _unknown_machine() -> Machine:
    from qvq_mlx.core.machine import Machine

    return Machine()


def _unwatched() -> Callable[[], Network]:
    from qvq_mlx.core.network import Network

    return Network


@dataclass(frozen=True, slots=True)
class Env:
    """Streams, variables, places, clocks, and what runs models.

    `spelling` says fields and remedies in the words of the front end;
    `clock` counts seconds from an arbitrary start; `now` is the time of day with its zone;
    `terminal_size` gives columns and lines of the terminal that a person watches;
    `forbid_network` makes every further connection of this process fail; `machine` gives the facts
    of this computer, all of them unknown unless said otherwise; `watch_network` begins to watch
    what this process tries, and what it returns says what was seen so far. `in_script` says
    whether a script runs this process, and not a person at a shell. `hostfile` names the
    machines that `load_engine` splits a model among; None: a running server's will do as well.
    """

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    spelling: Spelling
    environ: Mapping[str, str]
    home: Path
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    now: Callable[[], datetime]
    terminal_size: Callable[[], os.terminal_size]
    load_engine: EngineLoader
    forbid_network: Callable[[], None]
    machine: Callable[[], Machine] = _unknown_machine
    watch_network: Callable[[], Callable[[], Network]] = _unwatched
    in_script: Callable[[], bool] = lambda: False
    hostfile: Path | None = None
