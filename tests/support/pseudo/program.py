"""The program with an engine that needs no model: `qvq_mlx.cli.run` is all real but for that.

QVQ_TEST_CRASH=N raises an exception in the engine at token N. QVQ_TEST_ANSWER is the answer.
QVQ_TEST_WRITES is a file that gets `(` before each write to stdout and `)` behind it.

QVQ_TEST_HOLD names the places, with commas between them, where the engine goes no further until the
file QVQ_TEST_GATE is there: `load`, half-way; `thinking`, behind its first HELD_TOKENS; `answer`,
of one that was asked for. Keys and wishes are heard there as elsewhere, and never too late. What it
says meanwhile never goes in circles: a guard would end it.
"""

from __future__ import annotations

from tests.support.pseudo import quiet_start  # noqa: F401  before what takes time

# isort: split
import io
import os
import random
import signal
import string
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from qvq_mlx.cli import run
from qvq_mlx.core.env import Env
from qvq_mlx.core.events import Progress, Stage, StopReason
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.setup import Checkpoint, Setup
from qvq_mlx.core.tokens import Control, Finished, Generation, Prompt, Step, Token

THINKING = [f"step {number} of what is to be seen here\n" for number in range(1, 50)]
ANSWER = ["**Final Answer**", "\n\n", *[f"word{number} " for number in range(20)], "\\boxed{3}"]
if "QVQ_TEST_ANSWER" in os.environ:
    said = os.environ["QVQ_TEST_ANSWER"].replace(" ", " \0").split("\0")
    ANSWER = ["**Final Answer**", "\n\n", *said]
HELD_TOKENS = 6
HELD_S = 0.1
"""Between two tokens there."""
CRASH = int(os.environ.get("QVQ_TEST_CRASH", "-1"))


def held(place: str) -> bool:
    """True while the engine goes no further there."""
    places = os.environ.get("QVQ_TEST_HOLD", "").split(",")
    return place in places and not Path(os.environ["QVQ_TEST_GATE"]).exists()


def another(numbers: random.Random) -> str:
    """A word that was not there before."""
    return f"more{''.join(numbers.choices(string.ascii_lowercase, k=8))} "


class Engine:
    """Takes its time in every stage, and reads `control` where the real one does."""

    def load(
        self, _checkpoint: Checkpoint, _setup: Setup, control: Control
    ) -> Generator[Progress, None, Engine | None]:
        share = 0
        while share < 8:
            yield Progress(Stage.LOAD, share, 8)
            if control.stopping:
                return None
            time.sleep(0.03)
            share += 0 if share == 4 and held("load") else 1
        return self

    def prompt(
        self,
        _question: str,
        pictures: Sequence[Picture],
        _system: str | None,
        _rounds: Sequence[object] = (),
        *,
        labelled: bool = True,
        inline: bool = False,
        thinks: bool = True,
    ) -> Prompt:
        return Prompt((1, 2, 3), tuple(pictures))

    def extended(self, *_: object) -> Prompt:
        raise AssertionError("no run of the harness looks closer")

    def generate(self, _prompt: Prompt, generation: Generation, control: Control) -> Iterator[Step]:
        for stage in (Stage.ENCODE, Stage.PREFILL):
            for share in range(8):
                yield Progress(stage, share, 8)
                if control.stopping:
                    yield Finished(StopReason.INTERRUPT, "", 3, 0, 0, False)
                    return
                time.sleep(0.02)
        queue, concluded, index, reason = THINKING + ANSWER, False, 0, StopReason.END
        numbers = random.Random(0)
        while queue:
            if control.stopping:
                reason = control.reason
                break
            if control.concluding and not concluded:
                concluded = True
                queue = [generation.closing, *ANSWER[-5:]]
            if index == CRASH:
                raise ZeroDivisionError("by design")
            time.sleep(0.015)
            if index == HELD_TOKENS and not concluded and held("thinking"):
                yield Token(index, another(numbers))  # with each of them keys are heard
                time.sleep(HELD_S)
                continue
            yield Token(index, queue.pop(0), forced=concluded and index == 0)
            if concluded and held("answer") and not queue:
                queue = [another(numbers)]
                time.sleep(HELD_S)
            index += 1
        yield Finished(reason, "", 3, 0, 0, concluded)

    def generate_rows(self, *_: object) -> Iterator[Step]:
        raise AssertionError("no run of the harness takes a vote")

    def under(self, setup: Setup) -> Engine:
        return self

    def generate_each(self, *_: object) -> Iterator[tuple[int, Step]]:
        raise AssertionError("no run of the harness is a batch")


class Noted(io.TextIOWrapper):
    """stdout, with a note of when it is written to."""

    def write(self, text: str) -> int:
        with Path(os.environ["QVQ_TEST_WRITES"]).open("ab", buffering=0) as notes:
            notes.write(b"(")
            count = super().write(text)
            self.flush()
            notes.write(b")")
        return count


def world(env: Env) -> Env:
    """The world with this engine, and with notes where they are asked for."""
    env = replace(env, load_engine=Engine().load)
    if "QVQ_TEST_WRITES" not in os.environ:
        return env
    return replace(env, stdout=Noted(io.FileIO(sys.stdout.fileno(), "w", closefd=False), "utf-8"))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run(world)
