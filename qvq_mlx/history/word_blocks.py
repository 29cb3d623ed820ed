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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.core.errors import InputError
from qvq_mlx.history.files import WHOLE
from qvq_mlx.history.reading import spoken

SCHEMA = """
CREATE TABLE blocks(
    number INTEGER PRIMARY KEY, names TEXT, facts TEXT, unknown TEXT, words BLOB, size_bytes INTEGER
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
    """Runs whose words are in one FTS5 table: the place of a file's name here is its row there.

    `facts` are a file's bytes and time of change, as text: few are compared. `unknown` are the
    names of runs that may hold every word. `words` are all words of the block, a line each, in
    UTF-8.
    """

    number: int
    names: list[str]
    facts: list[str]
    unknown: frozenset[str]
    words: bytes
    size_bytes: int

    @property
    def has_room(self) -> bool:
        """True if another run may be added."""
        return len(self.names) < _BLOCK_RUNS and self.size_bytes < _BLOCK_BYTES

    @property
    def newest(self) -> str:
        """Return the name that sorts last."""
        return max(self.names, default="")


def up_to_date(
    database: sqlite3.Connection,
    folder: Path,
    names: Sequence[str],
    is_reading: Callable[[int], None],
    seal: Callable[[], None],
) -> tuple[list[Block], set[str]]:
    """Drop what is gone or changed, and read the runs that are in no block.

    `names` are those of the folder's files. Calls `seal` after each block, so that a process
    that is killed loses one. Returns the blocks, and the names that are in none.
    """
    blocks, others = current(database, folder, names)
    ours = [name for name in others if name.endswith(WHOLE) and name.isprintable()]
    if not ours:
        return blocks, others
    is_reading(len(ours))
    others.difference_update(ours)
    fresh = sorted(ours, reverse=True)
    while fresh:
        open_one = next((block for block in blocks if block.has_room), None)
        with transaction(database):
            filled = _filled(database, folder, open_one or _new_block(database, blocks), fresh)
        seal()
        blocks = [block for block in blocks if block is not open_one] + [filled]
    return blocks, others


def current(
    database: sqlite3.Connection, folder: Path, names: Sequence[str]
) -> tuple[list[Block], set[str]]:
    """The blocks whose runs are all there, as they were, and the names that are in none of them.

    The other blocks are dropped.
    """
    others = set(names)
    kept: list[Block] = []
    compared = 0
    for block in sorted(_blocks(database), key=lambda block: block.newest, reverse=True):
        is_compared = compared < _COMPARED_RUNS
        compared += len(block.names)
        count = len(others)
        others.difference_update(block.names)
        are_there = count - len(others) == len(block.names)
        if are_there and not (is_compared and _is_changed(block, folder)):
            kept.append(block)
            continue
        others |= set(block.names).intersection(names)
        with transaction(database):
            database.execute(f"DROP TABLE words_{block.number}")
            database.execute("DELETE FROM blocks WHERE number = ?", (block.number,))
    return kept, others


def holding(
    database: sqlite3.Connection, blocks: Sequence[Block], needles: Sequence[str]
) -> list[str]:
    """The names in the blocks whose runs may hold every needle."""
    pieces = {piece.encode() for needle in needles for piece in _pieces(needle)}
    found: list[str] = []
    for block in blocks:
        rows: set[int] | None = None
        for piece in pieces:
            words = _words_holding(piece, block.words)
            if words is not None:
                own = _rows_of(database, block, words)
                rows = own if rows is None else rows & own
        if rows is None or len(rows) == len(block.names):
            found += block.names
        else:
            held = [block.names[row] for row in rows]
            found += held
            found += block.unknown.difference(held)
    return found


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


def _is_changed(block: Block, folder: Path) -> bool:
    place = f"{folder}{os.sep}"
    return [_facts(place + name) for name in block.names] != block.facts


def _facts(place: str) -> str:
    """The size and the time of change of a run that is gone are those of none."""
    try:
        found = os.stat(place)  # noqa: PTH116
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def _blocks(database: sqlite3.Connection) -> list[Block]:
    """Every block. Raises ValueError for one that is not as `_filled` writes it."""
    return [
        Block(
            number,
            names.split("\n"),
            facts.split("\n"),
            frozenset(unknown.split("\n")) - {""},
            words,
            size_bytes,
        )
        for number, names, facts, unknown, words, size_bytes in database.execute(
            "SELECT * FROM blocks"
        )
    ]


def _new_block(database: sqlite3.Connection, blocks: Sequence[Block]) -> Block:
    number = 1 + max((block.number for block in blocks), default=0)
    database.execute(
        f"CREATE VIRTUAL TABLE words_{number} USING fts5"
        "(words, content='', detail=none, columnsize=0, tokenize='ascii')"
    )
    database.execute(
        f"INSERT INTO words_{number}(words_{number}, rank) VALUES ('hashsize', {_BLOCK_BYTES})"  # noqa: S608
    )  # a block is written in one piece
    return Block(number, [], [], frozenset(), b"", 0)


def _filled(database: sqlite3.Connection, folder: Path, block: Block, fresh: list[str]) -> Block:
    """Take runs from the end of `fresh`, the oldest, into a block until it is full."""
    names, facts, unknown = list(block.names), list(block.facts), set(block.unknown)
    size_bytes = block.size_bytes
    words = set(block.words.decode().split())
    insert = f"INSERT INTO words_{block.number}(rowid, words) VALUES (?, ?)"  # noqa: S608
    while fresh and len(names) < _BLOCK_RUNS and size_bytes < _BLOCK_BYTES:
        name = fresh.pop()
        found = _facts(
            f"{folder}{os.sep}{name}"
        )  # before the run is read: a change meanwhile is seen next time
        own = _words_of(folder / name)
        short = own or set()
        if own is None or max(map(len, own), default=0) > _MAX_WORD_CHARACTERS:
            unknown.add(name)
            short = {word for word in short if len(word) <= _MAX_WORD_CHARACTERS}
        database.execute(insert, (len(names), " ".join(short)))
        names.append(name)
        facts.append(found)
        words |= short
        size_bytes += int(found.partition(" ")[0] or 0)
    filled = Block(
        block.number, names, facts, frozenset(unknown), "\n".join(words).encode(), size_bytes
    )
    row = (
        *(filled.number, "\n".join(names), "\n".join(facts), "\n".join(unknown)),
        *(filled.words, size_bytes),
    )
    database.execute("REPLACE INTO blocks VALUES (?, ?, ?, ?, ?, ?)", row)
    return filled


def _words_of(path: Path) -> set[str] | None:
    """Return every piece of letters and digits in what a search looks at, case-folded.

    None for a run that cannot be read.
    """
    try:
        texts = spoken(path)
    except InputError:
        return None
    said = {chunk for text in texts for chunk in text.split()}
    words = set(" ".join(said).casefold().split())  # each once, however often it is said
    mixed = [word for word in words if not word.isalnum()]
    words.difference_update(mixed)
    words.update(_pieces(" ".join(mixed)))
    return words


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
