"""Rows of a data set, wherever they come from, and typed access to their cells."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable
from pathlib import Path

from qvq_mlx.core.errors import InputError

Row = dict[str, object]

_MOST_PICTURES = 9
_PLACE = re.compile(r"<image[ _]?([1-9]\d?)>", re.ASCII)


def text(row: Row, name: str) -> str:
    """Return a cell as text; empty where it is missing."""
    value = row.get(name)
    return "" if value is None else str(value)


def asked(row: Row, name: str) -> str:
    """Return a prompt's text with each place of a picture spelt `<image n>`."""
    return _PLACE.sub(r"<image \1>", text(row, name))


def texts(row: Row, name: str) -> tuple[str, ...]:
    """Return a cell as texts: a list, or a list spelt as Python does; a plain text is one."""
    value = row.get(name)
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            return (value,) if isinstance(value, str) else ()
    if isinstance(value, list | tuple):
        return tuple(map(str, value))
    return () if value in (None, "") else (str(value),)


def whole(row: Row, name: str) -> int | None:
    """Return a cell as a whole number; None where it is empty."""
    value = row.get(name)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return int(float(str(value)))


def pictures(row: Row, names: Iterable[str], folder: Path) -> tuple[bytes, ...]:
    """Return the pictures in the first of `names` that has some.

    A picture is bytes, the Hub's struct of bytes and a path, or a path below `folder`; a name
    `image_n` means the columns image_1, image_2 and so on. Raises InputError for a missing file.
    """
    for name in names:
        if name.endswith("_n"):
            cells = [row.get(f"{name[:-1]}{number}") for number in range(1, _MOST_PICTURES + 1)]
        else:
            cell = row.get(name)
            cells = list(cell) if isinstance(cell, list | tuple) else [cell]
        found = tuple(_bytes(cell, folder) for cell in cells if cell)
        if found:
            return found
    return ()


def _bytes(cell: object, folder: Path) -> bytes:
    if isinstance(cell, bytes):
        return cell
    if isinstance(cell, dict):
        content = cell.get("bytes")
        if isinstance(content, bytes):
            return content
        cell = cell.get("path")
    path = folder / str(cell)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{cell}: a picture outside of {folder}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
