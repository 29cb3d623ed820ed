"""The canonical reading: the final value of an answer, compared by what it means.

Law: a letter counts where it is named, an option where its text is said, a value where it is
mathematically the gold value (with the benchmark's tolerance and rounding). The nearest choice by
edits and the number that happens to stand in a sentence do not count.
"""

from __future__ import annotations

import re
from dataclasses import replace
from string import ascii_uppercase
from typing import assert_never

from qvq_mlx.evaluate.gold import (
    Gold,
    MathVisionGold,
    MathVistaGold,
    MmmuGold,
    OlympiadBenchGold,
    Reading,
    Verdict,
)
from qvq_mlx.evaluate.scoring import final_answer as final
from qvq_mlx.evaluate.scoring import latex, mathvision, mmmu, olympiadbench

_NOTHING = Reading(Verdict.NO_ANSWER, None)
_DEGREES = re.compile(r"\{?\s*degrees?\s*\}?\s*\Z|\^\{?\\circ\}?\s*\Z|°\s*\Z")
_BARE = re.compile(r"[^\W\d_]\s*(?:=|\\in)\s*")


def reading(gold: Gold, answer: str) -> Reading:
    """Judge the final value of an answer."""
    value = final.final_value(answer)
    if not value:
        return _NOTHING
    match gold:
        case MmmuGold():
            return _of_mmmu(gold, value, answer)
        case MathVistaGold():
            return _of_mathvista(gold, value)
        case MathVisionGold():
            return _of_mathvision(gold, value)
        case OlympiadBenchGold():
            return _of_olympiadbench(gold, value)
        case _:
            assert_never(gold)


def _of_mmmu(gold: MmmuGold, value: str, answer: str) -> Reading:
    if gold.options:
        options = dict(zip(ascii_uppercase, gold.options, strict=False))
        found = _named(value, options) or mmmu.inferred(value, options)
        found = found or mmmu.letter(answer, options)
        if found is None:
            return _NOTHING
        return Reading(Verdict.of(found in gold.answers), found)
    number = final.decimal(value)
    correct = (
        mmmu.is_open_answer_correct(value, gold.answers)
        or (number is not None and mmmu.is_open_answer_correct(number, gold.answers))
        or any(latex.equivalent(final.final_value(text), value) for text in gold.answers)
    )
    return Reading(Verdict.of(correct), value)


def _of_mathvista(gold: MathVistaGold, value: str) -> Reading:
    if gold.choices:
        options = dict(zip(ascii_uppercase, gold.choices, strict=False))
        found = _named(value, options) or mmmu.inferred(value, options)
        if found is None or found not in options:
            return _NOTHING
        return Reading(Verdict.of(options[found] == gold.answer), options[found])
    if gold.answer_type in ("integer", "float"):
        number = final.decimal(value)
        if number is None:
            return _NOTHING
        decimals = gold.precision or 0
        correct = round(float(number), decimals) == round(float(gold.answer), decimals)
        return Reading(Verdict.of(correct), number)
    same = "".join(value.split()) == "".join(gold.answer.split())
    return Reading(Verdict.of(same), value)


def _of_mathvision(gold: MathVisionGold, value: str) -> Reading:
    if gold.options:
        options = dict(zip(ascii_uppercase, gold.options, strict=False))
        found = _named(value, options)
        if found is not None:
            return Reading(Verdict.of(found == gold.answer), found)
        return Reading(Verdict.of(_same_value(gold.value, value)), value)
    return Reading(Verdict.of(_same_value(gold.answer, value)), value)


def _of_olympiadbench(gold: OlympiadBenchGold, value: str) -> Reading:
    cleaned = replace(gold, answer=_cleaned_gold(gold.answer))
    number = final.decimal(value)
    correct = (
        olympiadbench.is_correct(value, cleaned)
        or (number is not None and olympiadbench.is_correct(number, cleaned))
        or (not gold.tolerances and latex.equivalent(cleaned.answer, value))
    )
    return Reading(Verdict.of(correct), value)


def _named(value: str, options: dict[str, str]) -> str | None:
    """Return the letter that a value names, or whose text it is."""
    return final.option(value, options) or final.letter(value, "".join(options))


def _same_value(gold: str, value: str) -> bool:
    gold = _cleaned_gold(gold)
    value = _DEGREES.sub("", value)
    if mathvision.is_equal(gold, value) or mathvision.is_equal(gold, _BARE.sub("", value, count=1)):
        return True
    number = final.decimal(value)
    if number is not None and mathvision.is_equal(gold, number):
        return True
    return latex.equivalent(gold, value)


def _cleaned_gold(text: str) -> str:
    r"""Mend a gold answer: a form feed that was `\f`, a box, math signs, degrees, spaces."""
    return _DEGREES.sub("", final.final_value(text.replace("\x0c", "\\f")))
