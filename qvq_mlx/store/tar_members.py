"""Reads the members of a tar, one after the other, as an archive of a model has them.

Law: a member is a plain file; before it stands at most one short extended header, whose size is the
one thing that counts. Whatever else a tar can hold (links, sparse maps, long names, comments
without end) is refused before it is read, so that memory is one block. Python's own reader takes in
such headers whole, however long they say they are.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

_BLOCK = tarfile.BLOCKSIZE
_EXTENDED_BYTES = 4096
_RECORD = re.compile(rb"\d+ ([a-zA-Z.]+)=([^\n]*)\n")
_HARMLESS = {b"size", b"mtime", b"atime", b"ctime", b"uid", b"gid", b"uname", b"gname", b"comment"}


@dataclass(slots=True)
class Member:
    """A plain file of a tar. `read` gives its bytes in order, until the next member is taken."""

    name: str
    size: int
    _file: IO[bytes]
    _left: int

    def read(self, most: int) -> bytes:
        """Return up to `most` bytes; none at the end. Raises tarfile.ReadError where it is cut."""
        content = self._file.read(min(most, self._left))
        if not content and self._left and most:
            raise tarfile.ReadError("it ends within a file")
        self._left -= len(content)
        return content

    def whole(self) -> bytes:
        """Return all that is left of it, which the caller knows to be little."""
        content = b""
        while block := self.read(2**20):
            content += block
        return content


def members(file: IO[bytes]) -> Iterator[Member]:
    """Yield the members up to the end. Raises tarfile.TarError and UnicodeError."""
    while (header := _header(file)) is not None:
        stated = None
        if header.type == tarfile.XHDTYPE:
            stated = _stated_size(file, header.size)
            header = _header(file)
        if header is None or header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise tarfile.ReadError("it holds something else than plain files")
        size = header.size if stated is None else stated
        member = Member(header.name, size, file, size)
        yield member
        while member.read(2**16):
            pass
        file.read(-size % _BLOCK)


def _header(file: IO[bytes]) -> tarfile.TarInfo | None:
    block = file.read(_BLOCK)
    if not block.strip(b"\0"):
        return None
    header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    if header.size < 0:
        raise tarfile.ReadError("it holds a file of less than nothing")
    return header


def _stated_size(file: IO[bytes], size_bytes: int) -> int | None:
    """The size that an extended header states for the next member; None where it states none."""
    if size_bytes > _EXTENDED_BYTES:
        raise tarfile.ReadError(f"it has an extended header of {size_bytes:,} bytes")
    content = file.read(size_bytes + -size_bytes % _BLOCK)[:size_bytes]
    records = dict(_RECORD.findall(content))
    if not records or not records.keys() <= _HARMLESS:
        raise tarfile.ReadError("it has an extended header that qvq export does not write")
    stated = records.get(b"size")
    if stated is None:
        return None
    if not stated.isdigit() or len(stated) > 15:
        raise tarfile.ReadError("it has an extended header that qvq export does not write")
    return int(stated)
