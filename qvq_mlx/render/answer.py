"""The answer as it grows: finished blocks may go to the scrollback, the last one is live.

Law: what was taken is never shown again, and together the rows that were taken and the rows that
are left are the answer's, each once. A block that is higher than the screen by far, a list or code
without end, is taken in parts. Of a block that cannot be, a table or a paragraph, a frame lays out
its end alone, so that a frame takes no longer however long the block is.
"""

from __future__ import annotations

import re

from qvq_mlx.render.markdown import (
    block_rows,
    blocks,
    box_text,
    kept_block,
    kept_rows,
    markdown_rows,
    only_box,
    parted,
)
from qvq_mlx.render.rows import BLANK, Row, bold, wrap

_GROWN = 1.26
"""A long text grows by this factor before its blocks are looked for again: the third root of 2,
so that all looks together take as long as a few at the whole."""
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_DELIMITERS = re.compile(r"[\s:|-]*")


class Answer:
    """Cleaned answer text, and how much of it is in the scrollback."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._added: list[str] = []  # joined where it is read: a copy per piece is quadratic
        self._some = False
        self._started = False
        self._number = 0
        self._look_at = 0  # how long the rest is when its blocks are looked for again
        self._end = _End()

    def __bool__(self) -> bool:
        """True if there is anything of it to see."""
        return self._some

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._pieces)

    @property
    def started(self) -> bool:
        """True if a part of it is in the scrollback already."""
        return self._started

    @property
    def number(self) -> int:
        """How many answers were replaced before this one."""
        return self._number

    @property
    def _rest(self) -> str:
        """The text that is not in the scrollback yet."""
        if len(self._added) > 1:
            self._added = ["".join(self._added)]
        return self._added[0] if self._added else ""

    @_rest.setter
    def _rest(self, text: str) -> None:
        self._added = [text]

    def add(self, text: str) -> None:
        """The answer goes on."""
        self._pieces.append(text)
        self._added.append(text)
        self._some = self._some or bool(text.strip())

    def replace(self, text: str) -> None:
        """Another answer, of which nothing is in the scrollback."""
        self._pieces, self._rest = [text], text
        self._number += 1
        self._some, self._started = bool(text.strip()), False
        self._look_at, self._end = 0, _End()

    def rows(self, width: int) -> list[Row]:
        """Return the rows that are not in the scrollback yet."""
        box = None if self._started else only_box(self._rest)
        if box is not None:
            return [bold(row) for row in wrap(box_text(box), width)]
        return markdown_rows(self._rest, width)

    def kept(self, width: int) -> list[Row]:
        """`rows` as they stay in the scrollback, where a paragraph is one row."""
        box = None if self._started else only_box(self._rest)
        return self.rows(width) if box is not None else kept_rows(self._rest, width)

    def last_rows(self, width: int, count: int) -> list[Row]:
        """Return at most `count` rows: the last of `rows`, or of a long text its end laid out."""
        most = _most_chars(width, count)
        if len(self._rest) <= most:
            return self.rows(width)[-count:]
        return markdown_rows(self._end.of(self._rest, most), width)[-count:]

    def overflow(self, width: int, budget: int) -> list[Row]:
        """Take finished blocks from the top until the rest fits into `budget` rows.

        Of a rest that is long, blocks are looked for when it has grown by a quarter.
        """
        if _most_chars(width, budget) < len(self._rest) < self._look_at:
            return []
        taken = self._taken(width, budget)
        self._look_at = int(_GROWN * len(self._rest))
        if taken:
            self._end = _End()
        return taken

    def _taken(self, width: int, budget: int) -> list[Row]:
        enough = 4 * _most_chars(width, budget)  # what is higher than two screens is so by its top

        def height(block: str) -> int:
            return len(block_rows(block[:enough], width))

        found = blocks(self._rest)
        heights = [height(block) for block in found]
        needed = sum(each + 1 for each in heights if each) - 1
        first, taken = 0, list[Row]()
        while first < len(found) - 1 and needed > budget:
            rows = kept_block(found[first], width)
            needed -= heights[first] + 1 if heights[first] else 0
            taken += [*rows, BLANK] if rows else []
            first += 1
        self._started = self._started or first > 0
        self._rest = "".join(found[first:])
        if first < len(found) - 1:
            return taken
        while height(self._rest) > 2 * budget and (parts := parted(self._rest)) is not None:
            finished, self._rest = parts
            taken += kept_block(finished, width)
            self._started = True
        return taken


class _End:
    """The end of a text that grows, as Markdown that can be laid out by itself."""

    def __init__(self) -> None:
        self._most = 0
        self._forget()

    def _forget(self) -> None:
        self._begin = 0
        self._line_before = self._fence = self._table = ""

    def of(self, text: str, most: int) -> str:
        """Return the last `most` to 1.5 * `most` characters; a table's with its heads.

        `text` is the one of the last call, or that one with more behind it. Where the end begins
        moves by jumps, as each move breaks the rows anew.
        """
        if most > self._most:  # the window has become larger
            self._forget()
            self._most = most
        if len(text) - self._begin > most + most // 2:
            self._move(text, len(text) - most)
        return (self._fence or self._table) + text[self._begin :]

    def _move(self, text: str, to: int) -> None:
        begin = text.rfind("\n", self._begin, to) + 1
        if to - begin > self._most // 4:  # a line that is long itself
            begin = text.find(" ", to, to + self._most // 4) + 1 or to
        for line in text[self._begin : begin].split("\n")[:-1]:
            self._pass(line)
        self._begin = begin

    def _pass(self, line: str) -> None:
        """Note what is open behind a line: code, or a table."""
        mark = _FENCE.match(line)
        if self._fence:
            if mark is not None and line.strip().startswith(self._fence.strip()[:3]):
                self._fence = ""
        elif mark is not None:
            self._fence = line + "\n"
        elif "|" not in line:
            self._table = ""
        elif "-" in line and _DELIMITERS.fullmatch(line):
            self._table = f"{self._line_before}\n{line}\n"
        self._line_before = line


def _most_chars(width: int, rows: int) -> int:
    """Return how many characters `rows` rows and a few more can hold."""
    return width * (rows + 4)
