"""Lines of the screen, measured in cells.

Law: a row is broken between characters as people see them: what is joined to the character before
(accents, selectors, skin tones, the parts of a family or a flag) stays with it and takes no cells
of its own, as in rich and in terminals of this decade. Widths of such characters add up. Where a
terminal takes more cells than this, its right margin cuts the row; nothing else moves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.cells import cell_len, get_character_cell_size


@dataclass(frozen=True, slots=True)
class Row:
    """One line: `plain` to measure, `styled` the same text with its SGR sequences.

    `at`: how many characters of its text come before it, as `solid` counts them; None where nobody
    counts.
    """

    plain: str
    styled: str
    at: int | None = None


BLANK = Row("", "")

_JOINER, _EMOJI = "\u200d", "\ufe0f"
_TONES = range(0x1F3FB, 0x1F400)
_FLAGS = range(0x1F1E6, 0x1F200)
_SIGNS = frozenset("♀♂⚕⚖✈❤⚧")
_CLOSING = frozenset("，。、；：？！）」』】》〉”’…)]},.;:?!")
_OPENING = frozenset("（「『【《〈“‘([{")
_JOINED = 16  # characters for each cell of a row; a family of four people are seven
_MOST_JOINED = 64
"""Characters that are seen as one: what is joined beyond them is taken for another."""
_LETTERS = re.compile(r"[\x20-\x7e\xa0-\xac\xae-\u02ff\u0370-\u0482]*")
"""Text in which every character takes one cell and is joined to none."""


def plain(text: str) -> Row:
    """A row without any style."""
    return Row(text, text)


def dim(text: str) -> Row:
    """A row in the background of attention."""
    return Row(text, f"\x1b[2m{text}\x1b[0m" if text else "")


def bold(text: str) -> Row:
    """A row that is the result."""
    return Row(text, f"\x1b[1m{text}\x1b[0m" if text else "")


def solid(text: str) -> str:
    """The text without what depends on the width: spaces, and the dots between parts of a row."""
    return "".join(text.split()).replace("·", "")


def placed(rows: Iterable[str], begin: int) -> list[Row]:
    """Dim rows that follow each other in a text, from its character `begin` on."""
    found = []
    for text in rows:
        found.append(Row(text, dim(text).styled, begin))
        begin += len(solid(text))
    return found


def cells(text: str) -> int:
    """Return the columns that `text` takes."""
    if text.isascii() or _LETTERS.fullmatch(text):
        return len(text)
    return sum(size for _, _, size in _characters(text))


def cut(text: str, width: int) -> str:
    """The beginning of `text` that fits into `width` cells."""
    if cells(text) <= width:
        return text
    used = 0
    for start, _, size in _characters(text):
        used += size
        if used > width:
            return text[:start]
    return text


def lines_taken(text: str, width: int) -> int:
    """Return the lines that `text` takes on a terminal that breaks it wherever its margin is."""
    if text.isascii():
        return max(1, -(-len(text) // max(1, width)))
    lines, used = 1, 0
    for _, _, size in _characters(text):
        if used + size > width and used:
            lines, used = lines + 1, 0
        used += size
    return lines


def spans(line: str, width: int) -> list[tuple[int, int]]:
    """Return where to break `line`: at spaces and beside wide characters, else where it must; the
    spans cover all of it.

    A row is `line[start:end].rstrip()`: the spaces at a break belong to the row before it. Of
    characters that take no cells a row has a bounded number. To
    begin anew where a row begins gives the same rows.
    """
    if width >= len(line) and line.isascii():
        return [(0, len(line))]
    found = []
    start = used = 0
    longest = _JOINED * max(width, 1) + _JOINED
    word = word_used = 0  # where the current word begins, and how much of the row is before it
    wide = False  # the last character is wide, and something may follow it on another row
    for index, end, size in _characters(line):
        character = line[index]
        if line[index:end] == " ":  # a space with an accent on it is seen, and takes its cell
            used += size
            word, word_used, wide = end, used, False
            continue
        if (wide or (size > 1 and index and line[index - 1] not in _OPENING)) and (
            character not in _CLOSING
        ):
            word, word_used = index, used
        while (used + size > width or index - start >= longest) and index > start:
            if word > start:
                found.append((start, word))
                start, used = word, used - word_used
            else:
                found.append((start, index))
                start, used = index, 0
            word_used = 0
        used += size
        wide = size > 1 and character not in _OPENING
    found.append((start, len(line)))
    return found


def untabbed(text: str, column: int) -> tuple[str, int]:
    """`text` that begins in this column, without tabs, and the column that it ends in."""
    if "\t" in text:
        held = column % 4
        text = (" " * held + text).expandtabs(4)[held:]
    line = text.rfind("\n")
    return text, column + len(text) if line < 0 else len(text) - line - 1


def unspaced(line: str, width: int) -> str:
    """`line` with no more spaces at its end than it takes to fill a row; its rows are the same."""
    body = line.rstrip(" ")
    return line[: len(body) + width + 1]


def wrap(text: str, width: int) -> list[str]:
    """The rows of a text, blank lines kept."""
    return [
        line[start:end].rstrip()
        for line in text.expandtabs(4).split("\n")
        for start, end in spans(line, width)
    ]


def joined(parts: list[str], width: int) -> str:
    """The parts in one row, as many from the first as fit."""
    text = parts[0]
    for part in parts[1:]:
        if cells(text) + 3 + cells(part) > width:
            break
        text += f" · {part}"
    return cut(text, width)


def packed(parts: list[str], width: int) -> list[str]:
    """All parts, as many in a row as fit; one that is too long is wrapped."""
    rows: list[str] = []
    for part in parts:
        if rows and cells(rows[-1]) + 3 + cells(part) <= width:
            rows[-1] += f" · {part}"
        else:
            rows += wrap(part, width)
    return rows


def at_both_ends(text: str, note: str, width: int) -> Row:
    """`text` at the left and `note`, dim, at the right, where there is room for both."""
    gap = width - cells(text) - cells(note)
    if not note or gap < 2:
        return plain(text)
    left = text + " " * gap
    return Row(left + note, left + dim(note).styled)


def _characters(text: str) -> Iterator[tuple[int, int, int]]:
    """Start, end and cells of each character as people see them."""
    start, size = 0, 0
    before = ""
    flags = 0  # how many halves of flags stand in a row
    for index, character in enumerate(text):
        if index - start >= _MOST_JOINED:
            before, flags = "", 0
            yield start, index, size
            start, size = index, 0
        own = get_character_cell_size(character)
        flag = ord(character) in _FLAGS
        flags = flags + 1 if flag else 0
        # between letters the joiner only shapes them: each keeps its cell
        pictured = before == _JOINER and (own > 1 or character in _SIGNS)
        joins = own == 0 or pictured or (flag and flags % 2 == 0)
        if index and (joins or (ord(character) in _TONES and size)):
            if flag:
                size = 2  # half a flag by itself is a letter of one cell
            elif character == _EMOJI:
                size = max(size, cell_len(text[start : index + 1]))
            elif size == 0:
                size = own
        else:
            if index > start:
                yield start, index, size
            start, size = index, own
        before = character
    if text:
        yield start, len(text), size
