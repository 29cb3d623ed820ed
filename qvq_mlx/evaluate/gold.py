"""The correct answer of a question, one type per benchmark, and the verdict on a given answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from string import ascii_uppercase

DEFAULT_TOLERANCE = 1e-8
"""OlympiadBench's accepted absolute error where a problem states none."""


class Benchmark(StrEnum):
    """The benchmarks of the model's card."""

    MMMU = "mmmu"
    MATHVISTA = "mathvista"
    MATHVISION = "mathvision"
    OLYMPIADBENCH = "olympiadbench"


@dataclass(frozen=True, slots=True)
class MmmuGold:
    """`answers`: a letter, or for an open question every accepted text.

    `options` are the texts of A, B, C and so on; none for an open question.
    """

    answers: tuple[str, ...]
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MathVistaGold:
    """`answer_type` is text, integer, float or list; `precision`: decimals of a float.

    `choices` are the texts of a multiple-choice question; the answer is then one of them.
    """

    answer: str
    answer_type: str
    precision: int | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MathVisionGold:
    """`answer` is a letter where there are `options`, else a LaTeX value."""

    answer: str
    options: tuple[str, ...] = ()

    @property
    def value(self) -> str:
        """Return the text of the gold option; empty for a question without options."""
        return self.options[ascii_uppercase.index(self.answer)] if self.options else ""


@dataclass(frozen=True, slots=True)
class OlympiadBenchGold:
    """`answer` is LaTeX, several values separated by commas.

    `tolerances`: the accepted absolute error, one for all values or one for each; empty: 1e-8.
    `chinese`: the question's language, which decides the sentence that the answer stands in.
    """

    answer: str
    tolerances: tuple[float, ...] = ()
    chinese: bool = False


Gold = MmmuGold | MathVistaGold | MathVisionGold | OlympiadBenchGold


class Verdict(StrEnum):
    """The verdicts of a rule."""

    CORRECT = "correct"
    WRONG = "wrong"
    NO_ANSWER = "no-answer"
    """The rule finds no answer in the text. Counted as wrong, and counted apart."""
    UNJUDGED = "unjudged"
    """Comparing took too long or too much memory. Counted as wrong, and counted apart."""

    @classmethod
    def of(cls, correct: bool) -> Verdict:
        """Return CORRECT or WRONG."""
        return cls.CORRECT if correct else cls.WRONG


@dataclass(frozen=True, slots=True)
class Reading:
    """The reading of an answer by one rule, and its verdict. `found` None: nothing was found."""

    verdict: Verdict
    found: str | None


@dataclass(frozen=True, slots=True)
class Score:
    r"""`strict`: the official parser on the answer as it is. `canonical`: on its final value.

    The canonical reading takes the last box or the text after the last marker, without units and
    LaTeX dressing, and compares mathematically. A model that writes its answers in boxes is judged
    fairly by it; the official parser of MMMU, for one, finds no letter in `\boxed{B}`.
    """

    strict: Reading
    canonical: Reading
