"""PDFs of a few hundred bytes, written by hand: a page per content stream."""

from __future__ import annotations

from collections.abc import Sequence

RED = b"1 0 0 rg 0 0 9000 9000 re f"
BLUE = b"0 0 1 rg 0 0 9000 9000 re f"


def pdf(
    *contents: bytes,
    box: str = "0 0 72 144",
    extra: str = "",
    more: Sequence[bytes] = (),
    trailer: str = "",
) -> bytes:
    """`extra` goes into each page's dictionary; `more` are objects, the first after the pages'."""
    first = 3
    pages = [f"{first + 2 * number} 0 R" for number in range(len(contents))]
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{' '.join(pages)}] /Count {len(contents)} >>".encode(),
    ]
    for number, content in enumerate(contents):
        page = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}]"
            f" /Contents {first + 2 * number + 1} 0 R {extra} >>"
        )
        bodies += [page.encode(), stream(content)]
    bodies += more
    out, places = b"%PDF-1.7\n", []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(bodies) + 1
    end = f"trailer << /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + end.encode()


def stream(content: bytes, entries: str = "") -> bytes:
    return f"<< {entries} /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream"


def encrypted(content: bytes = RED) -> bytes:
    """Standard encryption with a user password that nobody knows."""
    entry = f"<< /Filter /Standard /V 1 /R 2 /P -4 /O <{'ab' * 32}> /U <{'cd' * 32}> >>"
    return pdf(
        content, more=[entry.encode()], trailer=f"/Encrypt 5 0 R /ID [<{'00' * 16}> <{'00' * 16}>]"
    )


def nested_forms(depth: int) -> bytes:
    """Ten to the power of `depth` rectangles in a few hundred bytes."""
    forms = []
    for level in range(depth):
        last = level == depth - 1
        inner = b"0 0 72 144 re f " if last else b"/F Do " * 10
        uses = "" if last else f"/Resources << /XObject << /F {6 + level} 0 R >> >>"
        forms.append(stream(inner, f"/Type /XObject /Subtype /Form /BBox [0 0 72 144] {uses}"))
    return pdf(b"/F Do", extra="/Resources << /XObject << /F 5 0 R >> >>", more=forms)
