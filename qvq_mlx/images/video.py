"""A video to the frames that a model sees: the module that talks to OpenCV.

Law: whatever the file is, `read_clip` returns a Clip or raises an InputError or UsageError in one
line, within MAX_DECODE_S; nothing is printed. Frames are decoded one after the other, resized at
once (the same 8-bit bicubic as pictures), and only those that are taken are kept. The rotation
that a file asks for is applied. A video is told by its content, never by its name.

A frame's time is its index / the frame rate, as in the reference; where the rate varies, that is
only near. Far frames are reached by seeking to a key frame, near ones by decoding what lies
between. Not covered: pixels that are not square, and HDR, which is cut to 8 bit as it is.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.clip import Clip
from qvq_mlx.core.errors import (
    ImageSizeError,
    ImageUnreadableError,
    InputError,
    NoVideoError,
    UsageError,
)
from qvq_mlx.core.image_options import ImageOptions
from qvq_mlx.core.remedies import AskAgain, Field, RunProgram, Show
from qvq_mlx.images.containers import is_film
from qvq_mlx.images.footage import Footage, Taken, take, tokens_of
from qvq_mlx.images.paths import names_of
from qvq_mlx.images.quiet import muted
from qvq_mlx.system.scratch import scratch_file

if TYPE_CHECKING:
    from cv2 import VideoCapture

MAX_FRAME_PIXELS = 2**25
"""8K has 33.2 million."""
MAX_DECODE_S = 120.0
SEEK_FRAMES = 250
"""Farther than this, seeking is quicker: key frames lie at most some 250 frames apart."""
OPEN_MS = 10_000
COUNT_SLACK = 0.02
"""Of the frames that a file states: so many may be missing at its end."""
RATE_SLACK = 0.1
"""Of the duration that a file states, where its frames are fewer."""

_UNKNOWN = 2**31
_ATOMS = (b"moov", b"mdat", b"wide", b"skip")  # QuickTime files without a brand


class _EndsError(Exception):
    """There are fewer frames than the file states."""


def is_video(head: bytes) -> bool:
    """True if the first HEAD_BYTES of a file are those of MP4, MOV, WebM, Matroska or AVI."""
    if is_film(head):
        return True
    if head[4:8] in _ATOMS or head.startswith(b"\x1a\x45\xdf\xa3"):
        return True
    return head.startswith(b"RIFF") and head[8:12] == b"AVI "


def read_clip(source: str, data: bytes, limits: VisionLimits, options: ImageOptions) -> Clip:
    """The clip in the bytes of `source`.

    Raises NoVideoError where the model takes no video, ImageUnreadableError,
    ImageSizeError, and UsageError for `options` that it cannot be read with.
    """
    if not limits.video:
        raise NoVideoError(f"{source} is a video", Show.MODELS)
    if options.crop is not None or options.pages.ranges:
        field = Field.CROP if options.crop is not None else Field.PAGE
        raise UsageError((field, f" is for pictures, and {source} is a video"), Show.ASK_HELP)
    budget_tokens = tokens_of(options.detail)
    with scratch_file(data) as path, muted():  # OpenCV reads nothing but files
        deadline = time.monotonic() + MAX_DECODE_S
        try:
            clip = _read(source, path, limits, options, budget_tokens, deadline)
        except (InputError, UsageError):
            raise
        # OpenCV and PIL raise what they stumble over; all of it means the same here
        except Exception as error:
            raise _unreadable(source, f"it cannot be decoded ({_words(error)})") from error
    return replace(clip, sha256=hashlib.sha256(data).hexdigest())


def _read(
    source: str,
    path: Path,
    limits: VisionLimits,
    options: ImageOptions,
    budget_tokens: int,
    deadline: float,
) -> Clip:
    with _opened(source, path) as capture:
        footage = _stated(source, capture)
    if footage.frames == _UNKNOWN:
        footage = _counted(footage, path, deadline)
    taken = take(footage, options.frames, budget_tokens, limits)
    try:
        frames = _frames(footage, path, taken, deadline)
    except _EndsError:
        footage = _counted(footage, path, deadline)
        taken = take(footage, options.frames, budget_tokens, limits)
        try:
            frames = _frames(footage, path, taken, deadline)
        except _EndsError:
            raise _unreadable(source, "its frames cannot be told apart") from None
    span_s = None
    if options.frames.span_s is not None:
        span_s = (taken.indices[0] / footage.fps, taken.indices[-1] / footage.fps)
    return Clip(
        name=source,
        source_width_px=footage.width_px,
        source_height_px=footage.height_px,
        width_px=taken.width_px,
        height_px=taken.height_px,
        tokens=taken.tokens,
        sha256="",
        frames=frames,
        times_s=tuple(index / footage.fps for index in taken.indices),
        fps=taken.fps,
        duration_s=footage.duration_s,
        source_fps=footage.fps,
        span_s=span_s,
    )


@contextmanager
def _opened(source: str, path: Path) -> Iterator[VideoCapture]:
    import cv2

    capture = cv2.VideoCapture(
        str(path),
        cv2.CAP_FFMPEG,
        [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, OPEN_MS],
    )
    try:
        if not capture.isOpened():
            raise _unreadable(
                source,
                "no video can be decoded in it: it is damaged, holds sound only, or its codec is"
                " not known",
            )
        yield capture
    finally:
        capture.release()


def _stated(source: str, capture: VideoCapture) -> Footage:
    """Read the file's own statements. Raises ImageUnreadableError or ImageSizeError."""
    import cv2

    width_px = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    height_px = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    frames, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    if min(width_px, height_px) < 1:
        raise _unreadable(source, f"its frames are {width_px}×{height_px} pixels")
    if width_px * height_px > MAX_FRAME_PIXELS:
        raise ImageSizeError(
            f"{source}: frames of {width_px}×{height_px} pixels are too large; the limit is"
            f" {MAX_FRAME_PIXELS:,} pixels",
            RunProgram(("file", names_of(source)[0])),
        )
    if not 0 < fps < math.inf:
        raise _unreadable(source, "it states no frame rate")
    known = 1 <= frames < _UNKNOWN
    return Footage(source, width_px, height_px, int(frames) if known else _UNKNOWN, fps)


