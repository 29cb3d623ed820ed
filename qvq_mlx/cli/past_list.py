"""The history as a table: for `qvq log list` and `qvq log search`. No typer here either."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from qvq_mlx.core.env import Env
    from qvq_mlx.history.searching import Entry

COUNT = 20
"""Runs that are listed where nobody says how many."""
HEADS = ("id", "time", "model", "images", "question", "ended", "tokens")
FOUND_HEADS = ("id", "time", "model", "found in", "text")
_QUESTION_CHARACTERS = 60
_IMAGE_CHARACTERS = 20
_LEAST_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs: at most `count` (0: all), of a model whose name holds `model`, from `since` on,
    an age as `history.erasing.parse_age` reads it.
    """

    count: int = COUNT
    model: str | None = None
    since: str | None = None
    as_json: bool = False


def list_runs(env: Env, wanted: Wanted) -> None:
    """Newest first. A terminal gets short ids and the beginning of the question."""
    from qvq_mlx.history.searching import EntryList, entries
    from qvq_mlx.render import listing
    from qvq_mlx.settings import config

    folder = config.read(env).history_folder
    after = None if wanted.since is None else env.now() - age_of(wanted.since, "--since")
    found = entries(folder, model=wanted.model, since=after)
    runs = tuple(islice(found, wanted.count or None))
    if wanted.as_json:
        listing.write_json(env, EntryList(runs))
        return
    if env.stdout.isatty() and not runs:
        listing.write_text(env, f"No run is saved in {folder}.")
        return
    names = _names(env, folder)
    rows = [_row(env, entry, names) for entry in runs]
    listing.write_table(env, HEADS, _fitted(rows, env) if env.stdout.isatty() else rows)
    if env.stdout.isatty() and next(found, None) is not None:
        listing.write_text(env, f"The newest {len(runs)}; qvq log list -n 0 lists all.")


def search_runs(env: Env, words: list[str], count: int, *, as_json: bool) -> bool:
    """Newest first. False where nothing was found."""
    from qvq_mlx.history.searching import HitList, search
    from qvq_mlx.render import listing
    from qvq_mlx.settings import config

    folder = config.read(env).history_folder
    found = search(folder, words)
    hits = tuple(islice(found, count or None))
    if as_json:
        listing.write_json(env, HitList(hits))
        return bool(hits)
    names = _names(env, folder)
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
    if env.stdout.isatty() and next(found, None) is not None:
        listing.write_text(env, f"The newest {len(hits)}; qvq log search -n 0 finds all.")
    return bool(hits)


def age_of(text: str, option: str) -> timedelta:
    """Raises UsageError for what is no age."""
    from qvq_mlx.core.errors import UsageError
    from qvq_mlx.history.erasing import parse_age

    age = parse_age(text)
    if age is None:
        raise UsageError(
            f"{option} is {text!r}; it can be an age such as 30d, 12h or 4w", "qvq log list -n 0"
        )
    return age


def _names(env: Env, folder: Path) -> dict[str, str]:
    """By path, the id as a person types it; a script gets all of it."""
    from qvq_mlx.history.files import files, short_ids

    if not env.stdout.isatty():
        return {}
    known = files(folder)
    short = short_ids(known)
    return {str(file.path): short[file.stem] for file in known}


def _row(env: Env, entry: Entry, names: dict[str, str]) -> tuple[str, ...]:
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
        entry.ending.value,
        "" if not known else f"{total:,}" if env.stdout.isatty() else str(total),
    )


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
    from qvq_mlx.render.clean import clean_line
    from qvq_mlx.render.rows import cells, cut

    at = HEADS.index("question")
    columns = [column for index, column in enumerate(zip(HEADS, *rows, strict=True)) if index != at]
    taken = sum(max(cells(clean_line(cell)) for cell in column) + 2 for column in columns)
    room = env.terminal_size().columns - taken
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
