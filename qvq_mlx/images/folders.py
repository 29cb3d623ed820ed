"""Folders and what lies in them, where many pictures are wanted.

Law: a file in a folder is taken by its first bytes, or by its name where that is a picture's: a
broken picture is asked about, and its record says what is wrong. Hidden files are passed over;
whatever else is not taken is counted. A file that a folder or a pattern holds stays a file, also
where it is called like the clipboard, stdin or a data URI.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.core.errors import ImageNotFoundError, ImageUnreadableError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.images.containers import is_picture, is_video
from qvq_mlx.images.globs import expanded, natural
from qvq_mlx.images.paths import found_file, is_file, operand, path_of
from qvq_mlx.images.sources import SUFFIXES

VIDEO, FOLDER, OTHER = "video", "folder", "other"
_HEAD_BYTES = 1024
_MOST_KINDS = 8
_ENDINGS = tuple(SUFFIXES)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something in a folder that is not asked about. `kind`: video, folder, the ending of its name
    in lower case (`.txt`), or `other` where it has none.
    """

    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class Found:
    """The sources in order, and what lies beside them."""

    sources: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()


def pictures_in(sources: Iterable[str], *, videos: bool = False) -> Found:
    """The sources in order, a folder as the pictures that lie in it, a pattern as its files.

    `videos`: those in a folder are taken too. Raises ImageUnreadableError for a folder that holds
    nothing to ask about, ImageNotFoundError for one that cannot be read and for a pattern that
    names nothing.
    """
    found: list[str] = []
    left_out: list[LeftOut] = []
    for source in sources:
        if not _is_folder(source):
            found += expanded(source, None)
            continue
        inside = _inside(source, path_of(source), videos=videos)
        found += inside.sources
        left_out += inside.left_out
    return Found(tuple(found), tuple(left_out))


def counted(left_out: Sequence[LeftOut]) -> str:
    """`34 .txt, 2 videos, 1 folder`: how many of which kind, the most frequent first."""
    kinds = Counter(one.kind for one in left_out).most_common()
    shown = [f"{count:,} {_named(kind, count)}" for kind, count in kinds[:_MOST_KINDS]]
    if rest := sum(count for _, count in kinds[_MOST_KINDS:]):
        shown.append(f"{rest:,} of other kinds")
    return ", ".join(shown)


def _is_folder(source: str) -> bool:
    try:
        return is_file(source) and path_of(source).is_dir()
    except (OSError, ValueError, ImageUnreadableError):  # no legal path: its record says why
        return False


def _inside(source: str, folder: Path, *, videos: bool) -> Found:
    listing = RunProgram(("ls", "-l", operand(folder)))
    try:
        with os.scandir(folder) as inside:
            entries = {entry.name: entry for entry in inside if not entry.name.startswith(".")}
    except OSError as error:
        raise ImageNotFoundError(f"{source}: {(error.strerror or '').lower()}", listing) from error
    taken: list[str] = []
    left_out: list[LeftOut] = []
    before = str(folder / "x")[:-1]
    for name in sorted(entries, key=natural):
        path = before + name
        kind = _kind(entries[name], videos=videos)
        if kind is None:
            taken.append(path)
        else:
            left_out.append(LeftOut(path, kind))
    if not taken:
        beside = f", but {counted(left_out)}" if left_out else ""
        raise ImageUnreadableError(
            f"{source}: is a folder, and no picture lies in it{beside}", listing
        )
    return Found(tuple(map(found_file, taken)), tuple(left_out))


def _kind(found: os.DirEntry[str], *, videos: bool) -> str | None:
    """Name the kind for which `found` is left out; None where it is asked about."""
    if found.is_dir(follow_symlinks=False):
        return FOLDER
    # no Path before it is wanted: 100,000 of them take seconds
    if found.name.lower().endswith(_ENDINGS) and not found.is_symlink():
        return None  # whatever is wrong with it, its record says so
    entry = Path(found.path)
    if entry.is_dir():
        return FOLDER
    suffix = entry.suffix.lower()
    if suffix in SUFFIXES:
        return None
    if not entry.is_file():  # a pipe, a device, a link that leads nowhere
        return suffix or OTHER
    try:
        with entry.open("rb") as content:
            head = content.read(_HEAD_BYTES)
    except OSError:
        return None  # it is asked about, and the record says why it cannot be read
    if is_picture(head):
        return None
    if is_video(head):
        return None if videos else VIDEO
    return suffix or OTHER


def _named(kind: str, count: int) -> str:
    plural = {VIDEO: "videos", FOLDER: "folders", OTHER: "others"}
    return plural.get(kind, kind) if count != 1 else kind
