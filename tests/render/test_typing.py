"""Random typing, pasting and resizing while a run goes on, against an account of what was typed.

The account knows nothing of how keys are told from text: it has the bursts and their times. A burst
is a key where it is one of the keys, nothing came within ALONE_S before or after it, and no text
had been begun.
"""

from __future__ import annotations

import os
import pty
import random
import termios
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from qvq_mlx import render
from qvq_mlx.core.events import AnswerDelta, ThinkingDelta
from qvq_mlx.core.request import Output
from qvq_mlx.render import Wishes
from qvq_mlx.render.opening import Opening
from qvq_mlx.render.rows import Row, lines_taken
from qvq_mlx.render.strokes import ALONE_S
from qvq_mlx.render.type_ahead import TypeAhead
from tests.render.conftest import done
from tests.support import seeds

SEEDS = seeds.numbers(seeds.wanted(4, 500), 7)
TYPED_S = seeds.seconds(6, 120)
"""So long, in seconds of a clock that nobody waits for, a person types."""
STEP_S = 0.02
PATCHES = [
    *("a", "q", "t", "?", "c", "x", " ", "what about a quick cat", "aq", "qq", "é图", "\r", "\r"),
    "\x1b[A",
]


@dataclass
class Account:
    """What was typed, and what has to come of it."""

    bursts: list[tuple[float, str, bool]] = field(default_factory=list)

    def expected(self, end: float) -> tuple[list[str], list[str], str]:
        """The keys that act, the lines that were ended, and the text that is left."""
        keys: list[str] = []
        lines: list[str] = []
        text = ""
        for number, (at, burst, pasted) in enumerate(self.bursts):
            before = at - self.bursts[number - 1][0] if number else 1e9
            after = self.bursts[number + 1][0] - at if number + 1 < len(self.bursts) else end - at
            alone = before >= ALONE_S and after >= ALONE_S and not pasted and not text
            if alone and burst in ("a", "q", "t", "?", "c"):
                keys.append(burst)
            elif burst == "\r" and not pasted:
                lines += [text] if text.strip() else []
                text = ""
            elif burst == "\r":
                text += "\n"
            elif burst != "\x1b[A":
                text += burst
        return keys, lines, text


def bursts(rng: random.Random) -> Iterator[tuple[float, str, bool]]:
    """Pauses that are clearly short or clearly long, and what is typed after each."""
    passed_s = 0.0
    while passed_s < TYPED_S:
        pause = rng.choice([0.04, 0.1, 0.2, 0.6, 1.0])
        passed_s += pause
        pasted = rng.random() < 0.15
        yield pause, rng.choice(PATCHES[:-1] if pasted else PATCHES), pasted


def asked(world, rng: random.Random, *, kept: bool) -> tuple[list[str], TypeAhead, Account]:
    """One run with a person who cannot sit still."""
    w = world(rng.choice([40, 80, 120]), rng.choice([12, 24]))
    person, program = pty.openpty()
    before = termios.tcgetattr(program)
    answers = rng.random() < 0.5  # the others do not say where their cursor is
    if answers:
        w.window.answered = lambda answer: os.write(person, answer.encode())
    did: list[str] = []
    ahead, account = TypeAhead(kept=kept), Account()
    with os.fdopen(program, "r") as stdin:
        w.stdin = stdin
        wishes = Wishes(lambda: did.append("a"), lambda: did.append("qq"), ahead)
        screen = render.renderer(w.env, Output(), wishes=wishes)._screen
        screen.open(Opening(can_conclude=True, budget_tokens=4096))
        count = 0

        def wait(seconds: float) -> None:
            nonlocal count
            for _ in range(round(seconds / STEP_S)):
                w.now += STEP_S
                count += 1
                screen.feed(ThinkingDelta(f"t{count:05} ", 1))

        wait(1)
        for pause, text, pasted in bursts(rng):
            wait(pause)
            data = f"\x1b[200~{text}\x1b[201~" if pasted else text
            os.write(person, data.encode())
            w.now += STEP_S
            screen.feed(ThinkingDelta("", 0))
            account.bursts.append((w.now, text, pasted))
            columns = rng.choice([30, 40, 80, 120])
            shown = screen._area._shown
            if rng.random() < 0.3 and (answers or in_reach(shown, columns, w.window.lines)):
                w.window.resize(columns, w.window.lines)
                # with no pause together just ALONE_S, which floats are on either side of
                wait(0.14)
            shown = w.window.text
            assert shown.count("Thinking ") <= 1, shown
            assert all(shown.count(f"t{n:05}") <= 1 for n in range(max(0, count - 40), count + 1))
        wait(1)
        account.bursts.append((w.now, "\x1b[A", False))
        screen.feed(AnswerDelta("It is 7.", 1))
        screen.feed(done())
        screen.abort()
        assert termios.tcgetattr(program) == before
        assert w.window.text.count("It is 7.") == 1
        assert not w.window.cursor[2]
        os.close(person)
    return did, ahead, account


def in_reach(shown: Sequence[Row], columns: int, lines: int) -> bool:
    """Whether a window of `columns` leaves the whole panel where it can be drawn over."""
    return sum(lines_taken(row.plain, columns) for row in shown) < lines


def stops(keys: list[str]) -> int:
    """How often `q` was pressed twice with no other key between."""
    count, again = 0, False
    for key in keys:
        count += key == "q" and again
        again = key == "q"
    return count


@pytest.mark.seeded
@pytest.mark.parametrize("seed", SEEDS)
def test_in_a_chat_no_key_acts_that_was_not_alone_and_nothing_is_lost(world, seed: int) -> None:
    did, ahead, account = asked(world, random.Random(seed), kept=True)
    keys, lines, text = account.expected(1e9)
    assert (ahead.lines, ahead.line) == (lines, text)
    assert (did.count("a") > 0) == ("a" in keys)
    if not stops(keys):
        assert "qq" not in did


@pytest.mark.seeded
@pytest.mark.parametrize("seed", SEEDS)
def test_in_a_question_no_key_acts_that_was_not_alone(world, seed: int) -> None:
    did, _, account = asked(world, random.Random(seed), kept=False)
    keys, _, _ = account.expected(1e9)
    assert did.count("a") == 0 or "a" in keys or account_has_lone(account, "a")
    assert did.count("qq") == 0 or account_has_lone(account, "q")


def account_has_lone(account: Account, key: str) -> bool:
    """Whether the key stands apart from what is before and after it, whatever was typed earlier."""
    times = [at for at, _, _ in account.bursts]
    return any(
        burst == key
        and not pasted
        and (number == 0 or at - times[number - 1] >= ALONE_S)
        and (number + 1 == len(times) or times[number + 1] - at >= ALONE_S)
        for number, (at, burst, pasted) in enumerate(account.bursts)
    )
