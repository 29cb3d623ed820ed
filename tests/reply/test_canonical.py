"""When two answers are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx.reply.canonical import canonical

SAME = [
    ("3", "3.0"),
    ("3", "+3."),
    ("3", "\\boxed{3}"),
    ("3", "So the result is $\\boxed{3}$."),
    ("3", "**3**"),
    ("3", "$$3.00$$"),
    ("3", "\\( 3 \\)"),
    ("3", "\\boxed{\\text{3}}"),
    ("0", "-0.0"),
    ("0.5", ".50"),
    ("-2", "\N{MINUS SIGN}2"),
    ("1234567", "1,234,567"),
    ("1234567.5", "1{,}234{,}567.50"),
    ("1234", "1\\,234"),
    ("red circle", "\\boxed{\\text{Red  circle}}"),
    ("red circle", "Red circle."),
    ("50%", "50\\%"),
    ("90", "90^\\circ"),
    ("90", "90°"),
    ("37.5", "37.5 °"),
    ("\\frac{1}{4}", "\\frac14"),
    ("\\frac{1}{4}", "\\frac 1 4"),
    ("\\frac{a}{b}", "\\dfrac a{b}"),
    ("b", "(b)"),
    ("b", "(B)."),
    ("b", "\\boxed{\\text{(B)}}"),
    ("2", "2)"),
    ("7", "\\fbox{7}"),
    ("5", "$\\boxed 5$."),
    ("42", "\\boxed42"),
    ("\\frac{1}{2}", "\\dfrac{1}{2}"),
    ("3 cm", "3~\\text{cm}"),
    ("b", "`B`"),
]
DIFFERENT = [
    ("3", "4"),
    ("3", "-3"),
    ("3", "3 cm"),
    ("3", "three"),
    ("0.5", "1/2"),
    ("1,2", "12"),
    ("1,23,456", "123456"),
    ("10", "1"),
    ("100", "1"),
    ("2 1", "21"),
    ("\\frac{1}{2}", "\\frac{2}{1}"),
    ("$1$ and $2$", "$1$ and $3$"),
    ("a", "b"),
    ("\\frac14", "\\frac{14}{1}"),
    ("90°", "90 cm"),
    ("(a, b)", "ab"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spelling_does_not_count(one: str, other: str) -> None:
    assert canonical(one) == canonical(other) == one


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_meaning_does(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@given(
    st.text(max_size=40)
    | st.text(alphabet="0123456789.,+- $\\{}()[]*`~aA%", max_size=16)
    | st.lists(
        st.sampled_from(
            ["\\text{", "\\boxed{", "}", "$", "3", ".0", ",000", " ", "\\,", "a", "**"]
        ),
        max_size=10,
    ).map("".join)
)
def test_a_canonical_form_is_its_own(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=3, min_value=-(10**12), max_value=10**12
    )
)
def test_numbers_are_equal_when_their_forms_are(number) -> None:
    grouped = f"{number:,.3f}"
    assert canonical(grouped) == canonical(f"{number:f}00") == canonical(f"\\boxed{{{number:f}}}")
    assert float(canonical(grouped)) == float(number)
