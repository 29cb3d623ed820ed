"""The lines that were typed in chats, for the arrow keys: those about an erased run go with it.

The file is prompt_toolkit's: a comment with the time, then the lines of one entry, each behind `+`.

Law: an entry goes where it holds the question of an erased run, or the name of a picture that it
was about, as whole words. So an entry may go that also another run was asked with; the arrow keys
miss it, and nothing else does.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from qvq_mlx.history.files import TYPED
from qvq_mlx.system.files import write_private
from qvq_mlx.system.reading import read_bytes

_ENTRY = re.compile(rb"(?m)^\n?# .*\n(?:\+.*\n?)*")
_LINE = re.compile(rb"(?m)^\+(.*)$")
_MAX_BYTES = 2**26


def forget_typed(folder: Path, phrases: Collection[str]) -> int:
    """Remove the entries that hold one of these; return the freed bytes. Raises OSError.

    A file that cannot be read is removed whole.
    """
    wanted = {" ".join(phrase.split()) for phrase in phrases} - {""}
    path = folder / TYPED
    if not wanted or not path.exists():
        return 0
    try:
        content = read_bytes(path, _MAX_BYTES)
    except OSError:
        path.unlink()
        return 0
    kept = _ENTRY.sub(lambda entry: b"" if _holds(entry[0], wanted) else entry[0], content)
    if kept != content:
        write_private(path, kept)
    return len(content) - len(kept)


def _holds(entry: bytes, wanted: Collection[str]) -> bool:
    text = _text(entry)
    return any(
        phrase in text and re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) is not None
        for phrase in wanted
    )


def _text(entry: bytes) -> str:
    lines = (line.decode("utf-8", "replace") for line in _LINE.findall(entry))
    return " ".join(" ".join(lines).split())