def _counted(stated: Footage, path: Path, deadline: float) -> Footage:
    """The frames that are really there, all of them decoded once.

    Containers round their number, or derive it from a rate that the frames do not keep: then the
    rate is what they keep on average. Raises ImageUnreadableError where a part is missing.
    """
    import cv2

    frames, last_s = 0, 0.0
    with _opened(stated.name, path) as capture:
        while capture.grab():
            frames += 1
            last_s = max(last_s, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            _check_time(stated, deadline, frames)
    if not frames:
        raise _unreadable(stated.name, "not one frame of it can be decoded")
    if stated.frames == _UNKNOWN or frames >= stated.frames * (1 - COUNT_SLACK) - 2:
        return replace(stated, frames=frames)
    if frames > 1 and last_s >= (1 - RATE_SLACK) * stated.duration_s:
        return replace(stated, frames=frames, fps=(frames - 1) / last_s)
    end_s = math.floor(frames / stated.fps * 10) / 10
    raise ImageUnreadableError(
        f"{stated.name}: the video is cut off or damaged: {frames:,} of {stated.frames:,} frames"
        " can be decoded",
        AskAgain(((Field.SPAN, f"0s-{max(end_s - 0.1, 0.1):.1f}s"),)),
    )


def _frames(footage: Footage, path: Path, taken: Taken, deadline: float) -> tuple[bytes, ...]:
    """The pixels of each frame that is taken. Raises _EndsError where there are fewer."""
    with _opened(footage.name, path) as capture:
        return tuple(_decoded(footage, capture, taken, deadline))


def _decoded(
    footage: Footage, capture: VideoCapture, taken: Taken, deadline: float
) -> Iterator[bytes]:
    from PIL import Image

    position = 0
    for index in taken.indices:
        position = _skip(capture, position, index)
        while position <= index:
            _check_time(footage, deadline, position)
            if not capture.grab():
                raise _EndsError
            position += 1
        whole, frame = capture.retrieve()
        if not whole:
            raise _EndsError
        height_px, width_px = frame.shape[:2]
        image = Image.frombuffer("RGB", (width_px, height_px), frame.tobytes(), "raw", "BGR", 0, 1)
        size = (taken.width_px, taken.height_px)
        yield image.resize(size, Image.Resampling.BICUBIC).tobytes()


def _skip(capture: VideoCapture, position: int, index: int) -> int:
    """Go on to `index` where that is far, as near as the file lets; where it is now."""
    import cv2

    if index - position <= SEEK_FRAMES:
        return position
    capture.set(cv2.CAP_PROP_POS_FRAMES, index)
    reached = int(capture.get(cv2.CAP_PROP_POS_FRAMES))
    if not position <= reached <= index:
        raise _EndsError
    return reached


def _check_time(footage: Footage, deadline: float, frames: int) -> None:
    if time.monotonic() > deadline:
        raise _unreadable(
            footage.name,
            f"after {MAX_DECODE_S:.0f} s no more than {frames:,} frames of it are decoded; ",
            Field.SPAN,
            " takes a part",
        )


def _unreadable(source: str, *reason: str) -> ImageUnreadableError:
    return ImageUnreadableError(
        (f"{source}: is a video, and ", *reason), RunProgram(("file", names_of(source)[0]))
    )


def _words(error: Exception) -> str:
    """Return an exception on one line."""
    return " ".join(str(error).split())[:100] or type(error).__name__
