"""A batch's records as CSV, for a spreadsheet.

Law: it is a view of the JSON Lines file, written anew and whole, under its name only at the end.
A cell that a spreadsheet would take for a formula is led in by an apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from qvq_mlx.records.runs import Json

COLUMNS = (
    *("image", "question", "status", "answer", "boxed", "model", "stop_reason"),
    *("image_tokens", "prompt_tokens", "generated_tokens", "seconds", "error", "sha256", "id"),
)


def as_csv(records: Iterable[Json]) -> str:
    """A header and one row per record, as RFC 4180 has it."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for record in records:
        writer.writerow([_cell(record, column) for column in COLUMNS])
    return out.getvalue()


def _cell(record: Json, column: str) -> str:
    stats = record.get("stats") or {}
    value: object
    match column:
        case "image":
            value = " ".join(record["paths"])
        case "sha256":
            value = " ".join(image["sha256"] for image in record["images"])
        case "error":
            value = (record["error"] or {}).get("message", "")
        case "seconds":
            value = f"{stats['first_token_s'] + stats['decode_s']:.2f}" if stats else ""
        case "image_tokens" | "prompt_tokens" | "generated_tokens":
            value = stats.get(column, "")
        case _:
            value = record[column]
    text = "" if value is None else str(value)
    formula = text.startswith(("=", "+", "-", "@", "\t", "\r")) and not _number(text)
    return f"'{text}" if formula else text


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
