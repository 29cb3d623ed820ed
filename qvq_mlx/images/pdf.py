"""Pages of a PDF, drawn by PDFium: at 200 dpi, or fewer where a page is too large for that.

Law: the size of a drawn page follows from the page alone, not from the model or the detail, so a
crop and a box name the same place in every run. Filled-in forms and annotations are drawn as a
viewer draws them; scripts are not run, and nothing is fetched. Drawing stops at a deadline.

Not covered: the deadline is looked at between two objects of a page, not within one; a PDF's own
unit (UserUnit) is not taken into account.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from qvq_mlx.core.errors import ImageSizeError, ImageUnreadableError
from qvq_mlx.images.diagnosis import unreadable
from qvq_mlx.images.paths import names_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from pypdfium2 import PdfDocument, PdfPage

DPI = 200
MAX_PIXELS = 2**25
"""Of one page: A1 at 200 dpi."""
DRAW_S = 10.0

_POINTS_PER_INCH = 72


def is_pdf(data: bytes) -> bool:
    """By its first bytes, white space and a byte order mark aside."""
    return data[:64].removeprefix(b"\xef\xbb\xbf").lstrip(b"\0\t\n\f\r ").startswith(b"%PDF-")


class Document:
    """A PDF that is open. `count` is how many pages it says it has."""

    def __init__(self, source: str, pdf: PdfDocument) -> None:
        self._source = source
        self._pdf = pdf
        self.count = len(pdf)

    def drawn(self, index: int, max_pixels: int = MAX_PIXELS) -> Image:
        """Page `index`, counted from 0, as RGB on white.

        Raises ImageUnreadableError or ImageSizeError.
        """
        from pypdfium2 import PdfiumError

        where = f"{self._source}: page {index + 1}"
        try:
            page = self._pdf[index]
        except (PdfiumError, IndexError) as error:
            raise ImageUnreadableError(
                f"{where} is damaged ({error})", f"file {names_of(self._source)[0]}"
            ) from error
        try:
            return self._drawn(where, page, max_pixels)
        finally:
            page.close()

    def _drawn(self, where: str, page: PdfPage, max_pixels: int) -> Image:
        width, height = page.get_size()  # in points, its rotation applied
        if not (0 < width < 1e6 and 0 < height < 1e6):
            raise ImageSizeError(f"{where} says that it is {width:g}×{height:g} points large")
        scale = min(DPI / _POINTS_PER_INCH, math.sqrt(max_pixels / (width * height)))
        width_px, height_px = max(1, int(width * scale)), max(1, int(height * scale))
        if max(width_px, height_px) > max_pixels:
            raise ImageSizeError(f"{where} is {width:g}×{height:g} points: too narrow to draw")
        drawn = _rendered(page, width_px, height_px)
        if drawn is None:
            raise ImageUnreadableError(
                f"{where} takes longer than {DRAW_S:g} s to draw",
                f"pdftoppm -png -r 100 {names_of(self._source)[0]} page",
            )
        return drawn


@contextmanager
def opened(source: str, data: bytes) -> Iterator[Document]:
    """The PDF in `data`. Raises ImageUnreadableError where it is damaged, locked or empty."""
    from pypdfium2 import PdfDocument, PdfiumError

    name = names_of(source)[0]
    try:
        pdf = PdfDocument(data)
    except PdfiumError as error:
        if "password" in str(error).lower():
            raise ImageUnreadableError(
                f"{source}: the PDF is encrypted, and opens with a password only"
                " (qpdf is in Homebrew)",
                f"qpdf --decrypt --password=PASSWORD {name} unlocked.pdf",
            ) from error
        raise unreadable(source, data, error) from error
    try:
        if not len(pdf):
            raise ImageUnreadableError(f"{source}: the PDF has no pages", f"file {name}")
        pdf.init_forms()  # nothing where it has none
        yield Document(source, pdf)
    finally:
        pdf.close()


def _rendered(page: PdfPage, width_px: int, height_px: int) -> Image | None:
    """None where the deadline passed. The calls are those of `PdfPage.render`, with a pause."""
    import pypdfium2.internal as internals
    import pypdfium2.raw as pdfium
    from pypdfium2 import PdfBitmap

    deadline = monotonic() + DRAW_S
    bitmap = PdfBitmap.new_native(width_px, height_px, pdfium.FPDFBitmap_BGR)
    try:
        bitmap.fill_rect((255, 255, 255, 255), 0, 0, width_px, height_px)
        pause = pdfium.IFSDK_PAUSE(version=1)
        internals.set_callback(pause, "NeedToPauseNow", lambda _pause: monotonic() > deadline)
        place = (0, 0, width_px, height_px, 0, pdfium.FPDF_ANNOT)
        state = pdfium.FPDF_RenderPageBitmap_Start(bitmap, page, *place, pause)
        pdfium.FPDF_RenderPage_Close(page)
        if state != pdfium.FPDF_RENDER_DONE:
            return None
        if page.formenv:
            pdfium.FPDF_FFLDraw(page.formenv, bitmap, page, *place)
        image: Image = bitmap.to_pil()
        return image.convert("RGB")
    finally:
        bitmap.close()
