"""Loops are found where they are, and nowhere else."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx.guards.loop import LoopDetector, Repetition, Severity

THIRTY = " ".join(f"word{index}" for index in range(30)) + " "
PARAGRAPH = (
    "So I look at the picture again and count the circles from left to right. There is one near"
    " the tree, one beside the house, and one behind the fence, which makes three in all. "
)
CHINESE = "我们再看一遍这张图片，左边有三个红色的圆，右边有两个蓝色的方块，所以一共有五个图形。"
LONG = "".join(f"Step {n}: {n * n} apples and {n * 7} pears. " for n in range(300))
FUNCTION = """def count(grid):
    total = 0
    for row in grid:
        for cell in row:
            if cell == 'red':
                total += 1
            elif cell == 'blue' and row.index(cell) > 2:
                total += 2
    return total
"""


def findings(text: str, cuts: list[int] | None = None) -> list[Repetition]:
    detector = LoopDetector()
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts or [])})
    found = [f for a, b in pairwise(edges) for f in detector.feed(text[a:b])]
    return [*found, *detector.close()]


def hard(text: str) -> Repetition | None:
    return next((f for f in findings(text) if f.severity is Severity.HARD), None)


@pytest.mark.parametrize("period", [THIRTY, PARAGRAPH, CHINESE, "数" + CHINESE, LONG])
def test_a_loop_is_found_by_the_end_of_its_third_repetition(period: str) -> None:
    head = "Let me see. 让我看看。 "
    found = hard(head + 3 * period)
    assert found is not None
    assert found.at_char <= len(head + 3 * period)
    assert found.at_char > len(head + 2 * period)
    assert found.period_chars == len(period)
    assert hard(head + 2 * period) is None


@pytest.mark.parametrize(
    ("period", "times", "by_char"),
    [
        ("Wait, that is not right. Let me count again. ", 15, 600),
        ("让我再想一想。", 30, 150),
        ("もう一度数えてみましょう。", 30, 150),
        ("다시 한 번 세어 보겠습니다. ", 40, 500),
        ("|\n", 1000, 1_100),
        ("| --- |\n", 500, 3_000),
        ("!", 4000, 1_000),
        ("\U0001f600", 4000, 1_000),
        ("\ufffd ", 4000, 700),
        ("$x^2 + y^2 = z^2$\n", 200, 800),
        ("the ", 400, 500),
        ("3", 4000, 2_100),
        ("0, 1, ", 1000, 3_100),
        ("abc,", 2000, 3_000),
    ],
)
def test_a_short_loop_is_found_soon(period: str, times: int, by_char: int) -> None:
    found = hard("So. " + period * times)
    assert found is not None
    assert found.at_char <= by_char


LEGITIMATE = {
    "multiplication table": "\n".join(
        f"| {a} | " + " | ".join(str(a * b) for b in range(1, 13)) + " |" for a in range(1, 60)
    ),
    "matrix of zeros": "\n".join("[" + "0 " * 28 + "]" for _ in range(28)),
    "equal rows": "| a | b |\n|---|---|\n" + "| 0 | 0 |\n" * 40,
    "empty form": "| name | date |\n|---|---|\n" + "|      |      |      |\n" * 40,
    "board": json.dumps([[None] * 19 for _ in range(19)], indent=1),
    "hex dump": "\n".join(f"{n * 16:08x}  {'00 ' * 16} |{'.' * 16}|" for n in range(60)),
    "rulers": ("-" * 80 + "\n") * 10,
    "tests": "".join(f"    self.assertEqual(parse('{n}'), {n})\n" for n in range(60)),
    "html": "".join(
        f'<li class="card"><img src="{n}.png" alt="picture"><p>Lorem ipsum dolor sit</p></li>\n'
        for n in range(40)
    ),
    "cases": "\n\n".join(
        f"Case {n}: suppose that n leaves the remainder {n} when it is divided by twelve. Then its"
        f" square leaves the remainder of {n * n}, and because the left side of the equation is"
        " even while the right side is odd, there is no solution in this case at all."
        for n in range(12)
    ),
    "rows counted": "\n".join(
        f"Row {n}: from left to right there is a red circle, a blue square, a green triangle, and"
        f" another red circle, so there are {2 * n} red circles so far."
        for n in range(1, 20)
    ),
    "Chinese rows": "\n".join(
        f"第{n}行：从左到右看，有一个红色的圆，一个蓝色的方块，还有一个绿色的三角形，一共{n}个。"
        for n in range(1, 30)
    ),
    "refrain": "\n\n".join(
        f"Verse {n} is about the sea, the number {n * 7}, and the wind from the west,\n"
        "o captain, sing the song again\nand let the sails be full of rain,\n"
        "and let the sails be full of rain"
        for n in range(8)
    ),
    "recaps": f"{PARAGRAPH}Twice, then.\n\nAgain: {PARAGRAPH}No, thrice.\n\nOnce more: {PARAGRAPH}",
    "drafts": f"Draft:\n{FUNCTION}It gives 3 for the example.\n{FUNCTION}Empty: 0.\n{FUNCTION}",
    "laughter": "ha " * 60,
}


@pytest.mark.parametrize("name", LEGITIMATE)
def test_what_people_repeat_for_a_reason_is_no_loop(name: str) -> None:
    assert hard(LEGITIMATE[name]) is None


def test_a_passage_that_comes_twice_is_a_soft_finding_and_is_told_once() -> None:
    found = findings(f"{PARAGRAPH}Hm. {PARAGRAPH}But no. {PARAGRAPH}And so on.")
    assert [f.severity for f in found] == [Severity.SOFT]
    assert len(PARAGRAPH) < found[0].at_char < 2 * len(PARAGRAPH) + 4


def test_after_a_restart_the_same_text_is_new_and_positions_go_on() -> None:
    detector = LoopDetector()
    first = detector.feed(THIRTY * 3)
    assert detector.spent
    assert not detector.feed(THIRTY * 3)
    detector.restart()
    again = detector.feed(THIRTY * 3)
    assert [f.at_char + 2 * len(THIRTY * 3) for f in first if f.severity is Severity.HARD] == [
        f.at_char for f in again
    ]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("vocabulary", [300_000, 5_000])
@pytest.mark.parametrize("chunk", [10_000, 7, 3_000_000])
def test_old_text_is_forgotten_and_a_loop_after_it_is_found_at_the_right_place(
    vocabulary: int, chunk: int
) -> None:
    draw = random.Random(1)
    before = "".join(f"n{draw.randrange(vocabulary)} " for _ in range(90_000))
    text = before + 3 * PARAGRAPH
    detector = LoopDetector()
    found = None
    for start in range(0, len(text), chunk):
        for finding in detector.feed(text[start : start + chunk]):
            found = finding if finding.severity is Severity.HARD else None
    assert found is not None
    assert len(before) + 2 * len(PARAGRAPH) < found.at_char <= len(before) + 3 * len(PARAGRAPH)


SNIPPETS = st.sampled_from(
    [THIRTY, PARAGRAPH, CHINESE, "no ", "| ", "\n", " " * 90, "数", "x" * 30, "0", ",", "ha ", "é"]
)
TEXTS = st.lists(st.tuples(SNIPPETS, st.integers(1, 12)), max_size=12).map(
    lambda parts: "".join(snippet * times for snippet, times in parts)
)


@given(TEXTS, st.lists(st.integers(0, 99_999), max_size=12))
def test_findings_do_not_depend_on_the_cut(text: str, cuts: list[int]) -> None:
    assert findings(text, cuts) == findings(text)


@given(TEXTS)
def test_findings_are_those_of_one_character_at_a_time(text: str) -> None:
    assert findings(text, list(range(len(text)))) == findings(text)
