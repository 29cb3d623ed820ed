"""Markdown, formulas and the measuring of rows."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qvq_mlx.render.clean import Cleaner, clean, clean_line
from qvq_mlx.render.markdown import blocks, markdown_rows, only_box
from qvq_mlx.render.rows import cells, cut, spans, tail, wrap

MESSY = st.text("ab \n\t*_`#-|$\\[]{}()<>&1.:/猫🐈e\u0301", max_size=120)


def shown(text: str, width: int = 60) -> list[str]:
    return [row.plain for row in markdown_rows(text, width, colour=True)]


@pytest.mark.parametrize(
    "formula",
    [
        "\\[ a_1 * b_1 * c \\]",
        "\\( x*y*z \\)",
        "$$ \\{1, 2\\} $$",
        "$a_b*c*d_e$",
        "\\boxed{\\{1,2\\}}",
        "\\[ \\begin{cases} a & b \\\\ c \\end{cases} \\]",
    ],
)
def test_a_formula_comes_out_as_it_went_in(formula: str) -> None:
    assert shown(f"So {formula} is it.") == [f"So {formula} is it."]


def test_a_displayed_formula_keeps_its_lines() -> None:
    formula = "\\[\n\\begin{aligned}\na &= b \\\\\n\n- c\n=\n\\end{aligned}\n\\]"
    assert shown(f"So:\n\n{formula}\n\nDone.") == ["So:", "", *formula.split("\n"), "", "Done."]


def test_prices_are_no_formulas() -> None:
    assert shown("It costs $5 and **not** $6.") == ["It costs $5 and not $6."]


def test_code_is_left_alone() -> None:
    assert shown("`\\[a\\]` and\n\n```\n\\[x\\]\n```") == ["\\[a\\] and", "", " \\[x\\]"]


def test_headings_are_at_the_left_and_html_is_text() -> None:
    assert shown("# One\n\n<b>two</b> &#27;[31m") == ["One", "", "<b>two</b> \ufffd[31m"]


def test_no_hyperlink_sequence() -> None:
    rows = markdown_rows("[a](http://b.c)", 60, colour=True)
    assert [row.plain for row in rows] == ["a (http://b.c)"]
    assert "\x1b]" not in rows[0].styled


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        ("\\boxed{7}", "7"),
        (" \\[ \\boxed{\\frac{1}{2}} \\] ", "\\frac{1}{2}"),
        ("$$\\boxed{a}$$", "a"),
        ("$\\boxed{a}$", "a"),
        ("\\boxed{a} \\boxed{b}", None),
        ("So \\boxed{7}", None),
        ("\\boxed{7", None),
        ("$", None),
        ("", None),
    ],
)
def test_an_answer_that_is_one_box(answer: str, content: str | None) -> None:
    assert only_box(answer) == content


@given(MESSY)
@settings(deadline=None)
def test_blocks_join_to_the_text(text: str) -> None:
    assert "".join(blocks(text)) == text


@given(MESSY, st.integers(1, 50))
@settings(deadline=None, max_examples=50)
def test_no_row_is_wider_than_the_width(text: str, width: int) -> None:
    for row in markdown_rows(clean(text), width, colour=True):
        assert cells(row.plain) <= width
        assert re.sub(r"\x1b\[[\d;]*m", "", row.styled) == row.plain


@given(MESSY.map(lambda text: text.replace("\n", "")), st.integers(2, 30))
def test_spans_cover_the_line_and_fit(line: str, width: int) -> None:
    line = line.expandtabs(4)
    found = spans(line, width)
    assert "".join(line[start:end] for start, end in found) == line
    assert all(cells(line[start:end].rstrip()) <= width for start, end in found)


@given(MESSY, st.integers(4, 30), st.integers(1, 9))
def test_a_tail_is_the_end_of_the_whole(text: str, width: int, count: int) -> None:
    assert tail(text, width, count, compact=False) == wrap(text, width)[-count:]


def test_a_line_without_end_is_not_wrapped_whole() -> None:
    assert tail("x" * 100_000, 10, 2, compact=True) == ["x" * 10, "x" * 10]


def test_cut_never_splits_a_wide_character() -> None:
    assert cut("a猫b", 2) == "a"


@given(st.text())
def test_clean_leaves_no_control(text: str) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", clean(text))
    assert "\n" not in clean_line(text)


@given(st.text("a\x1b[]\x07\\0m;?\x9b\n", max_size=60), st.data())
def test_a_sequence_in_two_pieces_is_a_sequence(text: str, data) -> None:
    at = data.draw(st.integers(0, len(text)))
    cleaner = Cleaner()
    shown = cleaner.feed(text[:at]) + cleaner.feed(text[at:])
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)


def test_common_sequences_vanish_whole() -> None:
    assert clean("a\x1b[1;31mb\x1b]0;title\x07c\x1b]8;;http://x\x1b\\d\r\n") == "abcd\n"
    cleaner = Cleaner()
    assert cleaner.feed("a\x1b") + cleaner.feed("[3") + cleaner.feed("1mb") == "ab"
