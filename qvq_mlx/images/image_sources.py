"""Access to pictures that are not on the disk, and its bounds.

Law: nothing here reads, fetches or imports; a test builds a desk of its own and patches nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

Resolver = Callable[[str, int], tuple[str, ...]]
"""Host and port to addresses, as text. Raises OSError."""

CLIP, SCREEN = "clip", "screen"
WORDS = (CLIP, SCREEN)
"""Sources that are no files: the clipboard, and a part of the screen that the user marks."""


@dataclass(frozen=True, slots=True)
class Web:
    """Bounds for one address: what it may cost, and where it may lead.

    `total_s` runs from the first look-up to the last byte, `stall_s` of silence end it earlier.
    `resolve` None: the system's look-up; `roots` '': the system's certificates. `private_hosts`
    are names, as they stand in a URL, that may be asked over http and need no public address:
    empty outside of tests.
    """

    max_bytes: int = 128 * 2**20
    total_s: float = 60.0
    stall_s: float = 10.0
    redirects: int = 5
    private_hosts: frozenset[str] = frozenset()
    resolve: Resolver | None = None
    roots: str = ""


@dataclass(frozen=True, slots=True)
class ImageSources:
    """Access to stdin, other programs, and the web where it is allowed.

    `path` is where programs are looked for, as in PATH; None: where this process looks. `offline`
    says what forbids the web, `Field.OFFLINE` or a variable's name; '': an address that the user
    typed is fetched.
    """

    stdin: BinaryIO
    path: str | None = None
    offline: str = ""
    web: Web = Web()
    kept: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    """Of sources that cannot be taken twice: a picture may be asked for again, at another size."""
