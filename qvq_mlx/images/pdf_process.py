"""The process that draws a PDF's pages, so that a bad PDF costs a process and no more.

It is run as a file and imports nothing of qvq's. The first argument is how much memory it may use,
in bytes. On stdin: 8 bytes of length, the PDF, then a line `INDEX PIXELS DPI` per page, INDEX
counted from 0 and PIXELS the most that a page may have. On stdout, for the PDF and for each page:
a line of JSON, `{"count": 3}`, `{"width": 850, "height": 1100, "stride": 2552}` with the rows of
RGB after it, or `{"error": "..."}`. A thread watches the memory while PDFium, which has no bound
of its own, is at work.

Filled-in forms and annotations are drawn as a viewer draws them; scripts are not run, and nothing
is fetched.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

TOO_MUCH_MEMORY = 77
"""The exit code that says so."""

_LONGEST_POINTS = 1e6


def main() -> None:
    """Answer until stdin ends."""
    threading.Thread(target=_watch, args=(int(sys.argv[1]),), daemon=True).start()
    from pypdfium2 import PdfDocument, PdfiumError

    stdin = sys.stdin.buffer
    data = stdin.read(int.from_bytes(stdin.read(8), "big"))
    try:
        document = PdfDocument(data)
    except PdfiumError as error:
        # pypdfium2 raises for a document without pages too, and then PDFium has seen no error
        _say({"error": str(error)} if error.err_code else {"count": 0})
        return
    document.init_forms()  # nothing where it has none
    _say({"count": len(document)})
    for line in stdin:
        index, max_pixels, dpi = map(int, line.split())
        try:
            _draw(document, index, max_pixels, dpi)
        except (PdfiumError, IndexError, ValueError) as error:
            _say({"error": str(error)})


def _draw(document: PdfDocument, index: int, max_pixels: int, dpi: int) -> None:
    page = document[index]
    width, height = page.get_size()  # in points, the page's rotation applied
    if not (0 < width < _LONGEST_POINTS and 0 < height < _LONGEST_POINTS):
        raise ValueError(f"it says that it is {width:g}×{height:g} points large")
    scale = min(dpi / 72, math.sqrt(max_pixels / (width * height)))
    if max(width, height) * scale > max_pixels:
        raise ValueError(f"{width:g}×{height:g} points are too narrow to draw")
    bitmap = page.render(scale=scale, rev_byteorder=True, maybe_alpha=False)
    head = {"width": bitmap.width, "height": bitmap.height, "stride": bitmap.stride}
    _say(head, memoryview(bitmap.buffer))
    bitmap.close()
    page.close()


def _say(head: dict[str, int] | dict[str, str], rows: memoryview | bytes = b"") -> None:
    stdout = sys.stdout.buffer
    stdout.write(json.dumps(head).encode() + b"\n")
    stdout.write(rows)
    stdout.flush()


def _watch(limit_bytes: int) -> None:
    """PDFium is called without the interpreter's lock, so this runs beside it."""
    began_bytes = _peak_bytes() if sys.platform == "linux" else 0  # it counts the parent's in it
    used = _used_bytes if _has_proc() else lambda: _peak_bytes() - began_bytes
    while used() < limit_bytes:
        time.sleep(0.01)
    os._exit(TOO_MUCH_MEMORY)


_STATM = "/proc/self/statm"


def _has_proc() -> bool:
    """A Mac has none, and a container may have none."""
    return os.path.exists(_STATM)  # noqa: PTH110  (pathlib is slow to import)


def _used_bytes() -> int:
    """Of memory, now."""
    with open(_STATM, "rb") as facts:  # noqa: PTH123
        return int(facts.read().split()[1]) * resource.getpagesize()


def _peak_bytes() -> int:
    """The most memory that it had; Linux counts in KiB, macOS in bytes."""
    unit = 1024 if sys.platform == "linux" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
