"""The answer as it grows: what is taken, what is laid out, and with how much work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from qvq_mlx.render.answer import Answer
from qvq_mlx.render.clean import clean
from qvq_mlx.render.markdown import block_rows, kept_block, kept_rows, markdown_rows

TABLE = "| n | square |\n|---|--------|\n" + "".join(f"| {n} | {n * n} |\n" for n in range(3000))
QUOTE = "".join(f"> line {n} of it\n" for n in range(3000))
PARAGRAPH = " ".join(f"word{n}" for n in range(8000))
LINES = "".join(f"line {n} of it\n" for n in range(3000))
LIST = "".join(f"- item {n}\n" for n in range(900))
CODE = "```python\n" + "".join(f"x = {n}\n" for n in range(3000))


def calls(read: Callable[[], object]) -> int:
    """How many functions of Python and C a call comes to: the same on every machine."""
    count = 0

    def see(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    block_rows.cache_clear()
    kept_block.cache_clear()
    before = sys.getprofile()
    sys.setprofile(see)
    try:
        read()
    finally:
        sys.setprofile(before)
    return count


def fed(text: str, size: int, answer: Answer | None = None) -> list[str]:
    """What is in the scrollback after `text` was shown frame by frame in 20 rows."""
    answer = Answer() if answer is None else answer
    taken = []
    for at in range(0, len(text), size):
        answer.add(text[at : at + size])
        if len(answer.last_rows(40, 20)) == 20:
            taken += answer.overflow(40, 20)
        answer.last_rows(40, 19)
    return [row.plain for row in taken]


@pytest.mark.parametrize("text", [TABLE, QUOTE, PARAGRAPH, LINES], ids=["table", "quote", "p", "l"])
def test_a_block_without_end_takes_work_that_grows_as_it_does(text: str) -> None:
    small, large = (calls(lambda n=n: fed(text[:n], 1000)) for n in (6_000, 12_000))
    assert large <= 2.2 * small


@pytest.mark.parametrize("text", [TABLE, QUOTE, LINES, LIST, CODE, PARAGRAPH])
def test_the_end_of_a_long_answer_is_on_show(text: str) -> None:
    answer = Answer()
    text = text[:6_000]
    fed(text, 700, answer)
    shown = [row.plain for row in answer.last_rows(40, 19)]
    whole = [row.plain for row in markdown_rows(text, 40)]
    words = [" ".join(rows).replace("▌", " ").split()[-20:] for rows in (shown, whole)]
    assert words[0] == words[1]
    assert len(shown) == 19


@pytest.mark.parametrize("size", [300, 5000])
def test_each_row_of_a_long_answer_is_kept_once(size: int) -> None:
    parts = (LIST[:4000], TABLE[:4000], CODE[:4000] + "\n```\n", PARAGRAPH[:4000], "The end.")
    text = "\n\n".join(parts)
    answer = Answer()
    kept = fed(text, size, answer) + [row.plain for row in answer.kept(40)]
    assert [row for row in kept if row] == [row.plain for row in kept_rows(text, 40) if row.plain]


def test_the_end_of_a_table_is_laid_out_as_one_and_what_follows_is_not() -> None:
    answer = Answer()
    answer.add(TABLE[:9000])
    rows = [row.plain for row in answer.last_rows(40, 20)]
    assert not any("|" in row for row in rows)
    answer.add("\n\n" + QUOTE[:9000])
    assert all(row.plain.startswith("▌") for row in answer.last_rows(40, 20))


def test_code_that_stays_has_styles_and_keeps_every_character() -> None:
    lines = ["def f(x):", "\treturn x  # is  it", "", "    for a in 'it':  ", "    pass"]
    (first, second, *rest) = kept_rows("```python\n" + "\n".join(lines) + "\n```", 20)
    assert first.styled.startswith("\x1b[1mdef\x1b[0m")
    assert [row.plain for row in (first, second, *rest)] == [clean(line) for line in lines]
    for language in ("", "no-such-language", "console"):
        rows = kept_rows(f"```{language}\n" + "\n".join(lines) + "\n```", 20)
        assert [row.plain for row in rows] == [clean(line) for line in lines]
