"""The bytes of a data URI (RFC 2397): `data:image/png;base64,...`, or percent-encoded.

What it says of its type is not believed: the bytes are looked at, as with a file.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from qvq_mlx.core.errors import ImageSizeError, ImageUnreadableError
from qvq_mlx.core.remedies import Ask, RunProgram
from qvq_mlx.images.paths import called

_URL_SAFE = bytes.maketrans(b"-_", b"+/")
"""RFC 4648, section 5."""
MAX_CHARACTERS = 64 * 2**20
_DECODE = (RunProgram(("pbpaste",)), RunProgram(("sed", "s/^.*,//")), RunProgram(("base64", "-d")))
_DECODED = Ask(("-",), piped=_DECODE)


def from_data(source: str) -> bytes:
    """The bytes of a data URI. Raises ImageSizeError or ImageUnreadableError."""
    name = called(source)
    if len(source) > MAX_CHARACTERS:
        raise ImageSizeError(
            f"{name}: {len(source):,} characters are too many; the limit is {MAX_CHARACTERS:,}",
            Ask(("-",), stdin="image.png"),
        )
    head, comma, text = source.partition(",")
    if not comma:
        raise ImageUnreadableError(f"{name}: the data URI has no comma, so no data", _DECODED)
    data = unquote_to_bytes(text)
    if "".join(head.lower().split()).endswith(";base64"):
        plain = b"".join(data.split()).rstrip(b"=").translate(_URL_SAFE)
        try:
            data = base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
        except binascii.Error as error:
            raise ImageUnreadableError(
                f"{name}: its base64 is cut off or damaged", _DECODED
            ) from error
    if not data:
        raise ImageUnreadableError(f"{name}: the data URI holds no bytes", _DECODED)
    return data
