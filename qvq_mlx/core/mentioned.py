"""Finds the pictures that a line of text names: a dragged path and a question on one line.

Law: one rule for `ask` and `chat`. A word that is the path of a file on disk, and begins like a
path or ends like an image, is a picture wherever it stands. A word that ends like an image and is
on no disk is missing, and nobody asks about another picture instead. Words are written as terminals
write a dragged file: in quotes, with backslashes, as `file://`, or as it is, spaces and all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from qvq_mlx.core.image_names import EXTENSIONS

_WORD = re.compile(
    r"""'[^']*'(?:(?:\\'|"'")'[^']*')*(?=\s|\Z)"""  # it'\''s inside single quotes
    r'|"(?:\\.|[^"\\])*"(?=\s|\Z)'
    r"|(?:\\.|[^\s\\])+|\\",
    re.DOTALL,
)
_PATH_STARTS = ("/", "./", "../", "~/", "file://")
_SENTENCE_ENDS = ("?", "!", ".", ":", "？", "！", "。", "：")
_CLOSING = "?!.,:;)]}？！。，"


@dataclass(frozen=True, slots=True)
class Mentioned:
    """`question` is the text without what was dragged; a name within a sentence stays in it.

    `missing` looks like a picture and is on no disk.
    """

    pictures: tuple[str, ...]
    question: str
    missing: str | None


@dataclass(frozen=True, slots=True)
class _Word:
    """A word from `start` to `end` of the text, and what it is without quotes and escapes."""

    start: int
    end: int
    value: str
    is_written_raw: bool


def mentioned(text: str, exists: Callable[[str], bool]) -> Mentioned:
    """The pictures in `text`; `exists` says whether a path lies on disk."""
    pictures: list[str] = []
    missing = None
    kept: list[str] = []
    at, end = 0, len(text.rstrip())
    for word in map(_word, _WORD.finditer(text)):
        if word.start < at:
            continue  # part of a name with spaces in it
        found = _found(word, text, exists)
        if found is None:
            is_named = word.value.lower().endswith(EXTENSIONS) and word.value.lower() not in (
                EXTENSIONS
            )
            missing = missing or (word.value if is_named else None)
            continue
        before = text[at : word.start]
        is_first = not "".join(kept).strip() and not before.strip()
        is_dragged = found.value.startswith(_PATH_STARTS) or not found.is_written_raw
        kept.append(before)
        is_apart = found.end >= end and before.rstrip().endswith(_SENTENCE_ENDS)
        if not (is_first or (is_dragged and is_apart)):
            kept.append(found.value.rsplit("/", 1)[-1])
        pictures.append(found.value)
        at = found.end
    question = "".join([*kept, text[at:]]).strip()
    return Mentioned(tuple(pictures), question, missing)


def _found(word: _Word, text: str, exists: Callable[[str], bool]) -> _Word | None:
    """The picture that begins with this word; None where none does."""
    if _is_picture(word.value, exists):
        return word
    bare = word.value.rstrip(_CLOSING)
    if word.is_written_raw and bare != word.value and _is_picture(bare, exists):
        return _Word(word.start, word.start + len(bare), bare, word.is_written_raw)
    if not (word.is_written_raw and word.value.startswith(_PATH_STARTS)):
        return None
    line = text[word.start :].partition("\n")[0]
    ends = [word.start + match.end() for match in re.finditer(r"\S+", line)]
    for end in reversed([end for end in ends if end > word.end]):  # the longest name that is there
        if _is_picture(text[word.start : end], exists):
            return _Word(word.start, end, text[word.start : end], is_written_raw=True)
    return None


def _is_picture(name: str, exists: Callable[[str], bool]) -> bool:
    if not name or not (name.startswith(_PATH_STARTS) or name.lower().endswith(EXTENSIONS)):
        return False
    if name.startswith("file://"):
        return name.lower().endswith(EXTENSIONS)
    if re.match(r"https?://", name, re.IGNORECASE):
        return True
    try:
        return exists(name)
    except (OSError, ValueError, RuntimeError):  # no legal path
        return False


def _word(match: re.Match[str]) -> _Word:
    raw = match[0]
    if raw.startswith("'") and raw.endswith("'") and len(raw) > 1:
        value = re.sub(r"""'(?:\\'|"'")'""", "'", raw[1:-1])
    elif raw.startswith('"') and raw.endswith('"') and len(raw) > 1:
        value = re.sub(r'\\(["\\$`])', r"\1", raw[1:-1])
    else:
        value = re.sub(r"\\(.)", r"\1", raw, flags=re.DOTALL)
    return _Word(match.start(), match.end(), value, value == raw)
