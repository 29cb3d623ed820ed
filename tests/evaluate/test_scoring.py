r"""Each benchmark's rules on answers that show what the rule says, oddities included."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qvq_mlx.evaluate import scoring
from qvq_mlx.evaluate.gold import (
    MathVisionGold,
    MathVistaGold,
    MmmuGold,
    OlympiadBenchGold,
    Verdict,
)
from qvq_mlx.evaluate.judge import Judge
from qvq_mlx.evaluate.scoring import final_answer, latex, mathvision, mathvista, mmmu, olympiadbench

FRUIT = {"A": "a red plum", "B": "12 figs", "C": "pears, sliced", "D": "no fruit at all"}
BOXED = "**Final Answer**\n\n\\[ \\boxed{D} \\]"


# MMMU


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("C", "C"),
        ("C!", "C"),
        ("(C) is what I choose", "C"),
        ("(A) cannot be; (D) is left", "D"),
        ("first A and then B but finally A again", "A"),
        ("whoever looks at it sees a red plum there", "A"),
        ("12 figs", None),  # too short to be searched for a text
        ("12 figs, not 1 A RED PLUM, are in the bowl; that makes 12 figs", "A"),
        ("12 figs, nothing else (no fruit at all?) in it: just 12 FIGS", "B"),
        (BOXED, None),
        ("**D**", None),
        ("(d)", None),
        ("", None),
    ],
)
def test_mmmu_finds_a_letter_where_the_official_parser_does_and_never_guesses(response, letter):
    assert mmmu.letter(response, FRUIT) == letter


@pytest.mark.parametrize(
    ("response", "gold", "correct"),
    [
        ("It is about 6.28319", ("6.28",), True),
        ("the sum could be 7 or 9", ("9",), True),
        ("9kg", ("9",), False),
        ("9 kg", ("9",), True),
        ("the total is 2,500", ("2500",), True),
        ("x = 2.5e3", ("2500",), True),
        ("-9", ("9",), False),
        ("Magnesium Sulfide", ("MgS", "magnesium sulfide"), True),
        ("c", ("C",), True),
        ("cat", ("c",), False),
        ("so the answer \n is 4\nnothing more", ("4",), True),
    ],
)
def test_mmmu_finds_an_open_answer_as_the_official_parser_does(response, gold, correct):
    assert mmmu.is_open_answer_correct(response, gold) is correct


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("\\boxed{D}", "D"),
        ("Answer: C", "C"),
        ("(A) or (C)", None),
        ("D is the first word of a sentence that goes on", None),
        ("12 FIGS", "B"),
        ("I can't process this file.", "Z"),
        ("nothing of the kind", None),
    ],
)
def test_a_letter_is_inferred_as_vlmevalkit_does(response, letter):
    assert mmmu.inferred(response, FRUIT) == letter


# MathVista

AREAS = MathVistaGold("24 m", "text", choices=("12 m", "24 m", "36 m"))


@pytest.mark.parametrize(
    ("extraction", "normalised"),
    [("C", "36 m"), ("(b) 24 m", "24 m"), ("24 meters", "24 m"), ("F", "12 m"), (" A ", "12 m")],
)
def test_mathvista_takes_a_letter_or_the_nearest_choice(extraction, normalised):
    assert mathvista.normalised(extraction, AREAS) == normalised


@pytest.mark.parametrize(
    ("kind", "precision", "extraction", "normalised"),
    [
        ("integer", None, "8.7", "8"),
        ("integer", None, "8 kg", None),
        ("integer", None, "inf", None),
        ("float", 1, "0.35", "0.3"),
        ("float", 2, "7", "7.0"),
        ("float", 2, "1/4", None),
        ("list", None, "[1, 2]", "[1, 2]"),
    ],
)
def test_mathvista_brings_a_number_to_the_gold_answers_form(
    kind, precision, extraction, normalised
):
    assert mathvista.normalised(extraction, MathVistaGold("", kind, precision)) == normalised


# MathVision


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("\\boxed{E}", "e"),
        ("We find \\boxed{7} and then \\boxed{ 8 }", "8"),
        ("It has to be (B).", "b"),
        ("(D)\nsince the rest is too long", "d"),
        ("The correct answer is 5 cm. Or so.", "5cm"),
        ("the area is 40.", "40"),
        ("\\boxed{y = \\dfrac{3}{4}}", "\\frac{3}{4}"),
        ("\\boxed{3/4}", "\\frac{3}{4}"),
        ("\\boxed{0.5}", "\\frac{1}{2}"),
        ("\\boxed{.25}", "0.25"),
        ("\\boxed{60^\\circ}", "60"),
        ("\\boxed{\\sqrt5+\\frac12}", "\\sqrt{5}+\\frac{1}{2}"),
        ("**Final Answer**\n\n9", "**finalanswer**9"),
        ("", ""),
    ],
)
def test_mathvision_extracts_as_the_official_parser_does(response, found):
    assert mathvision.extracted(response) == found


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("0.75", "\\frac{3}{4}", True),
        ("3:4", "\\frac{3}{4}", True),
        ("\\frac{2}{3}", "0.667", True),
        ("\\frac{2}{3}", "0.66", False),
        ("$\\sqrt{2}$", "1.414", True),
        ("2,500", "2500", True),
        ("$90^\\circ$", "90", False),  # its reader knows no degrees
        ("\\boxed{4}", "4", False),
        ("(1/2,3)", "(0.5,3)", True),
        ("(1,2)", "(2,1)", False),
        ("e", "2.72", False),
        ("4", "4}.Theansweris:4", True),
        ("x", "x", True),
        ("x", "y", False),
        ("", "", False),
    ],
)
def test_mathvision_compares_values_to_two_decimals(gold, answer, equal):
    assert mathvision.is_equal(gold, answer) is equal


def test_mathvision_takes_the_options_text_for_its_letter():
    gold = MathVisionGold("B", ("$\\frac{1}{3}$", "$\\frac{1}{4}$"))
    assert mathvision.is_correct("b", gold)
    assert mathvision.is_correct("0.25", gold)
    assert not mathvision.is_correct("a", gold)


# OlympiadBench


@pytest.mark.parametrize(
    ("gold", "answer", "tolerances", "correct"),
    [
        ("$y=3$", "3", (), True),
        ("4,5", "\\boxed{5, 4}", (), True),
        ("4,5", "\\boxed{4}\n\\boxed{5}", (), True),
        ("4", "\\boxed{4}\n\\boxed{4}", (), False),
        ("0.25", "25", (), True),  # percent
        ("$\\frac{7}{8}$", "0.875", (), True),
        ("9.81", "9.8", (0.05,), True),
        ("9.81", "9.7", (0.05,), False),
        ("1000, 2", "1010, 2.0001", (20.0, 1e-3), True),
        ("1000, 2", "1010, 2.01", (20.0, 1e-3), False),
        (
            "(-\\infty,2)\\cup(3,4]",
            "x\\in \\left(-\\infty,2\\right)\\cup(3,\\frac{8}{2}]",
            (),
            True,
        ),
        ("[1,2]", "(1,2]", (), False),
        ("y=2x+1", "2y-4x=2", (), True),
        ("y=2x+1", "y=2x", (), False),
        ("$\\pm 2$", "2,-2", (), True),
        ("2.5 m", "2.5", (), False),
        ("能", "能", (), True),
        ("3", "\\boxed{3", (), False),
    ],
)
def test_olympiadbench_judges_as_the_official_judge_does(gold, answer, tolerances, correct):
    assert olympiadbench.is_correct(answer, OlympiadBenchGold(gold, tolerances)) is correct


def test_olympiadbench_reads_the_stated_answer_of_its_language():
    text = "So the final answer is \\boxed{1}.\n所以最终答案是\\boxed{2}。"
    assert olympiadbench.extracted(text, chinese=False) == "\\boxed{1}."
    assert olympiadbench.extracted(text, chinese=True) == "\\boxed{2}。"
    assert olympiadbench.extracted("nothing stated", chinese=True) == "nothing stated"


# The final value, and the canonical reading


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("so \\boxed{\\text{(C) red}}", "(C) red"),
        (BOXED, "D"),
        ("**Final Answer**\n\nB", "B"),
        ("**最终答案**\n\n$\\frac{1}{2}$。", "\\frac{1}{2}"),
        ("First.\nAnswer: 12\\,\\text{cm}", "12 cm"),
        ("With 5 of 7 pieces, 5 - 1 = 4.\nThe answer is: 4", "4"),
        ("  ", ""),
    ],
)
def test_the_final_value_is_what_the_answer_ends_in(answer, value):
    assert final_answer.final_value(answer) == value


@pytest.mark.parametrize(
    ("value", "letter"),
    [
        ("b", "B"),
        ("(D)", "D"),
        ("B. 12 figs", "B"),
        ("故选 C", "C"),
        ("答案：B", "B"),
        ("the answer is A", "A"),
        ("B or C", None),
        ("E", None),
        ("a cat", None),
    ],
)
def test_a_letter_counts_where_it_is_named(value, letter):
    assert final_answer.letter(value, "ABCD") == letter


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("14 cm", "14"),
        ("1,000", "1000"),
        ("\\frac{3}{4}", "0.75"),
        ("3/4", "0.75"),
        ("3/0", None),
        ("x=-2.5", "-2.5"),
        (".5", ".5"),
        ("45^\\circ", "45"),
        ("2.5\\times10^3", "2500.0"),
        ("It is 8 metres long.", "8"),
        ("8 or 9", None),
        ("7\\pi", None),
        ("2\\sqrt{3}", None),
        ("3:16", None),
        ("1.2.3", None),
        ("none", None),
        ("9" * 5000, None),
    ],
)
def test_a_number_is_read_where_there_is_one(value, number):
    assert final_answer.decimal(value) == number


OPTIONS = tuple(FRUIT.values())


@pytest.mark.parametrize(
    ("gold", "answer", "strict", "canonical"),
    [
        (MmmuGold(("D",), OPTIONS), BOXED, Verdict.NO_ANSWER, Verdict.CORRECT),
        (MmmuGold(("D",), OPTIONS), "\\boxed{C}", Verdict.NO_ANSWER, Verdict.WRONG),
        (MmmuGold(("D",), OPTIONS), "I cannot say", Verdict.NO_ANSWER, Verdict.NO_ANSWER),
        (MmmuGold(("B",), OPTIONS), "\\boxed{12 figs}", Verdict.NO_ANSWER, Verdict.CORRECT),
        (MmmuGold(("0.5", "\\frac{1}{2}")), "\\boxed{\\dfrac12}", Verdict.WRONG, Verdict.CORRECT),
        (AREAS, "\\boxed{24 m}", Verdict.CORRECT, Verdict.CORRECT),
        (AREAS, "\\boxed{48}", Verdict.CORRECT, Verdict.NO_ANSWER),  # the nearest by edits
        (MathVistaGold("14", "integer"), "\\boxed{14 cm}", Verdict.WRONG, Verdict.CORRECT),
        (MathVistaGold("0.8", "float", 1), "\\boxed{3/4}", Verdict.WRONG, Verdict.CORRECT),
        (MathVisionGold("$90^{\\circ}$"), "\\boxed{90}", Verdict.WRONG, Verdict.CORRECT),
        (MathVisionGold("69{degrees}"), "\\boxed{69}", Verdict.WRONG, Verdict.CORRECT),
        (MathVisionGold("\x0crac{36}{13}"), "\\boxed{36/13}", Verdict.WRONG, Verdict.CORRECT),
        (MathVisionGold("B", ("1", "2")), "**B**", Verdict.WRONG, Verdict.CORRECT),
        (MathVisionGold("12"), "\\boxed{12\\text{ cm}^2}", Verdict.WRONG, Verdict.CORRECT),
        (OlympiadBenchGold("1000"), "\\boxed{1{,}000}", Verdict.WRONG, Verdict.CORRECT),
        (OlympiadBenchGold("[2,\\infty)"), "\\boxed{x\\ge 2}", Verdict.WRONG, Verdict.CORRECT),
        (OlympiadBenchGold("7"), "\\boxed{8}", Verdict.WRONG, Verdict.WRONG),
        (OlympiadBenchGold("7"), "", Verdict.NO_ANSWER, Verdict.NO_ANSWER),
    ],
)
def test_both_readings_of_an_answer(gold, answer, strict, canonical):
    score = scoring.score(gold, answer)
    assert (score.strict.verdict, score.canonical.verdict) == (strict, canonical)


# Hostile answers

HUGE = (
    "10^{10^{10^{10}}}",
    "(10^{10})^{10^{10}}",
    "2^{2^{2^{2^{2^{2}}}}}",
    "99999999999!",
    "9!!!",
    "0.1^{10^{12}}",
)


@pytest.mark.parametrize("text", HUGE)
def test_what_cannot_be_computed_is_refused_at_once(text):
    begin = time.process_time()
    assert latex.number(text) is None
    assert not latex.equivalent(text, "7")
    assert not olympiadbench.is_correct(text, OlympiadBenchGold("7"))
    assert not olympiadbench.is_correct("7", OlympiadBenchGold(text))
    assert time.process_time() - begin < 5


LONG = (
    "\\frac" * 5000,
    "{" * 20_000,
    "\\text{" * 5000,
    "1,234," * 8000,
    " " * 50_000 + "x",
    "\\boxed{" * 5000,
    "1" * 30_000,
    "**" * 20_000,
    "answer " * 8000,
    "is 5 " * 8000,
    "= " * 20_000,
    "\n" * 30_000 + "answer",
    "12 " + "a b " * 9000,
)


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
@pytest.mark.parametrize(
    "gold",
    [
        MmmuGold(("A",), OPTIONS),
        MmmuGold(("7",)),
        MathVistaGold("7", "integer"),
        MathVisionGold("7"),
    ],
    ids=["mmmu", "mmmu-open", "mathvista", "mathvision"],
)
def test_a_long_answer_is_judged_in_time(text, gold):
    begin = time.process_time()
    scoring.score(gold, text)
    assert time.process_time() - begin < 5


def test_a_models_text_is_never_executed(tmp_path):
    made = tmp_path / "made"
    code = f"__import__('pathlib').Path('{made}').touch()"
    for answer in (
        code,
        f"\\boxed{{{code}}}",
        f"${code}$",
        f"\\text{{{code}}}",
        f"({code},{code})",
    ):
        for gold in (MathVisionGold("7"), OlympiadBenchGold("7"), MmmuGold(("7",))):
            scoring.score(gold, answer)
    assert not made.exists()


SIGNS = "\\boxed{ } { \\frac 1 2 , = ^ A (B) $ \\pm \\text{ answer is x . / \\cup [ ) %"
PIECES = st.lists(
    st.sampled_from([*SIGNS.split(), " ", "\n", "**Final Answer**", "\\in "]), max_size=12
).map("".join)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(PIECES)
def test_no_answer_makes_a_rule_fail(answer):
    for gold in (
        MmmuGold(("A",), OPTIONS),
        MmmuGold(("12",)),
        AREAS,
        MathVistaGold("3", "integer"),
        MathVisionGold("\\frac{1}{2}"),
        MathVisionGold("A", ("1", "2", "3")),
        OlympiadBenchGold("1,2", (0.1, 0.2)),
    ):
        scoring.score(gold, answer)


def test_the_judge_gives_what_the_rules_give_and_outlives_a_hostile_answer():
    gold = MathVisionGold("B", ("$\\frac{1}{3}$", "$\\frac{1}{4}$"))
    with Judge() as judge:
        for answer in ("\\boxed{0.25}", "(A).", "", "{" * 100_000, "\ud800"):
            assert judge.score(gold, answer) == scoring.score(gold, answer)


def test_the_judge_ends_what_takes_too_long():
    with Judge(limit_s=0.0) as judge:
        score = judge.score(OlympiadBenchGold("x+1"), "1+x+0")
        assert score.strict.verdict is score.canonical.verdict is Verdict.UNJUDGED
    with Judge() as judge:
        assert judge.score(OlympiadBenchGold("x+1"), "1+x+0").strict.verdict is Verdict.CORRECT
