"""Pages of a PDF, drawn by PDFium in a process of its own: at 200 dpi, or fewer where a page is
too large for that.

Law: the size of a drawn page follows from the page alone, not from the model or the detail, so a
crop and a box name the same place in every run. A page takes DRAW_S and MAX_MEMORY_BYTES at most,
and a crash of PDFium is an error like any other.

Not covered: a PDF's own unit (UserUnit) is not taken into account.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qvq_mlx.core.errors import ImageSizeError, ImageUnreadableError, InputError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.images import pdf_process
from qvq_mlx.images.diagnosis import unreadable
from qvq_mlx.images.paths import names_of
from qvq_mlx.system import programs

if TYPE_CHECKING:
    from PIL.Image import Image

DPI = 200
DRAW_S = 10.0
MAX_MEMORY_BYTES = 2**30
_HEAD_BYTES = 2**16


@contextmanager
def opened(source: str, data: bytes) -> Iterator[Document]:
    """The PDF in `data`. Raises ImageUnreadableError where it is damaged, locked or empty."""
    argv = [sys.executable, "-P", pdf_process.__file__, str(MAX_MEMORY_BYTES)]
    with programs.talk(argv) as talk:
        yield Document(source, data, talk)


class Document:
    """A PDF that is open. `count` is how many pages it says it has."""

    def __init__(self, source: str, data: bytes, talk: programs.Talk) -> None:
        self._source = source
        self._talk = talk
        head, _ = self._answer(f"{source}: the PDF", len(data).to_bytes(8, "big") + data)
        name = names_of(source)[0]
        error = head.get("error")
        if isinstance(error, str) and "password" in error.lower():
            raise ImageUnreadableError(
                f"{source}: the PDF is encrypted, and opens with a password only"
                " (qpdf is in Homebrew)",
                RunProgram(("qpdf", "--decrypt", "--password=PASSWORD", name, "unlocked.pdf")),
            )
        if isinstance(error, str):
            raise unreadable(source, data, ValueError(error))
        self.count = _number(head, "count")
        if self.count < 1:
            raise ImageUnreadableError(
                f"{source}: the PDF has no pages", RunProgram(("file", name))
            )

    def drawn(self, index: int, max_pixels: int) -> Image:
        """Page `index`, counted from 0, as RGB on white.

        Raises ImageUnreadableError or ImageSizeError.
        """
        from PIL import Image

        where = f"{self._source}: page {index + 1}"
        head, rows = self._answer(where, f"{index} {max_pixels} {DPI}\n".encode())
        if "error" in head:
            raise ImageUnreadableError(
                f"{where} cannot be drawn: {head['error']}",
                RunProgram(("file", names_of(self._source)[0])),
            )
        size = _number(head, "width"), _number(head, "height")
        return Image.frombuffer("RGB", size, rows, "raw", "RGB", _number(head, "stride"), 1)

    def _answer(self, where: str, order: bytes) -> tuple[dict[str, object], bytes]:
        """The head of an answer and its rows. Raises where none comes in time."""
        with self._talk.within(DRAW_S) as late:
            self._talk.tell(order)
            line = self._talk.line(_HEAD_BYTES)
            if line.endswith(b"\n"):
                head = json.loads(line)
                wanted = head.get("stride", 0) * head.get("height", 0)
                rows = self._talk.read(wanted)
                if len(rows) == wanted:
                    return head, rows
        raise self._ended(where, late=late.is_set())

    def _ended(self, where: str, *, late: bool) -> InputError:
        name = names_of(self._source)[0]
        draw = RunProgram(("pdftoppm", "-png", "-r", "100", name, "page"))
        if late:
            return ImageUnreadableError(f"{where} takes longer than {DRAW_S:g} s", draw)
        code = self._talk.wait()
        if code == pdf_process.TOO_MUCH_MEMORY:
            limit = f"{MAX_MEMORY_BYTES / 2**20:,.0f} MiB"
            return ImageSizeError(f"{where} takes more than {limit} of memory", draw)
        return ImageUnreadableError(f"{where} cannot be drawn: PDFium ended with {code}", draw)


def _number(head: dict[str, object], name: str) -> int:
    value = head[name]
    assert isinstance(value, int), "our own process says so"
    return value
