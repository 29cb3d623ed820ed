"""Saved runs as a table: all of them, or those that hold the words of a search.

Law: a script gets whole ids, questions and times; a terminal short ids, the minute, and so much of
each question that a row is a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qvq_mlx.core.env import Env
from qvq_mlx.records.history import Ending, Entry, Hit
from qvq_mlx.render import listing
from qvq_mlx.render.clean import clean_line

HEADS = ("id", "time", "model", "images", "question", "ended", "tokens")
FOUND_HEADS = ("id", "time", "model", "found in", "text")
_QUESTION_CHARACTERS = 60
_IMAGE_CHARACTERS = 20
_LEAST_CHARACTERS = 12


def write_runs(env: Env, runs: Sequence[Entry], names: Mapping[str, str]) -> None:
    """The runs as rows. `names` gives the id to show for a run's path, where it is not its own."""
    rows = [_row(env, entry, names) for entry in runs]
    listing.write_table(env, HEADS, _fitted(rows, env) if env.stdout.isatty() else rows)


def write_hits(env: Env, hits: Sequence[Hit], names: Mapping[str, str]) -> None:
    """Return a search's hits as rows, each with its place and the text around it."""
    rows = [
        (
            names.get(hit.entry.path, hit.entry.id),
            _time(env, hit.entry.time),
            hit.entry.model,
            ", ".join(hit.places),
            hit.excerpt,
        )
        for hit in hits
    ]
    if rows or not env.stdout.isatty():
        listing.write_table(env, FOUND_HEADS, rows)


def _row(env: Env, entry: Entry, names: Mapping[str, str]) -> tuple[str, ...]:
    question, images = entry.question, ", ".join(entry.images)
    if env.stdout.isatty():
        question = _beginning(question, _QUESTION_CHARACTERS)
        images = _images(entry.images)
    tokens = [entry.thinking_tokens, entry.answer_tokens]
    known = [count for count in tokens if count is not None]
    total = sum(known)
    return (
        names.get(entry.path, entry.id),
        _time(env, entry.time),
        entry.model,
        images,
        question,
        _ended(entry, short=env.stdout.isatty()),
        "" if not known else f"{total:,}" if env.stdout.isatty() else str(total),
    )


def _ended(entry: Entry, *, short: bool) -> str:
    """`answer`, `answer (budget)` for one that was forced, in short `forced`, `length`."""
    by = entry.concluded_by
    if by is None or entry.ending is not Ending.ANSWER:
        return entry.ending.value
    return "forced" if short else f"{entry.ending.value} ({by})"


def _images(names: tuple[str, ...]) -> str:
    """`cat.png`, `cat.png +2`."""
    first = names[0].rstrip("/").rpartition("/")[2] if names else ""
    return _beginning(first, _IMAGE_CHARACTERS) + (f" +{len(names) - 1}" if len(names) > 1 else "")


def _beginning(text: str, characters: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= characters else line[: characters - 1] + "…"


def _fitted(rows: list[tuple[str, ...]], env: Env) -> list[tuple[str, ...]]:
    """The rows with questions so short that a row is a line, where that leaves something of them.

    What is cut here is one command away, and a table is read faster than blocks.
    """
    from qvq_mlx.render.rows import cells, cut

    at = HEADS.index("question")
    columns = [column for index, column in enumerate(zip(HEADS, *rows, strict=True)) if index != at]
    taken = sum(max(cells(clean_line(cell)) for cell in column) + 2 for column in columns)
    room = env.terminal_size().columns - 1 - taken
    if room < _LEAST_CHARACTERS:
        return rows
    fitted = []
    for row in rows:
        question = clean_line(row[at])
        if cells(question) > room:
            question = cut(question, room - 1) + "…"
        fitted.append((*row[:at], question, *row[at + 1 :]))
    return fitted


def _time(env: Env, text: str) -> str:
    """The minute for a person, without the year where it is this one; all of it for a script."""
    if not env.stdout.isatty():
        return text
    minute = text[:16].replace("T", " ")
    return minute.removeprefix(f"{env.now().year}-")
