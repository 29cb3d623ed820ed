"""MMMU: 900 questions of 30 college subjects, one folder of parquet files for each."""

from __future__ import annotations

from pathlib import Path
from string import ascii_uppercase

from qvq_mlx.evaluate import rows
from qvq_mlx.evaluate.gold import MmmuGold
from qvq_mlx.evaluate.question import PromptStyle, Question, Strata

_DISCIPLINES = {
    "Art & Design": ("Art", "Art_Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
    "Health & Medicine": (
        *("Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine"),
        *("Pharmacy", "Public_Health"),
    ),
    "Humanities & Social Science": ("History", "Literature", "Psychology", "Sociology"),
    "Tech & Engineering": (
        *("Agriculture", "Architecture_and_Engineering", "Computer_Science", "Electronics"),
        *("Energy_and_Power", "Materials", "Mechanical_Engineering"),
    ),
}
_OF_SUBJECT = {name: group for group, names in _DISCIPLINES.items() for name in names}


def name_of(row: rows.Row, _: str) -> str:
    """Return the question's own id, such as `validation_Math_7`."""
    return rows.text(row, "id")


def strata(row: rows.Row, _: str) -> Strata:
    """Return discipline, subject, difficulty and type."""
    subject = rows.text(row, "id").partition("_")[2].rpartition("_")[0]
    return (
        ("discipline", _OF_SUBJECT.get(subject, "other")),
        ("subject", subject.replace("_", " ")),
        ("difficulty", rows.text(row, "topic_difficulty")),
        ("type", rows.text(row, "question_type")),
    )


def question(row: rows.Row, origin: str, folder: Path, style: PromptStyle) -> Question:
    """Return a row as a question."""
    options = rows.texts(row, "options")
    gold = MmmuGold(rows.texts(row, "answer"), options)
    prompt = _official(row, options) if style is PromptStyle.OFFICIAL else _vlmevalkit(row, options)
    pictures = rows.pictures(row, ("image_n",), folder)
    return Question(name_of(row, origin), prompt, pictures, gold, strata(row, origin))


def _official(row: rows.Row, options: tuple[str, ...]) -> str:
    """Source: `configs/llava1.5.yaml` of the benchmark."""
    asked = rows.asked(row, "question")
    if not options:
        return f"{asked}\n\nAnswer the question using a single word or phrase."
    lines = [f"({name}) {one}" for name, one in zip(ascii_uppercase, options, strict=False)]
    order = "Answer with the option's letter from the given choices directly."
    return "\n".join([asked, "", *lines, "", order])


def _vlmevalkit(row: rows.Row, options: tuple[str, ...]) -> str:
    lines = [f"Question: {rows.asked(row, 'question')}"]
    if options:
        lines.append("Options:")
        lines += [f"{name}. {one}" for name, one in zip(ascii_uppercase, options, strict=False)]
        lines.append("Please select the correct answer from the options above.")
    return "\n".join(lines)
