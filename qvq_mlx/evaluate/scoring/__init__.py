"""An answer against the gold answer of its question, in both readings.

Law: the answer is what the split found, without the thinking. A rule that finds nothing in it says
so; nothing is guessed. The functions here may take long on a hostile answer: a run goes through
`evaluate.judge`, which bounds them.
"""

from __future__ import annotations

from string import ascii_uppercase
from typing import assert_never

from qvq_mlx.evaluate.gold import (
    Gold,
    MathVisionGold,
    MathVistaGold,
    MmmuGold,
    OlympiadBenchGold,
    Reading,
    Score,
    Verdict,
)
from qvq_mlx.evaluate.scoring import canonical, mathvision, mathvista, mmmu, olympiadbench
from qvq_mlx.evaluate.scoring.final_answer import final_value

_NOTHING = Reading(Verdict.NO_ANSWER, None)


def score(gold: Gold, answer: str) -> Score:
    """Judge an answer in both readings."""
    return Score(strict_reading(gold, answer), canonical_reading(gold, answer))


def canonical_reading(gold: Gold, answer: str) -> Reading:
    """Judge the final value of an answer by what it means."""
    return canonical.reading(gold, answer) if answer.strip() else _NOTHING


def strict_reading(gold: Gold, answer: str) -> Reading:
    """Judge an answer as the benchmark's own scorer does."""
    if not answer.strip():
        return _NOTHING
    match gold:
        case MmmuGold():
            return _strict_mmmu(gold, answer)
        case MathVistaGold():
            extraction = mathvista.extracted(answer, gold)
            found = final_value(answer) if extraction is None else extraction
            if not found:
                return _NOTHING
            return Reading(Verdict.of(mathvista.is_correct(found, gold)), found)
        case MathVisionGold():
            found = mathvision.extracted(answer)
            return Reading(Verdict.of(mathvision.is_correct(found, gold)), found)
        case OlympiadBenchGold():
            found = olympiadbench.extracted(answer, chinese=gold.chinese)
            return Reading(Verdict.of(olympiadbench.is_correct(found, gold)), found)
        case _:
            assert_never(gold)


def _strict_mmmu(gold: MmmuGold, answer: str) -> Reading:
    if not gold.options:
        correct = mmmu.is_open_answer_correct(answer, gold.answers)
        return Reading(Verdict.of(correct), answer)
    found = mmmu.letter(answer, dict(zip(ascii_uppercase, gold.options, strict=False)))
    if found is None:
        return _NOTHING
    return Reading(Verdict.of(found in gold.answers), found)
