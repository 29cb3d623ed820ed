"""MathVista: 1,000 questions (testmini) of 28 older data sets, each with its own answer format."""

from __future__ import annotations

from pathlib import Path
from string import ascii_uppercase

from qvq_mlx.evaluate import rows
from qvq_mlx.evaluate.gold import MathVistaGold
from qvq_mlx.evaluate.question import PromptStyle, Question, Strata

SHORT = "\nPlease try to answer the question with short words or phrases if possible."
"""What VLMEvalKit adds to questions of this kind for Qwen2-VL."""

_CHOICE = "provide the correct option letter, e.g., A, B, C, D, at the end."
_INTEGER = "requiring an integer answer and provide the final value, e.g., 1, 2, 3, at the end."
_LIST = (
    "requiring a Python list as an answer and provide the final list,"
    " e.g., [1, 2, 3], [1.2, 1.3, 1.4], at the end."
)
_DECIMALS = {
    1: "one decimal place and provide the final value, e.g., 1.2, 1.3, 1.4,",
    2: "two decimal places and provide the final value, e.g., 1.23, 1.34, 1.45,",
}


def name_of(row: rows.Row, _: str) -> str:
    """Return the problem's number."""
    return rows.text(row, "pid")


def strata(row: rows.Row, _: str) -> Strata:
    """Return task, answer type, language and grade."""
    facts = row.get("metadata")
    known: dict[str, object] = facts if isinstance(facts, dict) else {}
    return (
        ("task", rows.text(known, "task")),
        ("answer type", rows.text(row, "answer_type")),
        ("language", rows.text(known, "language")),
        ("grade", rows.text(known, "grade")),
    )


def question(row: rows.Row, origin: str, folder: Path, style: PromptStyle) -> Question:
    """Return a row as a question. `query` of the data set is its official prompt."""
    gold = MathVistaGold(
        rows.text(row, "answer"),
        rows.text(row, "answer_type"),
        rows.whole(row, "precision"),
        rows.texts(row, "choices"),
    )
    prompt = rows.text(row, "query") or _query(row, gold)
    if style is PromptStyle.VLMEVALKIT:
        prompt += SHORT
    pictures = rows.pictures(row, ("decoded_image", "image"), folder)
    return Question(name_of(row, origin), prompt, pictures, gold, strata(row, origin))


def _query(row: rows.Row, gold: MathVistaGold) -> str:
    """Return the official prompt of a row that comes without it."""
    if gold.choices:
        hint = f"Please answer the question and {_CHOICE}"
    elif gold.answer_type == "integer":
        hint = f"Please answer the question {_INTEGER}"
    elif gold.answer_type == "list":
        hint = f"Please answer the question {_LIST}"
    else:
        places = _DECIMALS[2 if gold.precision == 2 else 1]
        kind = "requiring a floating-point number with"
        hint = f"Please answer the question {kind} {places} at the end."
    unit = rows.text(row, "unit")
    asked = f"Question: {rows.text(row, 'question')}" + (f" (Unit: {unit})" if unit else "")
    lines = [f"Hint: {hint}", asked]
    if gold.choices:
        lines.append("Choices:")
        named = zip(ascii_uppercase, gold.choices, strict=False)
        lines += [f"({name}) {one}" for name, one in named]
    return "\n".join(lines)
