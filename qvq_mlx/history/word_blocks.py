"""Blocks of the history's index: which run holds which words.

Law: a block is one row of `blocks` and one FTS5 table, `words_NUMBER`, both written in one
transaction. A piece of a word is looked for in the block's words first, and the table says which
runs hold the words that were found; so what stands inside a word is found too.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.core.errors import InputError
from qvq_mlx.history.files import File, whole_stems
from qvq_mlx.history.reading import load

SCHEMA = """
CREATE TABLE blocks(
    number INTEGER PRIMARY KEY, stems TEXT, facts TEXT, unknown TEXT, words BLOB, size_bytes INTEGER
);
"""
_BLOCK_RUNS, _BLOCK_BYTES = 2_000, 2**25
_COMPARED_RUNS = 10_000
_MAX_WORD_CHARACTERS = 1_000
"""FTS5 cuts words of 32 KiB: a run with a longer word than this may hold every word."""
_MAX_WORDS = 300
"""Where more words of a block hold what is searched for, every run of the block may hold it."""
_NO_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Block:
    """Runs whose words are in one FTS5 table: a run's place here is its row there.

    `facts` are a run's bytes and time of change, as text: few are compared. `unknown` are the runs
    that may hold every word. `words` are all words of the block, a line each, in UTF-8.
    """

    number: int
    stems: list[str]
    facts: list[str]
    unknown: frozenset[str]
    words: bytes
    size_bytes: int

    @property
    def has_room(self) -> bool:
        """True if another run may be added."""
        return len(self.stems) < _BLOCK_RUNS and self.size_bytes < _BLOCK_BYTES


def up_to_date(
    database: sqlite3.Connection, folder: Path, is_reading: Callable[[int], None]
) -> list[Block]:
    """Drop what is gone or changed, and read the runs that are in no block."""
    stems = whole_stems(folder)
    blocks = current(database, folder, stems)
    fresh = set(stems).difference(*(block.stems for block in blocks))
    if not fresh:
        return blocks
    is_reading(len(fresh))
    files = [File(stem, folder, True) for stem in sorted(fresh, reverse=True)]
    while files:
        open_one = next((block for block in blocks if block.has_room), None)
        with transaction(database):
            filled = _filled(database, open_one or _new_block(database, blocks), files)
        blocks = [block for block in blocks if block is not open_one] + [filled]
    return blocks


def current(database: sqlite3.Connection, folder: Path, newest_first: Sequence[str]) -> list[Block]:
    """The blocks whose runs are all there, as they were; the others are dropped."""
    known = set(newest_first)
    compared = set(newest_first[:_COMPARED_RUNS])
    kept: list[Block] = []
    for block in _blocks(database):
        if known.issuperset(block.stems) and all(
            facts == _facts(File(stem, folder, True))
            for stem, facts in zip(block.stems, block.facts, strict=True)
            if stem in compared
        ):
            kept.append(block)
            continue
        with transaction(database):
            database.execute(f"DROP TABLE words_{block.number}")
            database.execute("DELETE FROM blocks WHERE number = ?", (block.number,))
    return kept


def runs_without(
    database: sqlite3.Connection, blocks: Sequence[Block], needles: Sequence[str]
) -> frozenset[str]:
    """The names of runs that do not hold every needle."""
    pieces = {piece.encode() for needle in needles for piece in _pieces(needle)}
    found: set[str] = set()
    for block in blocks:
        holding = set(range(len(block.stems)))
        for piece in pieces:
            words = _words_holding(piece, block.words)
            if words is not None:
                holding &= _rows_of(database, block, words)
        found.update(stem for row, stem in enumerate(block.stems) if row not in holding)
        found -= block.unknown
    return frozenset(found)


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Commit all of it, or nothing where it raises."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _facts(file: File) -> str:
    """The size and the time of change of a run that is gone are those of none."""
    with suppress(OSError):
        found = os.stat(file.place)  # noqa: PTH116
        return f"{found.st_size} {found.st_mtime_ns}"
    return ""


def _blocks(database: sqlite3.Connection) -> list[Block]:
    """Every block. Raises ValueError for one that is not as `_filled` writes it."""
    return [
        Block(number, stems.split(), facts.split("\n"), frozenset(unknown.split()), words, size)
        for number, stems, facts, unknown, words, size in database.execute("SELECT * FROM blocks")
    ]


def _new_block(database: sqlite3.Connection, blocks: Sequence[Block]) -> Block:
    number = 1 + max((block.number for block in blocks), default=0)
    database.execute(
        f"CREATE VIRTUAL TABLE words_{number} USING fts5"
        "(words, content='', detail=none, columnsize=0, tokenize='ascii')"
    )
    return Block(number, [], [], frozenset(), b"", 0)


def _filled(database: sqlite3.Connection, block: Block, files: list[File]) -> Block:
    """Take runs from the end of `files`, the oldest, into a block until it is full."""
    stems, facts, unknown = list(block.stems), list(block.facts), set(block.unknown)
    size_bytes = block.size_bytes
    words = set(block.words.decode().split())
    insert = f"INSERT INTO words_{block.number}(rowid, words) VALUES (?, ?)"  # noqa: S608
    while files and len(stems) < _BLOCK_RUNS and size_bytes < _BLOCK_BYTES:
        file = files.pop()
        found = _facts(file)  # before the run is read: a change meanwhile is seen next time
        own = _words_of(file)
        short = {word for word in own or () if len(word) <= _MAX_WORD_CHARACTERS}
        if own is None or len(short) < len(own):
            unknown.add(file.stem)
        database.execute(insert, (len(stems), " ".join(short)))
        stems.append(file.stem)
        facts.append(found)
        words |= short
        size_bytes += int(found.partition(" ")[0] or 0)
    filled = Block(
        block.number, stems, facts, frozenset(unknown), "\n".join(words).encode(), size_bytes
    )
    row = (
        *(filled.number, "\n".join(stems), "\n".join(facts), "\n".join(unknown)),
        *(filled.words, size_bytes),
    )
    database.execute("REPLACE INTO blocks VALUES (?, ?, ?, ?, ?, ?)", row)
    return filled


def _words_of(file: File) -> set[str] | None:
    """Every piece of letters and digits in what a search looks at, case-folded.

    None for a run that cannot be read.
    """
    try:
        run = load(file.path)
    except InputError:
        return None
    said = run.transcript
    texts = "\n".join((run.request.question, said.answer, said.thinking))
    return set(_pieces(texts.casefold()))


def _pieces(folded: str) -> list[str]:
    return _NO_LETTERS.sub(" ", folded).split()


def _rows_of(database: sqlite3.Connection, block: Block, words: Sequence[str]) -> set[int]:
    """The rows of a block that hold one of the words."""
    if not words:
        return set()
    query = " OR ".join(f'"{word}"' for word in words)
    select = f"SELECT rowid FROM words_{block.number} WHERE words_{block.number} MATCH ?"  # noqa: S608
    return {row for (row,) in database.execute(select, (query,))}


def _words_holding(piece: bytes, lines: bytes) -> list[str] | None:
    """The words of a block in which a piece of one stands; None for more than `_MAX_WORDS`."""
    found: list[str] = []
    at = lines.find(piece)
    while at >= 0:
        end = lines.find(b"\n", at)
        end = len(lines) if end < 0 else end
        found.append(lines[lines.rfind(b"\n", 0, at) + 1 : end].decode())
        if len(found) > _MAX_WORDS:
            return None
        at = lines.find(piece, end)
    return found
