"""What qvq costs on top of the model: tokens/s of `qvq ask` against a bare forward loop.

    python -m benchmarks.overhead [--rounds 15] [ARGUMENTS OF qvq ask]

Both run the same checkpoint, loaded once, in one process, in turns: first `main(["ask", ...])`
with the answer going to a pipe (decode loop, sampler, detokenizer, split, history, renderer),
then the shortest loop that generates as many tokens greedily from the same prompt: forward,
argmax, wait, with the next step dispatched ahead. Prefill is outside of both. The ratio is of the
medians of tokens/s; the noise of the machine hits both alike.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

import mlx.core as mx

from benchmarks.results import Result, report
from qvq_mlx.cli.main import main
from qvq_mlx.cli.world import real_env
from qvq_mlx.core.clip import Visual
from qvq_mlx.core.env import Engine
from qvq_mlx.core.events import Progress
from qvq_mlx.core.rounds import Round
from qvq_mlx.core.setup import Checkpoint, Setup
from qvq_mlx.core.tokens import Asked, Control, Generation, Prompt, Step
from qvq_mlx.engine import loaded
from qvq_mlx.engine.sequence import KVSequence
from qvq_mlx.engine.session import Session

T = TypeVar("T")
QUESTION = ("-m", "tiny", "-i", "examples/shapes.png", "-Q", "How many red circles are there?")


class LoadedOnce:
    """Reads the checkpoint for the first question only, and remembers the last prompt."""

    session: Session
    prompt: Prompt

    def load(
        self, checkpoint: Checkpoint, setup: Setup, control: Control
    ) -> Generator[Progress, None, Engine | None]:
        """An `EngineLoader`; this object stands in front of the session."""
        del setup, control
        yield from ()
        if not hasattr(self, "session"):
            self.session = cast("Session", loaded(checkpoint.card, checkpoint.folder))
        return _Remembering(self)


class _Remembering:
    """The session, with its prompt kept for the bare loop."""

    def __init__(self, owner: LoadedOnce) -> None:
        self._owner = owner

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
        session = self._owner.session
        self._owner.prompt = session.prompt(
            question, pictures, system, rounds, labelled=labelled, inline=inline, thinks=thinks
        )
        return self._owner.prompt

    def extended(
        self,
        prompt: Prompt,
        written: Sequence[int],
        text: str,
        pictures: Sequence[Visual] = (),
        *,
        thinks: bool = True,
    ) -> Prompt:
        return self._owner.session.extended(prompt, written, text, pictures, thinks=thinks)

    def generate(self, prompt: Prompt, generation: Generation, control: Control) -> Iterator[Step]:
        return self._owner.session.generate(prompt, generation, control)

    def generate_rows(
        self, prompt: Prompt, ways: Sequence[tuple[Generation, Control]]
    ) -> Iterator[Step]:
        return self._owner.session.generate_rows(prompt, ways)

    def under(self, setup: Setup) -> Engine:
        del setup
        return self

    def generate_each(
        self, asked: Iterator[Asked], most: int, beyond: float | None = None
    ) -> Iterator[tuple[int, Step]]:
        return self._owner.session.generate_each(asked, most, beyond)


def qvq_run(once: LoadedOnce, arguments: list[str], home: Path) -> tuple[int, float]:
    """Tokens and tokens/s of one `qvq ask` into a pipe, as its own stats report them."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    env = replace(
        real_env(),
        stdout=out,
        stderr=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"),
        environ={"QVQ_HOME": str(home)},
        load_engine=once.load,
    )
    assert main(["ask", "--json", "--draft", "none", *arguments], env) == 0
    out.seek(0)
    stats = json.loads(out.read())["stats"]
    return stats["generated_tokens"], (stats["generated_tokens"] - 1) / stats["decode_s"]


def bare_run(once: LoadedOnce, tokens: int) -> float:
    """Tokens/s of nothing but forward and argmax, for `tokens` tokens of the last prompt."""
    start = _drained(once.session.reader.read(once.prompt, Control()))
    assert start is not None
    sequence, position = start.sequence, start.position
    drawn = _argmax_after(sequence, mx.array(start.ids[-1:]), position)
    mx.eval(drawn)
    began = time.perf_counter()
    for _ in range(tokens - 1):
        position += 1
        upcoming = _argmax_after(sequence, drawn, position)
        mx.async_eval(upcoming)  # type: ignore[no-untyped-call]
        drawn.item()
        drawn = upcoming
    drawn.item()
    return (tokens - 1) / (time.perf_counter() - began)


def _argmax_after(sequence: KVSequence, ids: mx.array, position: int) -> mx.array:
    return mx.argmax(sequence.forward(ids[None], position)[0, -1], keepdims=True)


def _drained(steps: Generator[Progress, None, T]) -> T:
    """What a generator returns, its items passed over."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return cast("T", stop.value)


def measure(rounds: int, arguments: Sequence[str] = QUESTION) -> Iterator[Result]:
    """The ratio of the medians of tokens/s."""
    once = LoadedOnce()
    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as home:
        for turn in range(rounds + 1):
            tokens, speed = qvq_run(once, list(arguments), Path(home))
            other = bare_run(once, tokens)
            if turn:  # the first round warms up
                ours.append(speed)
                bare.append(other)
    a, b = statistics.median(ours), statistics.median(bare)
    detail = f"{a:.1f} against {b:.1f} tokens/s; {tokens} tokens a run, {rounds} rounds"
    yield Result("tokens/s of qvq ask / of a bare forward loop", a / b, 0.98, detail)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    given, rest = parser.parse_known_args()
    report(measure(given.rounds, rest or QUESTION))
