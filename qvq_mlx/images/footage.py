"""Choose which frames of a video are taken, and their size.

Law: where nobody asks otherwise, this is the rule of qwen-vl-utils 0.0.14, the reference of all
three families, with a tighter bound on the tokens of the whole clip:

    frames   seconds x fps, at least 4, at most 768, rounded down to pairs; spread evenly from the
             first frame to the last, both included
    a frame  128 to 768 tokens to a pair, less where the clip's tokens / pairs are less, and never
             under 1.05 x 128; then `smart_resize`
    a clip   `tokens_of(detail)`: 4,096 at `auto`, where the reference allows 115,200

So a long video gives fewer frames, not smaller ones: about a minute of 2 frames a second at `auto`
is 60 frames. What the user asks for by number is honoured or refused, never rounded.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.clip import FRAMES_PER_STEP
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.image_options import Detail, Frames, ImageSize, TokenRange
from qvq_mlx.core.remedies import AskAgain, Field
from qvq_mlx.images.resize import smart_resize

FPS = 2.0
MIN_FRAMES = 4
MAX_FRAMES = 768
MIN_STEP_TOKENS = 128
MAX_STEP_TOKENS = 768
_SLACK_S = 1e-6
_RATE_SLACK = 1e-3
"""A rate of 29.97 is asked for where 30000 / 1001 frames are there."""
_WHOLE = 1e-6
_PROBES = 1000
MAX_CLIP_TOKENS = 16384
"""Of any clip. With `auto` it is a quarter of that."""


@dataclass(frozen=True, slots=True)
class Footage:
    """Facts of the video in a file. `name` is the source, as the user gave it.

    `times_s` says when each frame is shown, ascending; the last one goes at `end_s`.
    """

    name: str
    width_px: int
    height_px: int
    times_s: Sequence[float]
    end_s: float

    @property
    def frames(self) -> int:
        """Count all frames."""
        return len(self.times_s)

    @property
    def duration_s(self) -> float:
        """As long as its frames last."""
        return self.end_s - self.times_s[0]

    @property
    def fps(self) -> float:
        """On average."""
        return self.frames / self.duration_s

    def seconds(self, first: int, last: int) -> float:
        """How long the frames from `first` to `last` are shown."""
        end_s = self.times_s[last + 1] if last + 1 < self.frames else self.end_s
        return end_s - self.times_s[first]


@dataclass(frozen=True, slots=True)
class Taken:
    """The frames to take, by index, and their size. `fps` of them are taken of a second."""

    indices: tuple[int, ...]
    fps: float
    height_px: int
    width_px: int
    tokens: int


def tokens_of(detail: ImageSize) -> int:
    """The most tokens that a clip may take. Raises UsageError for more than MAX_CLIP_TOKENS."""
    match detail:
        case Detail.LOW:
            return 1024
        case Detail.AUTO:
            return 4096
        case Detail.HIGH:
            return 8192
        case Detail.MAX:
            return MAX_CLIP_TOKENS
        case int() | TokenRange():
            most = detail if isinstance(detail, int) else detail.max_tokens
            if most > MAX_CLIP_TOKENS:
                raise UsageError(
                    f"{most:,} tokens are too many for a video; the limit is {MAX_CLIP_TOKENS:,}",
                    AskAgain(((Field.DETAIL, str(MAX_CLIP_TOKENS)),)),
                )
            return most
        case _:
            assert_never(detail)


def take(footage: Footage, frames: Frames, budget_tokens: int, limits: VisionLimits) -> Taken:
    """The frames that the model sees. Raises UsageError for frames or a span that are not there,
    or that have no room within `budget_tokens`; ImageSizeError as `smart_resize`.
    """
    first, last = _range(footage, frames.span_s)
    room = _most_frames(footage, budget_tokens, limits)
    count = _count(footage, (first, last), frames, room)
    steps = -(-count // FRAMES_PER_STEP)
    height_px, width_px = _size(footage, count, budget_tokens, limits)
    if steps * height_px * width_px > budget_tokens * limits.factor_px**2:
        # a long strip, one token wide, is not held to its share by `smart_resize`
        height_px, width_px = _least_size(footage, limits)
    return Taken(
        indices=_spread(footage, first, last, count),
        fps=count / footage.seconds(first, last),
        height_px=height_px,
        width_px=width_px,
        tokens=steps * (height_px // limits.factor_px) * (width_px // limits.factor_px),
    )


def _range(footage: Footage, span_s: tuple[float, float | None] | None) -> tuple[int, int]:
    """The first and the last frame of a span; what lies behind the end is not missed."""
    if span_s is None:
        return 0, footage.frames - 1
    begin_s, end_s = span_s
    first = bisect_left(footage.times_s, begin_s - _SLACK_S)
    last = footage.frames - 1
    if end_s is not None:
        last = bisect_right(footage.times_s, end_s + _SLACK_S) - 1
    if first > last:
        raise UsageError(
            (
                f"{footage.name}: no frame lies in that ",
                Field.SPAN,
                f"; the video is {footage.duration_s:.1f} s long",
            ),
            AskAgain(((Field.SPAN, f"{footage.times_s[0]:.0f}s-{footage.end_s:.1f}s"),)),
        )
    return first, last


def _most_frames(footage: Footage, budget_tokens: int, limits: VisionLimits) -> int:
    """Count the frames of the smallest size that have room."""
    height_px, width_px = _least_size(footage, limits)
    tokens = (height_px // limits.factor_px) * (width_px // limits.factor_px)
    if tokens > budget_tokens:
        raise UsageError(
            f"{footage.name}: {budget_tokens:,} tokens have no room for a frame, which takes"
            f" {tokens:,} at least",
            AskAgain(((Field.DETAIL, str(tokens)),)),
        )
    return budget_tokens // tokens * FRAMES_PER_STEP


def _count(footage: Footage, span: tuple[int, int], frames: Frames, room: int) -> int:
    """Count the frames to take from the first to the last of `span`, where `room` is for so
    many.
    """
    there = span[1] - span[0] + 1
    if frames.count is not None:
        if frames.count > there:
            raise UsageError(
                (
                    f"{footage.name}: {there} frames are there, and ",
                    Field.FRAMES,
                    f" asks for {frames.count}",
                ),
                AskAgain(((Field.FRAMES, str(there)),)),
            )
        _check_room(footage, frames.count, Field.FRAMES, room)
        return frames.count
    if frames.fps is not None and frames.fps > footage.fps * (1 + _RATE_SLACK):
        raise UsageError(
            (
                f"{footage.name}: {footage.fps:g} frames a second are there, and ",
                Field.FPS,
                f" asks for {frames.fps:g}",
            ),
            AskAgain(((Field.FPS, f"{math.floor(footage.fps * 100) / 100:g}"),)),
        )
    if there < FRAMES_PER_STEP:
        return there
    wanted = max(footage.seconds(*span) * (frames.fps or FPS) + _WHOLE, MIN_FRAMES)
    if frames.fps is not None:
        _check_room(footage, math.floor(wanted), Field.FPS, room)
    count = math.floor(min(wanted, there, room, MAX_FRAMES))
    return count // FRAMES_PER_STEP * FRAMES_PER_STEP


def _check_room(footage: Footage, count: int, asked_by: Field, room: int) -> None:
    most = min(room, MAX_FRAMES)
    if count > most:
        raise UsageError(
            (
                f"{footage.name}: ",
                asked_by,
                f" asks for {count} frames, and {most} have room (",
                Field.DETAIL,
                " gives more, ",
                Field.SPAN,
                " takes less)",
            ),
            AskAgain(((Field.FRAMES, str(most)),)),
        )


def _size(
    footage: Footage, count: int, budget_tokens: int, limits: VisionLimits
) -> tuple[int, int]:
    """Height and width of each of `count` frames."""
    token_px = limits.factor_px**2
    least = MIN_STEP_TOKENS * token_px
    share = budget_tokens * token_px / count * FRAMES_PER_STEP
    most = max(min(MAX_STEP_TOKENS * token_px, share), int(least * 1.05))
    bounds = replace(limits, min_pixels=least, max_pixels=int(most))
    return smart_resize(footage.height_px, footage.width_px, bounds)


def _least_size(footage: Footage, limits: VisionLimits) -> tuple[int, int]:
    return _size(footage, FRAMES_PER_STEP, 0, limits)


def _spread(footage: Footage, first: int, last: int, count: int) -> tuple[int, ...]:
    """`count` frames from `first` to `last`, evenly: by number where the rate is steady, halves
    going to the even neighbour; else those that are on the screen at even distances in time, as
    long as these are different ones.
    """
    if count == 1:
        return (first,)
    steps = range(count)
    by_number = tuple(round(first + (last - first) * step / (count - 1)) for step in steps)
    if _is_steady(footage, first, last):
        return by_number
    begin_s = footage.times_s[first]
    step_s = (footage.times_s[last] - begin_s) / (count - 1)
    times_s = footage.times_s
    by_time = [bisect_right(times_s, begin_s + step * step_s + _SLACK_S) - 1 for step in steps]
    return tuple(by_time) if len(set(by_time)) == count else by_number


def _is_steady(footage: Footage, first: int, last: int) -> bool:
    """True if no frame is farther from its place than half the time that one takes."""
    begin_s = footage.times_s[first]
    period_s = (footage.times_s[last] - begin_s) / max(1, last - first)
    places = range(first, last + 1, max(1, (last - first) // _PROBES))
    apart = (abs(footage.times_s[at] - begin_s - (at - first) * period_s) for at in places)
    return max(apart) <= period_s / 2
