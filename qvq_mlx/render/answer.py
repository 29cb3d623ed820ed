"""The answer as it grows: finished blocks may go to the scrollback, the last one is live.

Law: what was taken is never shown again, and together the rows that were taken and the rows that
are left are the answer's, each once. A block that is higher than the screen by far, a list or code
without end, is taken in parts.
"""

from __future__ import annotations

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


class Answer:
    """Cleaned answer text, and how much of it is in the scrollback."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._rest = ""
        self._some = False
        self._started = False
        self._number = 0

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

    def add(self, text: str) -> None:
        """The answer goes on."""
        self._pieces.append(text)
        self._rest += text
        self._some = self._some or bool(text.strip())

    def replace(self, text: str) -> None:
        """Another answer, of which nothing is in the scrollback."""
        self._pieces, self._rest = [text], text
        self._number += 1
        self._some, self._started = bool(text.strip()), False

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

    def overflow(self, width: int, budget: int) -> list[Row]:
        """Take finished blocks from the top until the rest fits into `budget` rows."""
        found = blocks(self._rest)
        heights = [len(block_rows(block, width)) for block in found]
        taken: list[Row] = []
        while len(found) > 1 and sum(height + 1 for height in heights if height) - 1 > budget:
            rows = kept_block(found.pop(0), width)
            heights.pop(0)
            taken += [*rows, BLANK] if rows else []
            self._started = True
        self._rest = "".join(found)
        if len(found) == 1 and heights[0] > 2 * budget:
            parts = parted(self._rest)
            if parts is not None:
                finished, self._rest = parts
                taken += kept_block(finished, width)
                self._started = True
        return taken
