"""The answer as it grows: finished blocks may go to the scrollback, the last one is live.

Law: what was taken is never shown again, and together the rows that were taken and the rows that
are left are the answer's, each once.
"""

from __future__ import annotations

from qvq_mlx.render.markdown import block_rows, blocks, markdown_rows, only_box
from qvq_mlx.render.rows import BLANK, Row, bold, wrap


class Answer:
    """Cleaned answer text, and how much of it is in the scrollback."""

    def __init__(self, *, colour: bool) -> None:
        self.text = ""
        self._colour = colour
        self._taken = 0  # characters

    def __bool__(self) -> bool:
        return bool(self.text.strip())

    @property
    def started(self) -> bool:
        """Whether a part of it is in the scrollback already."""
        return self._taken > 0

    def add(self, text: str) -> None:
        """The answer goes on."""
        self.text += text

    def replace(self, text: str) -> None:
        """Another answer, of which nothing is in the scrollback."""
        self.text, self._taken = text, 0

    def rows(self, width: int) -> list[Row]:
        """What is not in the scrollback yet."""
        rest = self.text[self._taken :]
        box = None if self.started else only_box(rest)
        if box is not None:
            return [bold(row) for row in wrap(box, width)]
        return markdown_rows(rest, width, colour=self._colour)

    def overflow(self, width: int, budget: int) -> list[Row]:
        """Take finished blocks from the top until the rest fits into `budget` rows."""
        rest = self.text[self._taken :]
        found = blocks(rest)
        taken: list[Row] = []
        while len(found) > 1 and len(self.rows(width)) > budget:
            block = found.pop(0)
            rows = block_rows(block, width, self._colour)
            taken += [*rows, BLANK] if rows else []
            self._taken += len(block)
        return taken
