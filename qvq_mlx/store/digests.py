"""Hashes of files: a blob's name is the hash of its bytes.

Law: 64 hex digits are the sha256 of the bytes (files in LFS); 40 are the sha1 of `blob SIZE`, a
zero byte and the bytes, which is git's (all others). A name of another form proves nothing and is
never believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from qvq_mlx.store.layout import is_blob

BLOCK_BYTES = 1 << 20


class Digest(Protocol):
    """A hash that grows."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far."""


def digest_for(blob: str, size_bytes: int) -> Digest:
    """The hash that `blob` is a value of, for a file of `size_bytes`, with no bytes added yet."""
    assert is_blob(blob), blob
    if len(blob) == 64:
        return hashlib.sha256()
    sha1 = hashlib.sha1(usedforsecurity=False)
    sha1.update(b"blob %d\0" % size_bytes)
    return sha1


def blocks(path: Path, size_bytes: int | None = None) -> Iterator[bytes]:
    """The bytes of a file, up to `size_bytes`, a block at a time. Raises OSError."""
    left = size_bytes
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES if left is None else min(BLOCK_BYTES, left)):
            if left is not None:
                left -= len(block)
            yield block


def matches(path: Path, blob: str) -> bool:
    """True if the file's bytes are those of `blob`. Reads all of it. Raises OSError."""
    digest = digest_for(blob, path.stat().st_size)
    for block in blocks(path):
        digest.update(block)
    return digest.hexdigest() == blob
