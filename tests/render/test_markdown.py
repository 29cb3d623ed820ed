"""Markdown, formulas and the measuring of rows."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qvq_mlx.render.clean import Cleaner, clean, clean_line, json_text
from qvq_mlx.render.flow import Flow
from qvq_mlx.render.formula import readable
from qvq_mlx.render.markdown import blocks, kept_rows, markdown_rows, only_box, parted
from qvq_mlx.render.rows import cells, cut, joined, packed, spans, wrap

JOINED = "\u0301\u200d\ufe0f\u1161\u20e3👩🏽🇩❤"
MESSY = st.text(f"ab \n\t*_`#-|$\\[]{{}}()<>&1.:/猫🐈e，「\u3000{JOINED}", max_size=120)


def shown(text: str, width: int = 60) -> list[str]:
    return [row.plain for row in markdown_rows(text, width)]


@pytest.mark.parametrize(
    ("formula", "read"),
    [
        ("\\[ a_1 * b_1 * c \\]", "a₁ * b₁ * c"),
        ("\\( x*y*z \\)", "x*y*z"),
        ("$$ \\{1, 2\\} $$", "{1, 2}"),
        ("$a_b*c*d_e$", "a_b*c*dₑ"),
        ("$\\boxed{7\\pi}$", "7π"),
        ("\\boxed{\\{1,2\\}}", "{1,2}"),
        ("\\[ \\begin{cases} a & b \\\\ c \\end{cases} \\]", "{a b; c"),
        ("\\( \\frac{x+1}{2} \\)", "(x+1)/2"),
        ("$x^{n+1} \\le \\sqrt{2}$", "xⁿ⁺¹ ≤ √2"),
    ],
)
def test_a_formula_is_readable(formula: str, read: str) -> None:
    assert shown(f"So {formula} is it.") == [f"So {read} is it."]


@pytest.mark.parametrize(
    "formula",
    [
        "\\[ \\mystery_1 * b_1 * c \\]",
        "\\( x*y*\\xz{a} \\)",
        "$$ \\{1, 2\\ } { $$",
        "$\\ab_b*c*d_e$",
        "\\[ \\begin{tikzpicture} a & b \\\\ c \\end{tikzpicture} \\]",
        "\\( " + "{" * 60 + "}" * 60 + " \\)",
    ],
)
def test_a_formula_that_is_not_read_comes_out_as_it_went_in(formula: str) -> None:
    assert shown(f"So {formula} is it.", 400) == [f"So {formula} is it."]


def test_a_displayed_formula_keeps_its_lines() -> None:
    formula = "\\[\n\\begin{aligned}\na &= b \\\\\n\n- c\n=\n\\end{aligned}\n\\]"
    assert shown(f"So:\n\n{formula}\n\nDone.") == ["So:", "", "a = b", "- c =", "", "Done."]
    raw = formula.replace("a &=", "\\mystery &=")
    assert shown(f"So:\n\n{raw}\n\nDone.") == ["So:", "", *raw.split("\n"), "", "Done."]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"\frac{8}{2} = \boxed{4}", "8/2 = 4"),
        (r"2\frac{1}{2}", "2 1/2"),
        (r"\frac{1}{2} x", "(1/2) x"),
        (r"\frac{1}{2}\frac{3}{4}", "(1/2)(3/4)"),
        (r"\dfrac{x+1}{y}", "(x+1)/y"),
        (r"\frac12^2", "(1/2)²"),
        (r"e^{i\pi}", "e^(iπ)"),
        (r"90^\circ", "90°"),
        (r"\text{area} = 5\,\text{cm}^2", "area = 5 cm²"),
        (r"\sqrt[3]{8} + \sqrt{x+1}", "∛8 + √(x+1)"),
        (r"\sin\theta + \log_2 8", "sin θ + log₂ 8"),
        (r"\sum_{i=1}^{n} i", "∑ᵢ₌₁ⁿ i"),
        (r"\left\{ x \in \mathbb{R} \right.", "{ x ∈ ℝ"),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "(1 2; 3 4)"),
        (r"50\% \times \$5", "50% × $5"),
        (r"\overline{AB} \perp \vec{v}", "A̅B̅ ⊥ v⃗"),
        (r"S \approx 28.27", "S ≈ 28.27"),
        (r"\includegraphics{/etc/passwd}", None),
        (r"\frac{1}", None),
        ("{" * 30, None),
        ("}", None),
        ("", None),
        ("x" * 5000, None),
    ],
)
def test_formulas(source: str, text: str | None) -> None:
    assert readable(source) == text


@given(st.text(r"\{}[]^_&$ frac1xab+=/%~'", max_size=300))
def test_reading_a_formula_never_fails(source: str) -> None:
    for displayed in (False, True):
        text = readable(source, displayed=displayed)
        assert text is None or text.strip()


def test_a_row_that_is_kept_costs_its_text_and_not_the_widest_row() -> None:
    """Lines of a poem: each is a row of one paragraph, whose width is that of all of them."""
    lines = [f"line {number}" for number in range(1500)]
    began = time.process_time()
    rows = kept_rows("  \n".join(lines), 80)
    assert time.process_time() - began < 2
    assert [row.plain for row in rows] == lines


def test_reading_the_worst_formula_takes_no_time() -> None:
    parts = ("\\frac{", "{", "x^", "\\left", "\\sqrt[", "&", "\\begin{cases}", "_")
    worst = [part * (4000 // len(part)) for part in parts]
    readable(r"\alpha")  # the table of symbols
    began = time.process_time()
    for source in worst:
        readable(source)
    assert time.process_time() - began < 1


def test_prices_are_no_formulas() -> None:
    for text in (
        "It costs $5 and $6.",
        "It costs $5, not 10$, he said.",
        "From $5-$10 and $20 to $30.",
        "US$ 5 and A$ 6",
        "echo $HOME and $PATH",
    ):
        assert shown(text) == [text]
    assert shown("It costs $5 and **not** $6.") == ["It costs $5 and not $6."]
    assert shown("$x$ is $5$ and $n + 1$ is 6") == ["x is 5 and n + 1 is 6"]


def test_code_is_left_alone() -> None:
    assert shown("`\\[a\\]` and\n\n```\n\\[x\\]\n```") == ["\\[a\\] and", "", " \\[x\\]"]


def test_headings_are_at_the_left_and_html_is_text() -> None:
    assert shown("# One\n\n<b>two</b> &#27;[31m") == ["One", "", "<b>two</b> \ufffd[31m"]


def test_no_hyperlink_sequence() -> None:
    rows = markdown_rows("[a](http://b.c)", 60)
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
def test_blocks_join_to_the_text(text: str) -> None:
    assert "".join(blocks(text)) == text


@given(MESSY, st.integers(1, 50))
@settings(max_examples=50)
def test_no_row_is_wider_than_the_width(text: str, width: int) -> None:
    for row in markdown_rows(clean(text), width):
        assert cells(row.plain) <= width
        assert re.sub(r"\x1b\[[\d;]*m", "", row.styled) == row.plain


@given(MESSY.map(lambda text: text.replace("\n", "")), st.integers(2, 30))
def test_spans_cover_the_line_and_fit(line: str, width: int) -> None:
    line = line.expandtabs(4)
    found = spans(line, width)
    assert "".join(line[start:end] for start, end in found) == line
    assert all(cells(line[start:end].rstrip()) <= width for start, end in found)


@given(st.lists(MESSY, max_size=8), st.integers(4, 30), st.integers(1, 9), st.integers(4, 30))
def test_a_flow_is_the_end_of_the_whole(pieces, width, count, before) -> None:
    flow = Flow()
    text = ""
    for number, piece in enumerate(pieces):
        flow.add(piece)
        text += piece
        # asked for at another width in between, as while a window is resized
        flow.rows(before if number % 3 == 1 else width, count, compact=True)
    whole = wrap(text, width)
    if text.endswith("\n") or not text:
        whole.pop()  # a row not begun
    elif not whole[-1]:
        whole[-1] = ""
    assert flow.rows(width, count, compact=False) == whole[-count:]
    assert flow.rows(width, count, compact=True) == [row for row in whole if row][-count:]
    assert flow.text == text


@pytest.mark.parametrize(
    ("line", "rows"), [("     \u0301", ["", " \u0301"]), ("abc \u1161", ["abc", " \u1161"])]
)
def test_a_space_with_an_accent_on_it_takes_its_cell(line: str, rows: list[str]) -> None:
    assert wrap(line, 3) == rows


@given(MESSY.map(clean_line), st.integers(0, 30))
def test_what_is_cut_fits_and_is_the_beginning(line: str, width: int) -> None:
    assert line.startswith(cut(line, width))
    assert cells(cut(line, width)) <= width


@given(st.lists(MESSY.map(clean_line), min_size=1, max_size=4), st.integers(2, 30))
def test_parts_in_rows_fit(parts: list[str], width: int) -> None:
    assert all(cells(row) <= width for row in [*packed(parts, width), joined(parts, width)])


def test_a_line_without_end_is_not_wrapped_whole() -> None:
    flow = Flow()
    flow.add("x" * 1_000_000)
    assert flow.rows(10, 2, compact=True) == ["x" * 10, "x" * 10]


def test_cut_never_splits_a_wide_character() -> None:
    assert cut("a猫b", 2) == "a"


@given(st.text())
def test_clean_leaves_no_control(text: str) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", clean(text))
    assert "\n" not in clean_line(text)


@given(st.text("a\x1b[]\x07\\0m;?\x9b\r\n\u202e", max_size=60), st.data())
def test_text_may_be_cut_anywhere(text: str, data) -> None:
    at = data.draw(st.integers(0, len(text)))
    cleaner = Cleaner()
    shown = cleaner.feed(text[:at]) + cleaner.feed(text[at:])
    assert shown == clean(text) or (text.endswith("\r") and shown + "␍" == clean(text))


def test_what_is_seen_as_nothing_is_shown() -> None:
    """Tags spell ASCII that no person sees; emoji, Persian and Indian scripts keep joiners."""
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "rm")
    assert clean(f"a\u200bb\ufeff\u2060{hidden}") == (
        "a<U+200B>b<U+FEFF><U+2060><U+E0072><U+E006D>"
    )
    seen = "\u0646\u0645\u06cc\u200c\u062e \U0001f468\u200d\U0001f469 \u845b\U000e0100 \u2764\ufe0f"
    assert clean(seen) == seen
    written = json_text({"a": hidden})
    assert written.isascii()
    assert json.loads(written) == {"a": hidden}


def test_controls_are_seen() -> None:
    assert clean("a\x1b[1;31mb\x1b]0;title\x07c\r\nd\x7f\x9b2J") == (
        "a␛[1;31mb␛]0;title␇c\nd␡<U+009B>2J"
    )
    assert clean("abc\u202egpj.exe\u2066\u200f\u2028") == (
        "abc<U+202E>gpj.exe<U+2066><U+200F><U+2028>"
    )
    assert clean_line("a\nb\tc\rd") == "a b c␍d"


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"


@pytest.mark.parametrize(
    "text", ["שלום עולם", "مرحبا", f"{FAMILY} 🇩🇪 👍🏽 e\u0301", "這是一隻貓", "क\u094d\u200dष"]
)
def test_scripts_and_emoji_stay_as_they_are(text: str) -> None:
    assert clean(text) == text
    assert "".join(shown(text)) == text
    assert "".join(wrap(text, 20)) == text


@pytest.mark.parametrize(
    ("text", "width"),
    [(FAMILY, 2), ("🇩🇪", 2), ("👍🏽", 2), ("e\u0301", 1), ("❤\ufe0f", 2), ("猫", 2)],
)
def test_what_people_see_as_one_character_stays_together(text: str, width: int) -> None:
    assert cells(text) == width
    fit = 5 // width
    assert cut(text * 7, 5) == text * fit
    assert [*map(len, wrap(text * 7, 5))] == [
        len(text) * min(fit, 7 - first) for first in range(0, 7, fit)
    ]


@pytest.mark.parametrize("mark", ["\u0301", "\ufe0f", "\U0001f469\u200d", "\u202e"])
def test_marks_without_end_on_one_character_are_rows_however_they_come(mark: str) -> None:
    text = "a" + mark * 3000
    rows = wrap(text, 20)
    assert "".join(rows) == text
    assert all(cells(row) <= 20 for row in rows)
    assert len(rows) > 1
    flow = Flow()
    flow.rows(20, 200, compact=False)
    for at in range(0, len(text), 7):
        flow.add(text[at : at + 7])
    assert flow.rows(20, 200, compact=False) == rows[-200:]


def test_a_joiner_between_letters_takes_no_cell() -> None:
    assert cells("a\u200db\u200dc") == 3
    assert cells("\u200d" * 9) == 0


def test_chinese_breaks_between_characters_and_not_before_a_comma() -> None:
    assert wrap("hello 这是一只猫，它有四条腿。", 16) == ["hello 这是一只", "猫，它有四条腿。"]


@pytest.mark.parametrize(
    "block",
    [
        "".join(f"{n}. item {n}\n" for n in range(1, 40)),
        "".join(f"1. item {n}\n" for n in range(1, 40)),
        "".join(f"- item {n}\n" for n in range(1, 40)),
        "```python\n" + "".join(f"x = {n}\n" + "\n" * (n % 3) for n in range(40)) + "```",
        "```\n" + "".join(f"x = {n}\n" for n in range(40)),
    ],
)
def test_a_long_block_in_two_parts_reads_as_one(block: str) -> None:
    parts = parted(block)
    assert parts is not None
    got = [*shown(parts[0]), *shown(parts[1])]
    assert [row.split() for row in got] == [row.split() for row in shown(block)]


def test_nothing_is_coloured() -> None:
    code = "```python\ndef f(x: int) -> str:  # no\n    return 'a' + 1\n```"
    text = f"# a\n\n{code}\n\n`x` [a](b)\n\n> q\n\n| a |\n|---|\n| b |"
    for row in markdown_rows(text, 60):
        for sequence in re.findall(r"\x1b\[([\d;]*)m", row.styled):
            assert set(sequence.split(";")) <= {"", "0", "1", "2", "3", "4"}
