"""Patterns that the shell did not expand: `'shots/*.png'` names files, in natural order.

Law: what exists is a file, whatever its name; only then `*`, `?` and `[` mean something. Hidden
files are named by no pattern, `**` goes into folders, and folders are left out.
"""

from __future__ import annotations

import glob
import re
import unicodedata
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from qvq_mlx.core.errors import ImageNotFoundError, ImageSizeError
from qvq_mlx.core.image_options import MAX_PICTURES
from qvq_mlx.core.remedies import Ask, RunProgram
from qvq_mlx.images.paths import found_file, is_file, operand, path_of

_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
_NUMBERS = re.compile(r"([0-9]+)")


def expanded(source: str, most: int | None = MAX_PICTURES) -> tuple[str, ...]:
    """The files that a pattern names; `source` itself where it is none.

    Raises ImageNotFoundError where nothing matches, ImageSizeError where more than `most` do.
    """
    if "://" in source or not is_file(source) or not glob.has_magic(source) or "\0" in source:
        return (source,)
    path = path_of(source)
    if _exists(path):
        return (source,)
    # a name that came from a Mac's disk may hold é as two characters, and a keyboard writes one
    spelt = dict.fromkeys([str(path), *(unicodedata.normalize(f, str(path)) for f in _FORMS)])
    matches = chain.from_iterable(
        glob.iglob(pattern, recursive=True)  # noqa: PTH207  (it may be absolute)
        for pattern in spelt
    )
    once = dict.fromkeys(islice(matches, most and (most + 1) * len(spelt)))
    files = list(islice((name for name in once if not Path(name).is_dir()), most and most + 1))
    if not files:
        raise ImageNotFoundError(
            f"{source}: no file matches", RunProgram(("ls", "-l", operand(_folder(path))))
        )
    if most is not None and len(files) > most:
        raise ImageSizeError(
            f"{source}: more than {most} files match, and a question takes no more",
            Ask((operand(Path(min(files, key=natural))),)),
        )
    return tuple(found_file(Path(name)) for name in sorted(files, key=natural))


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """A key that sorts img2 before img10, in any case; ties are broken by the name itself."""
    folded = unicodedata.normalize("NFC", name).casefold()
    parts = _NUMBERS.split(folded)
    keys = tuple((int(part), "") if index % 2 else (0, part) for index, part in enumerate(parts))
    return (*keys, (-1, name))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long, or a folder on the way that may not be looked into
        return False


def _folder(path: Path) -> Path:
    """The deepest folder that is there and holds no pattern."""
    while path != path.parent and (glob.has_magic(str(path)) or not path.is_dir()):
        path = path.parent
    return path
