"""The answer in lines that a screen reader speaks: formulas are read, and nothing is drawn.

Law: no fence, no pipe of a table and no rule across the page. A row of a table is a line of its
own, each cell behind its head: `row: 1; shapes: circle, star`.
"""

from __future__ import annotations

from qvq_mlx.render.markdown import (
    block_rows,
    blocks,
    box_text,
    is_rule,
    kept_block,
    only_box,
    table_cells,
)
from qvq_mlx.render.rows import BLANK, Row, plain


def spoken_rows(text: str, width: int) -> list[Row]:
    """The whole answer; a blank row between two blocks."""
    box = only_box(text)
    if box is not None:
        return [plain(box_text(box))]
    rows: list[Row] = []
    for block in blocks(text):
        new = _spoken(block, width)
        rows += [BLANK, *new] if rows and new else new
    return rows


def _spoken(block: str, width: int) -> list[Row]:
    if is_rule(block):
        return []
    head, *rows = table_cells(block) or [[]]
    if not head:
        return list(kept_block(block, width))
    names = [_line(cell) for cell in head]
    found = []
    for row in rows:
        pairs = zip(names, map(_line, row), strict=False)
        found.append("; ".join(f"{name}: {cell}" if name else cell for name, cell in pairs))
    return [plain(line) for line in found or ["; ".join(names)]]


def _line(cell: str) -> str:
    # wider than the line can be; rich fills a row up to the width before that is cut off
    return " ".join(row.plain for row in block_rows(cell, 4 * len(cell) + 4))
