"""A picture that nobody here reads, converted by macOS's own decoder."""

from __future__ import annotations

from qvq_mlx.core.image_options import Pages
from qvq_mlx.images import mac
from qvq_mlx.images.diagnosis import converts
from qvq_mlx.system.programs import found

_FIRST = ((), ((1, 1),))


def by_the_system(data: bytes, pages: Pages, path: str | None, max_bytes: int) -> bytes:
    """A PNG of the first page, by `sips`; b'' where there is no sips, where it cannot either, and
    where another page is wanted. `path` is that of `programs.found`.
    """
    if pages.ranges not in _FIRST or not converts(data):
        return b""
    tool = found("sips", path)
    return mac.as_png(tool, data, max_bytes) if tool else b""
