"""Small data sets in the benchmarks' own formats, made of the examples' pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from tests.conftest import EXAMPLES

SHAPES = (EXAMPLES / "shapes.png").read_bytes()
CHART = (EXAMPLES / "chart.png").read_bytes()


def picture(content: bytes, name: str = "a.png") -> dict[str, object]:
    """A cell as the Hub's image columns have it."""
    return {"bytes": content, "path": name}


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    """Write rows as a parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def mathvision(folder: Path, count: int = 8) -> Path:
    """`count` questions of two subjects, as parquet."""
    rows: list[dict[str, object]] = [
        {
            "id": str(number),
            "question": f"How many circles are there beside {number}?\n<image1>",
            "options": ["A", "B", "C", "D", "E"] if number % 2 else [],
            "image": f"images/{number}.png",
            "decoded_image": picture(SHAPES if number % 3 else CHART),
            "answer": "B" if number % 2 else str(number % 4),
            "solution": None,
            "level": 1 + number % 5,
            "subject": "counting" if number % 4 else "logic",
        }
        for number in range(count)
    ]
    write(folder / "data" / "test-00000-of-00001.parquet", rows)
    return folder


def mathvision_repository(folder: Path) -> Path:
    """Two questions as the benchmark's own repository has them."""
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "1.png").write_bytes(SHAPES)
    rows = [
        {"id": "1", "question": "Which?\n<image1>", "options": ["x", "y"], "image": "images/1.png"},
        {"id": "2", "question": "How many?", "options": [], "image": "images/1.png"},
    ]
    facts = {"answer": "A", "level": 3, "subject": "logic"}
    lines = [json.dumps({**row, **facts}) for row in rows]
    (folder / "testmini.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def mmmu(folder: Path) -> Path:
    """A question with two pictures, one of them in an option, and an open one."""
    empty = {f"image_{number}": None for number in range(3, 8)}
    rows: list[dict[str, object]] = [
        {
            "id": "validation_Math_1",
            "question": "Which is like <image 1>?",
            "options": "['<image 2>', 'it\\'s none, really']",
            "image_1": picture(SHAPES),
            "image_2": picture(CHART),
            **empty,
            "answer": "B",
            "topic_difficulty": "Hard",
            "question_type": "multiple-choice",
        },
        {
            "id": "validation_Math_2",
            "question": "How large is <image 1>?",
            "options": "[]",
            "image_1": picture(SHAPES),
            "image_2": None,
            **empty,
            "answer": "['24/7', '3.429']",
            "topic_difficulty": "Easy",
            "question_type": "open",
        },
    ]
    write(folder / "Math" / "validation-00000-of-00001.parquet", rows)
    return folder


def mathvista(folder: Path) -> Path:
    """One question of each answer type."""
    kinds: list[dict[str, object]] = [
        {"answer_type": "text", "choices": ["1 m", "2 m"], "answer": "2 m", "precision": None},
        {"answer_type": "integer", "choices": None, "answer": "14", "precision": None},
        {"answer_type": "float", "choices": None, "answer": "0.25", "precision": 2.0},
    ]
    rows: list[dict[str, object]] = [
        {
            "pid": str(number),
            "question": "How long?",
            "unit": "m" if number == 2 else None,
            "decoded_image": picture(SHAPES),
            "metadata": {"task": "measuring", "language": "english", "grade": "college"},
            **kind,
        }
        for number, kind in enumerate(kinds, 1)
    ]
    write(folder / "data" / "testmini-00000-of-00001.parquet", rows)
    return folder


def olympiadbench(folder: Path) -> Path:
    """A problem in English with a picture, and one in Chinese without."""
    row: dict[str, object] = {
        "id": 7,
        "context": "A ball falls.",
        "question": "How fast is it? <image_1>",
        "final_answer": ["3,4"],
        "is_multiple_answer": True,
        "unit": "m/s",
        "answer_type": "Numerical,Expression",
        "error": "1e-1,",
        "images": [picture(SHAPES)],
    }
    english, chinese = "OE_MM_physics_en_COMP", "OE_TO_maths_zh_CEE"
    write(folder / english / f"{english}.parquet", [row])
    other = {**row, "is_multiple_answer": False, "unit": None, "error": None, "images": []}
    other |= {"answer_type": "Interval", "final_answer": ["$[1,2]$"], "question": "多少？"}
    write(folder / chinese / f"{chinese}.parquet", [other])
    write(folder / "TP_MM_maths_en_COMP" / "TP_MM_maths_en_COMP.parquet", [row])
    return folder
