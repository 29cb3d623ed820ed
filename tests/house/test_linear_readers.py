r"""Every reader of a model's text: linear in its length, and nothing is raised.

Time is the process's own, so that a busy machine changes little.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from statistics import median

import pytest

from qvq_mlx.core.card import Thinking
from qvq_mlx.core.events import AnswerDelta, StopReason
from qvq_mlx.guards.language import Script, leaves
from qvq_mlx.guards.loop import BlankRun, LoopDetector, Severity
from qvq_mlx.guards.saved import examine
from qvq_mlx.pointing.in_text import found, readable
from qvq_mlx.render import formula
from qvq_mlx.render.clean import clean
from qvq_mlx.render.flow import Flow
from qvq_mlx.render.markdown import (
    block_rows,
    blocks,
    code_blocks,
    kept_block,
    markdown_rows,
    only_box,
    parted,
)
from qvq_mlx.render.rows import wrap
from qvq_mlx.render.thoughts import Thoughts
from qvq_mlx.render.unmarked import Spelling
from qvq_mlx.reply.box import boxed, through_box
from qvq_mlx.reply.canonical import canonical
from qvq_mlx.reply.conclusion import concluding_paragraph
from qvq_mlx.reply.gate import Gate
from qvq_mlx.reply.splitters import splitter
from qvq_mlx.store.styles import voice

PATTERNS = (
    r"\boxed{", r"\boxed ", r"\fbox{", r"\boxed{1}", "}", "{", r"\[", r"\(", "$$", "$x ",
    r"\text{", r"\text", r"\sqrt", r"\sqrt{", r"\frac", r"\frac1", "x^", "_{", r"\begin{cases}",
    "\\", "~", "\t", "a\t", " ", "\n", "\u4e2d", "\u0301", "e\u0301", "\U0001f469\u200d",
    "\U0001f1e9", "**a", "*", "# ", "`", "```\n", "> a\n", "- a\n", "|a|b|\n|-|-|\n", "[a](", "<a ",
    "**Final Answer**\n", "**Final Answer** 4", "</think>", '{"a":', "[1,", '"', '\\"', "(1,2),",
    "[a][", "![", "![a](", "~~a", "<http://a ", "&amp;", "- - - a\n", ">> a\n", "1. a\n",
    "<|box_start|>", "<points ", "picture 1 ", "1,000,", "word ", "\ud800", "\u202e",
)  # fmt: skip


def pieces(text: str, size: int = 3) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


def splits(name: str) -> Callable[[str], object]:
    def read(text: str) -> None:
        rules = splitter(_thinking(name))
        for piece in pieces(text):
            list(rules.feed(piece))
        list(rules.close(StopReason.END))

    return read


def gate(text: str) -> None:
    reader = Gate(_thinking("qvq"))
    for piece in pieces(text):
        reader.feed(piece)


def loop(text: str) -> None:
    detector, blank = LoopDetector(), BlankRun()
    for piece in pieces(text):
        blank.feed(piece)
        if any(one.severity is Severity.HARD for one in detector.feed(piece)):
            detector.restart()
    detector.close()


def flow(text: str) -> None:
    reader = Flow()
    for number, piece in enumerate(pieces(text)):
        reader.add(piece)
        if number % 16 == 0:
            reader.rows(80, 10, compact=True)


def thoughts(text: str) -> None:
    reader = Thoughts()
    for piece in pieces(text):
        reader.add(piece)
        reader.take(80, ended=False, rows=True)
    reader.take(80, ended=True, rows=True)


def spelled(text: str) -> None:
    reader = Spelling()
    for piece in pieces(text):
        reader.feed(piece)
    reader.close()


def formulas(text: str) -> None:
    """Formulas of the longest kind that is read, one after the other."""
    for piece in pieces(text, 4000):
        formula.readable.__wrapped__(piece)
        formula.readable.__wrapped__(piece, displayed=True)


READERS: dict[str, Callable[[str], object]] = {
    "boxed": boxed,
    "through_box": through_box,
    "canonical": canonical,
    "conclusion": concluding_paragraph,
    "marker": splits("qvq"),
    "tag": splits("kimi-vl-thinking"),
    "gate": gate,
    "loop": loop,
    "language": lambda text: leaves(text, frozenset({Script.LATIN})),
    "found": lambda text: found(text, bare=True),
    "readable": readable,
    "spelled": spelled,
    "formulas": formulas,
    "only_box": only_box,
    "blocks": blocks,
    "flow": flow,
    "thoughts": thoughts,
    "wrap": lambda text: wrap(text, 80),
    "clean": clean,
    "markdown": lambda text: markdown_rows(text, 80),
    "code": code_blocks,
    "parted": parted,
    "saved": lambda text: examine(text, _thinking("qvq")),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", READERS)
def test_it_raises_nothing(name: str) -> None:
    for pattern in PATTERNS:
        for text in (_text(pattern, 1500), f"\\[{_text(pattern, 1500)}\\]", f"${pattern * 335}$"):
            READERS[name](text)


@pytest.mark.measured
@pytest.mark.parametrize("name", READERS)
def test_twice_the_text_takes_about_twice_as_long(name: str) -> None:
    """And 64,000 characters take less than a second, however they are made."""
    reader = READERS[name]
    slow = []
    for pattern in PATTERNS:
        whole_s = _cpu_s(reader, _text(pattern, 64_000))
        if whole_s < 0.1:
            continue  # too short to say anything
        half_s = median(_cpu_s(reader, _text(pattern, 32_000)) for _ in range(5))
        whole_s = median((whole_s, *(_cpu_s(reader, _text(pattern, 64_000)) for _ in range(4))))
        if whole_s > 2.2 * half_s or whole_s > 1:
            slow.append((pattern, half_s, whole_s))
    assert not slow


def _thinking(name: str) -> Thinking:
    thinking = voice(name)
    assert thinking is not None
    return thinking


def _text(pattern: str, chars: int) -> str:
    return (pattern * (chars // len(pattern) + 1))[:chars]


def _cpu_s(reader: Callable[[str], object], text: str) -> float:
    block_rows.cache_clear()
    kept_block.cache_clear()
    gc.disable()
    begun = time.process_time()
    try:
        reader(text)
    finally:
        gc.enable()
    return time.process_time() - begun


@pytest.mark.parametrize("text", ["a\tb\tc " * 40, "word" + " " * 500 + "end", " " * 300 + "x\ty"])
def test_rows_are_the_same_however_the_text_is_cut(text: str) -> None:
    reader, thinking, taken = Flow(), Thoughts(), []
    reader.rows(20, 200, compact=False)
    for piece in pieces(text):
        reader.add(piece)
        thinking.add(piece)
        taken += thinking.take(20, ended=False, rows=True)
    taken += thinking.take(20, ended=True, rows=True)
    assert reader.rows(20, 200, compact=False) == wrap(text, 20) == taken


@pytest.mark.parametrize(
    ("line", "is_marker"),
    [
        ("**Final Answer** 4\n", True),
        (f"**Final Answer** {'4' * 300}\n", True),
        (f"**Final Answer** {'4' * 500}\n", False),
        (f"**Final Answer**{' ' * 500}4\n", False),
        (f"{' ' * 500}**Final Answer** 4\n", False),
        (f"**{' ' * 500}Final Answer** 4\n", False),
    ],
)
def test_a_marker_line_is_bounded_however_it_is_cut(line: str, is_marker: bool) -> None:
    for size in (1, 7, 1000):
        rules, answer = splitter(_thinking("qvq")), ""
        for piece in pieces(f"So.\n{line}", size):
            events = list(rules.feed(piece))
            answer += "".join(e.text for e in events if isinstance(e, AnswerDelta))
        assert bool(answer) is is_marker


def test_a_list_too_long_to_be_laid_out_ends_as_plain_text() -> None:
    text = "".join(f"- item {number}\n" for number in range(5000))
    assert "".join(blocks(text)) == text
    rows = [row.plain for row in markdown_rows(text, 80)]
    assert [row.split()[-1] for row in rows if row] == [str(number) for number in range(5000)]
    assert not rows[10].startswith("-")
    assert rows[-1] == "- item 4999"
    code = "```python\n" + "# a\n" * 5000 + "```\n"
    assert blocks(code) == [code]
