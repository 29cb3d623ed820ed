"""Lists the saved runs, all of them or those that hold some words, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import InputError, UsageError
from qvq_mlx.core.remedies import Show
from qvq_mlx.core.sizes import counted
from qvq_mlx.history.files import File, names_in, short_ids
from qvq_mlx.history.searching import entries, search
from qvq_mlx.records.history import Entry, EntryList, HitList
from qvq_mlx.render import listing
from qvq_mlx.render.clean import clean_line
from qvq_mlx.render.runs import write_hits, write_runs

_WORTH_SAYING_RUNS = 2_000
"""Fewer are read in a second or two."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter: at most `count` runs (0: all), of a model whose name holds `model`, not older than
    `since`. `more`: how to see all, said to a person where there are more.
    """

    count: int
    model: str | None = None
    since: timedelta | None = None
    as_json: bool = False
    more: str = ""


def list_runs(env: Env, folder: Path, wanted: Wanted) -> None:
    """Newest first. A terminal gets short ids and the beginning of the question."""
    after = None if wanted.since is None else env.now() - wanted.since
    left_out: list[File] = []
    names = names_in(folder)
    found = entries(folder, names, model=wanted.model, since=after, is_left_out=left_out.append)
    runs = tuple(islice(found, wanted.count or None))
    _say_left_out(env, left_out)
    if wanted.as_json:
        listing.write_json(env, EntryList(runs))
        return
    if env.stdout.isatty() and not runs:
        listing.write_text(env, f"No run is saved in {folder}.")
        return
    write_runs(env, runs, _short(env, folder, names, runs))
    if env.stdout.isatty() and next(found, None) is not None:
        listing.write_text(env, f"The newest {len(runs)}; {wanted.more}.")


def search_runs(env: Env, folder: Path, words: Sequence[str], wanted: Wanted) -> None:
    """Newest first. Raises UsageError without a word, and InputError where a table were empty."""
    if not any(word.strip() for word in words):
        raise UsageError("there is no word to search for", Show.RUNS)
    left_out: list[File] = []
    names = names_in(folder)
    found = search(folder, names, words, lambda runs: _say_reading(env, runs), left_out.append)
    hits = tuple(islice(found, wanted.count or None))
    _say_left_out(env, left_out)
    if wanted.as_json:
        listing.write_json(env, HitList(hits))
        return
    if not hits:
        raise InputError(f"no saved run holds {' '.join(words)!r}", Show.RUNS)
    write_hits(env, hits, _short(env, folder, names, [hit.entry for hit in hits]))
    if env.stdout.isatty() and next(found, None) is not None:
        listing.write_text(env, f"The newest {len(hits)}; {wanted.more}.")


def _say_left_out(env: Env, files: Sequence[File]) -> None:
    """Count the files that have a run's name and cannot be read. One being written is none yet."""
    whole = [file for file in files if file.is_whole]
    if whole:
        count = counted(len(whole), "unreadable file")
        line = f"warning: left out {count}, the newest {whole[0].place}"
        env.stderr.write(clean_line(line) + "\n")


def _say_reading(env: Env, runs: int) -> None:
    """Tell a person who has to wait why, once."""
    if runs >= _WORTH_SAYING_RUNS and env.stderr.isatty():
        env.stderr.write(f"{runs:,} runs are read once for the index; later searches are quick\n")


def _short(env: Env, folder: Path, names: Sequence[str], shown: Sequence[Entry]) -> dict[str, str]:
    """By path, the id as a person types it; a script gets all of it."""
    if not env.stdout.isatty():
        return {}
    files = [File(path.stem, folder, True) for path in (Path(entry.path) for entry in shown)]
    short = short_ids(names, files)
    return {entry.path: short.get(Path(entry.path).stem, entry.id) for entry in shown}
