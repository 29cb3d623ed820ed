"""A saved run on the screen again: through the renderer that showed it, or with keys to go through.

Law: the seconds that are shown are those of the run, not of the replay: a tape stands for the
clock. The keyboard is left alone; `viewer` is for that.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qvq_mlx.core.clip import Clip, Visual
from qvq_mlx.core.env import Env
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    Stats,
    ThinkingDelta,
)
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import ThinkingView
from qvq_mlx.records.runs import ImageRecord, RequestRecord, VideoRecord
from qvq_mlx.render.meter import Meter, thought
from qvq_mlx.render.opening import Manner, Opening
from qvq_mlx.render.tty import Screen
from qvq_mlx.render.unmarked import Unmarked


def replay(
    request: RequestRecord,
    events: Sequence[Event],
    env: Env,
    *,
    hint: str,
    view: ThinkingView | None = None,
    boxed_only: bool = False,
) -> None:
    """Leave on stdout, a terminal, what the run left there. `events` end with `Done`.

    `hint` is the command that shows the thinking.
    """
    tape = Tape(stats_of(events))
    view = view or ThinkingView.TAIL
    manner = Manner(view=view, answers=True, boxed_only=boxed_only, hint=hint, saved=True)
    # a stream that is no terminal: what is typed meanwhile is the shell's
    screen = Screen(replace(env, clock=tape.read, stdin=io.StringIO()), manner=manner)
    shown = Unmarked(screen)
    try:
        screen.open(Opening(receipts=tuple(receipts_of(request))))
        for event in events:
            tape.wind(event)
            shown.feed(event)
    except BaseException:
        screen.abort()
        raise


@dataclass(slots=True)
class Tape:
    """A clock that says what time it was in the run."""

    stats: Stats
    now_s: float = 0.0

    def read(self) -> float:
        """Seconds from the start of the run."""
        return self.now_s

    def wind(self, event: Event) -> None:
        """To where this event happened, as far as the numbers at the end say."""
        first_s = self.stats.first_token_s
        match event:
            case ThinkingDelta():
                self.now_s = max(self.now_s, first_s)
            case AnswerDelta():
                self.now_s = max(self.now_s, first_s + self.stats.thinking_s)
            case Done():
                self.now_s = max(self.now_s, first_s + self.stats.decode_s)
            case Progress() | AnswerRetracted() | Looked() | Notice():
                pass


def stats_of(events: Sequence[Event]) -> Stats:
    """The numbers at the end."""
    end = events[-1] if events else None
    return end.stats if isinstance(end, Done) else Stats()


def thought_of(events: Sequence[Event]) -> str:
    """`Thought for 42 s · 1,284 tokens`."""
    tape = Tape(stats_of(events))
    meter = Meter(tape.read)
    for event in events:
        tape.wind(event)
        meter.saw(event)
    return " · ".join(thought(meter))


def receipts_of(request: RequestRecord) -> list[str]:
    """The line that says what was read, for each picture."""
    return [_picture(image).receipt for image in request.images]


def _picture(image: ImageRecord) -> Visual:
    if image.video is not None:
        return _clip(image, image.video)
    return Picture(
        name=image.path,
        source_width_px=image.source_width_px,
        source_height_px=image.source_height_px,
        width_px=image.width_px,
        height_px=image.height_px,
        tokens=image.tokens,
        sha256=image.sha256,
        rgb=b"",
        page=image.page,
        crop=image.crop,
    )


def _clip(image: ImageRecord, video: VideoRecord) -> Clip:
    span_s = None
    if video.start_s is not None and video.end_s is not None:
        span_s = (video.start_s, video.end_s)
    return Clip(
        name=image.path,
        source_width_px=image.source_width_px,
        source_height_px=image.source_height_px,
        width_px=image.width_px,
        height_px=image.height_px,
        tokens=image.tokens,
        sha256=image.sha256,
        frames=(b"",) * video.frames,
        times_s=video.times_s,
        fps=video.fps,
        duration_s=video.duration_s,
        source_fps=video.source_fps,
        span_s=span_s,
    )
