"""The files that a client may have read: what lies in its roots, and data URIs.

Law: a path is judged by where it really leads, after `..` and every symbolic link, and only that
place is read. Of what lies outside nothing is told, not even whether it is there. Addresses, the
clipboard, the screen and stdin are refused, since they are no files of the client's.

Not covered: a folder that is swapped for a link between the judgement and the reading, which takes
a process that may write inside the roots; and hard links, which no path gives away.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from qvq_mlx.core.errors import ImageNotFoundError, OutsideRootsError
from qvq_mlx.images.paths import called, found_file, is_data, is_file, path_of


@dataclass(frozen=True, slots=True)
class Roots:
    """Files and folders, as absolute paths without links."""

    places: tuple[Path, ...]

    @classmethod
    def of(cls, places: Iterable[Path]) -> Roots:
        """Roots at these places, wherever their links lead."""
        return cls(tuple(dict.fromkeys(map(_real, places))))

    def source(self, given: str) -> str:
        """Return the source to read for what a client named: a path, a `file:` URL, a data URI.

        A relative path is one in the first root. Raises OutsideRootsError, ImageNotFoundError for
        what is no file in the roots, ImageUnreadableError for a URL that names no file.
        """
        if is_data(given):
            return given
        if not is_file(given):
            raise OutsideRootsError(
                f"{called(given)[:80]}: is no file; paths and data URIs are read here, and no"
                " address, clipboard, screen or stdin"
            )
        shown = called(given)[:200]
        path = path_of(given)
        try:
            place = _real(self.places[0] / path if self.places else path)
        except (OSError, ValueError) as error:  # a NUL, or links that go round
            raise OutsideRootsError(f"{shown!r}: is no path") from error
        if not any(place.is_relative_to(root) for root in self.places):
            raise OutsideRootsError(f"{shown}: lies outside of what may be read: {self._said}")
        if not _is_regular(place):
            raise ImageNotFoundError(f"{shown}: no such file in {self._said}")
        return found_file(place)

    @property
    def _said(self) -> str:
        return ", ".join(map(str, self.places[:8])) or "no folder is shared with this server"


def folders_of(uris: Sequence[str]) -> list[Path]:
    """Return the paths of a client's roots. What is no `file:` URI of this machine is left out."""
    found = []
    for uri in uris:
        parts = urlsplit(uri)
        if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
            found.append(Path(unquote(parts.path)))
    return found


def started_in(folder: Path, home: Path) -> list[Path]:
    """Return the root of a client that has none: the folder it started this server in.

    None where that is the whole disk or the whole home folder: nobody meant to share these.
    """
    place = _real(folder)
    return [] if place == _real(home) or place == Path(place.anchor) else [place]


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _is_regular(place: Path) -> bool:
    try:
        return place.is_file()
    except OSError:  # a name that is too long
        return False
