"""What the panel costs: per token, whatever was said before, and as a share of the run.

    python -m benchmarks.renderer [--rounds 5]

The screen of `qvq ask` at 80 columns and 24 rows gets recorded streams; what it writes goes to
/dev/null. Costs are processor time of `feed` alone. For the rates the clock is virtual: it goes on
by the time of a token, as where a model writes at that rate, and by what `feed` took, so frames
are as frequent as in a real run; the renderer's share is the processor time over that clock.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.results import Result, report
from qvq_mlx.cli.world import real_env
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerSource,
    Done,
    Event,
    Stats,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.request import ThinkingView
from qvq_mlx.render.opening import Manner, Opening
from qvq_mlx.render.tty import Screen

_THOUGHT = (
    "So I have this picture with some shapes in it, and I need to count the red circles. "
    "Let me go row by row, then. Wait, the third one could be \\( \\frac{1}{2} \\) of a circle.\n\n"
    "第一行有三个红色的圆。 "
)
_ANSWER = (
    "There are **three** red circles.\n\n- one in the first row\n- two in the second\n\n"
    "```python\ncircles = 1 + 2\n```\n\nSo the area is \\( \\frac{9}{2}\\pi \\).\n\n"
    "| row | circles |\n|---|---|\n| 1 | 1 |\n| 2 | 2 |\n\n"
) * 8
_DONE = Done(StopReason.END, AnswerSource.MARKER, True, False, Stats())


class _Screenlike(io.TextIOWrapper):
    """A terminal that nobody looks at."""

    def isatty(self) -> bool:
        return True


@dataclass(slots=True)
class _Clock:
    """Seconds of the run: of the model's tokens, and of what the renderer took."""

    model_s: float = 0.0

    def __call__(self) -> float:
        return self.model_s + time.process_time()


def _screen(clock: Callable[[], float], view: ThinkingView) -> tuple[Screen, io.TextIOWrapper]:
    nowhere = Path(os.devnull).open("wb")  # noqa: SIM115  # closed with the stream around it
    stream = _Screenlike(nowhere, encoding="utf-8")
    env = replace(
        real_env(),
        stdin=io.StringIO(),
        stdout=stream,
        stderr=stream,
        environ={"TERM": "xterm-256color"},
        clock=clock,
        terminal_size=lambda: os.terminal_size((80, 24)),
    )
    screen = Screen(env, manner=Manner(view, answers=True))
    screen.open(Opening(receipts=("shapes.png 640×640 → 140×140 · 25 tokens",)))
    return screen, stream


def _thinking(count: int) -> list[Event]:
    words = _THOUGHT.split(" ")
    return [ThinkingDelta(words[n % len(words)] + " ", 1) for n in range(count)]


def _answer() -> list[Event]:
    return [AnswerDelta(word + " ", 1) for word in _ANSWER.split(" ")]


def _took(screen: Screen, events: Sequence[Event], clock: _Clock, token_s: float) -> float:
    """Processor seconds of all `feed` together."""
    total = 0.0
    for event in events:
        clock.model_s += token_s
        began = time.process_time()
        screen.feed(event)
        total += time.process_time() - began
    return total


def cost_per_token(before: int, count: int, tokens_per_s: float, view: ThinkingView) -> float:
    """Seconds for each of `count` thinking tokens that follow `before` others."""
    clock = _Clock()
    screen, stream = _screen(clock, view)
    with stream:
        # at the same rate, or what waited for a frame would be counted with these tokens
        _took(screen, _thinking(before), clock, 1 / tokens_per_s)
        took = _took(screen, _thinking(count), clock, 1 / tokens_per_s)
        screen.abort()
    return took / count


def share(events: Sequence[Event], tokens_per_s: float) -> float:
    """The renderer's part of the run's time, where a model alone writes `tokens_per_s`."""
    clock = _Clock()
    screen, stream = _screen(clock, ThinkingView.TAIL)
    with stream:
        took = _took(screen, events, clock, 1 / tokens_per_s)
    return took / (len(events) / tokens_per_s + took)


def events_per_s(events: Sequence[Event]) -> float:
    """As fast as they can be shown, in real time."""
    screen, stream = _screen(time.perf_counter, ThinkingView.TAIL)
    with stream:
        began = time.perf_counter()
        for event in events:
            screen.feed(event)
        return len(events) / (time.perf_counter() - began)


def measure(rounds: int) -> Iterator[Result]:
    """Every bound of the panel."""
    _warm()
    for view in (ThinkingView.TAIL, ThinkingView.FULL):
        pairs = [
            (cost_per_token(1_000, 800, 8, view), cost_per_token(32_000, 800, 8, view))
            for _ in range(rounds)
        ]
        early, late = (min(column) for column in zip(*pairs, strict=True))
        detail = f"{1e6 * early:.0f} and {1e6 * late:.0f} µs, --thinking {view}, 8 tokens/s"
        what = "panel: cost of a token after 1,000 / after 32,000 of thinking"
        yield Result(what, early / late, 1 / 1.1, detail)
    events = [*_thinking(32_000), *_answer(), _DONE]
    best = max(events_per_s(events) for _ in range(rounds))
    yield Result("panel: events/s at 80×24", best, 2_000, f"{len(events):,} events")
    for rate in (8, 100):
        events = [*_thinking(2_000), *_answer(), _DONE]
        least = min(share(events, rate) for _ in range(rounds))
        detail = f"{1e6 * least / rate / (1 - least):.0f} µs a token, thinking and answer"
        yield Result(
            f"panel: tokens/s with it / without, at {rate} tokens/s", 1 - least, 0.98, detail
        )


def _warm() -> None:
    share([*_thinking(100), *_answer(), _DONE], 8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    report(measure(parser.parse_args().rounds))
