"""Read a choice of video frames: so many a second or in all, within a span.

A span is BEGIN-END or BEGIN-: seconds (`3`, `3s`, `3.5s`), or minutes and hours (`0:03`,
`1:02:03.5`).
"""

from __future__ import annotations

import math
import re

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.image_options import Frames
from qvq_mlx.core.remedies import Ask, Field, Show

_TIME = r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)s?"
_SPAN = re.compile(rf"{_TIME}\s*[-–]\s*(?:{_TIME})?")
_A_SPAN = Ask(("VIDEO",), ((Field.SPAN, "0:03-0:12"),))


def parse_frames(fps: float | None, count: int | None, span: str | None) -> Frames:
    """Combine the three settings. Raises UsageError."""
    if fps is not None and count is not None:
        raise UsageError.excluding((Field.FPS,), (Field.FRAMES,))
    if fps is not None and not 0 < fps < math.inf:
        raise UsageError((Field.FPS, f" is {fps:g}; it is a number above 0"), Show.ASK_HELP)
    return Frames(fps, count, None if span is None else parse_span(span))


def parse_span(text: str) -> tuple[float, float | None]:
    """Begin and end in seconds; end None: to the end. Raises UsageError."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            (Field.SPAN, f" {text[:40]!r} is no span like 3s-12s or 0:03-0:12"), _A_SPAN
        )
    begin_s = _seconds(*found.group(1, 2, 3))
    end_s = _seconds(*found.group(4, 5, 6)) if found[6] else None
    if end_s is not None and end_s <= begin_s:
        raise UsageError((Field.SPAN, f" {text[:40]!r} ends before it begins"), _A_SPAN)
    return begin_s, end_s


def _seconds(hours: str | None, minutes: str | None, seconds: str) -> float:
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)
