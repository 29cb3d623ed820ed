"""MathVision: 3,040 competition problems (test), 304 of them as testmini, of 16 subjects."""

from __future__ import annotations

from pathlib import Path
from string import ascii_uppercase

from qvq_mlx.evaluate import rows
from qvq_mlx.evaluate.gold import MathVisionGold
from qvq_mlx.evaluate.question import PromptStyle, Question, Strata
from qvq_mlx.evaluate.questions.mathvista import SHORT

_ORDER = (
    'Please solve the problem and put your answer in one "\\boxed{}". If it is a multiple choice'
    ' question, only one letter is allowed in the "\\boxed{}".'
)


def name_of(row: rows.Row, _: str) -> str:
    """Return the problem's number."""
    return rows.text(row, "id")


def strata(row: rows.Row, _: str) -> Strata:
    """Return subject, level (1 to 5) and type."""
    kind = "multiple choice" if rows.texts(row, "options") else "free form"
    return (
        ("subject", rows.text(row, "subject")),
        ("level", rows.text(row, "level")),
        ("type", kind),
    )


def question(row: rows.Row, origin: str, folder: Path, style: PromptStyle) -> Question:
    """Return a row as a question. Several pictures come merged into one, at `<image1>`."""
    options = rows.texts(row, "options")
    gold = MathVisionGold(rows.text(row, "answer"), options)
    lines = [rows.asked(row, "question")]
    if options and "".join(options) != ascii_uppercase[: len(options)]:  # else they are drawn
        named = zip(ascii_uppercase, options, strict=False)
        lines += [f"({name}) {one}" for name, one in named]
    asked = "\n".join(lines)
    prompt = f"{_ORDER}\n{asked}" if style is PromptStyle.OFFICIAL else asked + SHORT
    pictures = rows.pictures(row, ("decoded_image", "image"), folder)
    return Question(name_of(row, origin), prompt, pictures, gold, strata(row, origin))
