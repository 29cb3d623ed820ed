"""A video to the frames that a model sees.

Law: whatever the file is, `read_clip` returns a Clip or raises an InputError or UsageError in one
line, within MAX_DECODE_S; nothing is printed. Frames are decoded one after the other, resized at
once (the same 8-bit bicubic as pictures), and only those that are taken are kept. The rotation
that a file asks for is applied. A video is told by its content, never by its name.

Far frames are reached by seeking to a key frame, near ones by decoding what lies between. Not
covered: pixels that are not square, and HDR, which is cut to 8 bit as it is.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator

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
from qvq_mlx.images import film
from qvq_mlx.images.film import EndsError, LateError, NoFilmError, Reel
from qvq_mlx.images.footage import Footage, Taken, take, tokens_of
from qvq_mlx.images.paths import names_of
from qvq_mlx.images.quiet import muted
from qvq_mlx.images.whole import is_cut

MAX_FRAME_PIXELS = 2**25
"""8K has 33.2 million."""
MAX_DECODE_S = 120.0
COUNT_SLACK = 0.02
"""Of the frames that a file announces: so many may be missing at its end."""


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
    tokens_of(options.detail)  # more than there can be is said before anything is decoded
    deadline = time.monotonic() + MAX_DECODE_S
    try:
        with muted():  # FFmpeg writes there by itself
            return _read(source, data, limits, options, deadline)
    except (InputError, UsageError):
        raise
    except NoFilmError as error:
        raise _unreadable(source, str(error)) from error
    except LateError as error:
        raise _unreadable(
            source,
            f"after {MAX_DECODE_S:.0f} s no more than {error.frames:,} frames of it are decoded; ",
            Field.SPAN,
            " takes a part",
        ) from error
    # PyAV and PIL raise what they stumble over; all of it means the same here
    except Exception as error:
        raise _unreadable(source, f"it cannot be decoded ({_words(error)})") from error


def _read(
    source: str, data: bytes, limits: VisionLimits, options: ImageOptions, deadline: float
) -> Clip:
    reel = film.listed(data, deadline)
    try:
        return _taken(source, data, reel, limits, options, deadline)
    except EndsError:
        reel = film.counted(data, reel, deadline)
    try:
        return _taken(source, data, reel, limits, options, deadline)
    except EndsError:
        raise _unreadable(source, "its frames cannot be told apart") from None


def _taken(
    source: str,
    data: bytes,
    reel: Reel,
    limits: VisionLimits,
    options: ImageOptions,
    deadline: float,
) -> Clip:
    width_px, height_px = _size(source, data, reel, deadline)
    footage = Footage(source, width_px, height_px, reel.times_s, reel.end_s)
    _check_whole(footage, data, reel, options)
    taken = take(footage, options.frames, tokens_of(options.detail), limits)
    times_s = tuple(footage.times_s[index] for index in taken.indices)
    return Clip(
        name=source,
        source_width_px=width_px,
        source_height_px=height_px,
        width_px=taken.width_px,
        height_px=taken.height_px,
        tokens=taken.tokens,
        sha256=hashlib.sha256(data).hexdigest(),
        frames=tuple(_pixels(data, reel, taken, deadline)),
        times_s=times_s,
        fps=taken.fps,
        duration_s=footage.duration_s,
        source_fps=footage.fps,
        span_s=None if options.frames.span_s is None else (times_s[0], times_s[-1]),
    )


def _size(source: str, data: bytes, reel: Reel, deadline: float) -> tuple[int, int]:
    """Width and height as they are shown. Raises ImageUnreadableError or ImageSizeError."""
    if min(reel.width_px, reel.height_px) < 1:
        raise _unreadable(source, f"its frames are {reel.width_px}×{reel.height_px} pixels")
    if reel.width_px * reel.height_px > MAX_FRAME_PIXELS:
        raise ImageSizeError(
            f"{source}: frames of {reel.width_px}×{reel.height_px} pixels are too large; the limit"
            f" is {MAX_FRAME_PIXELS:,} pixels",
            RunProgram(("file", names_of(source)[0])),
        )
    first = next(film.decoded(data, reel, (0,), deadline))
    quarter = film.turn_of(first) in film.QUARTERS
    return (first.height, first.width) if quarter else (first.width, first.height)


def _check_whole(footage: Footage, data: bytes, reel: Reel, options: ImageOptions) -> None:
    """Raises ImageUnreadableError where the file ends early and what is missing was asked for."""
    span_s = options.frames.span_s
    if span_s is not None and span_s[1] is not None and span_s[1] <= footage.end_s:
        return
    if reel.announced:
        if reel.found >= reel.announced * (1 - COUNT_SLACK) - 2:
            return
        announced = f" of {reel.announced:,}"
    elif is_cut(data):
        announced = ""
    else:
        return
    end_s = math.floor(footage.end_s * 10) / 10
    raise ImageUnreadableError(
        f"{footage.name}: the video is cut off or damaged: {footage.frames:,}{announced} frames"
        " can be decoded",
        AskAgain(((Field.SPAN, f"0s-{max(end_s - 0.1, 0.1):.1f}s"),)),
    )


def _pixels(data: bytes, reel: Reel, taken: Taken, deadline: float) -> Iterator[bytes]:
    """The RGB of each frame that is taken."""
    from PIL import Image

    size = (taken.width_px, taken.height_px)
    for frame in film.decoded(data, reel, taken.indices, deadline):
        if frame.width * frame.height > MAX_FRAME_PIXELS:
            raise NoFilmError(f"one of its frames is {frame.width}×{frame.height} pixels large")
        plane = frame.reformat(format="rgb24").planes[0]
        whole = (frame.width, frame.height)
        image = Image.frombuffer("RGB", whole, bytes(plane), "raw", "RGB", plane.line_size, 1)
        turn = film.turn_of(frame)
        upright = image if turn is None else image.transpose(Image.Transpose(turn))
        yield upright.resize(size, Image.Resampling.BICUBIC).tobytes()


def _unreadable(source: str, *reason: str) -> ImageUnreadableError:
    return ImageUnreadableError(
        (f"{source}: is a video, and ", *reason), RunProgram(("file", names_of(source)[0]))
    )


def _words(error: Exception) -> str:
    """Return an exception on one line."""
    return " ".join(str(error).split())[:100] or type(error).__name__
