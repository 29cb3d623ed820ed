"""A video as the model sees it: some of its frames, and when each of them is shown.

Law: frames are in the order of time and of one size; pixels stay plain bytes. What is asked about
is a `Visual`: a still picture or a clip.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath

from qvq_mlx.core.image_options import Region
from qvq_mlx.core.picture import Picture

FRAMES_PER_STEP = 2
"""Two frames are one step of the vision encoder in every family; an odd last one is shown twice."""


@dataclass(frozen=True, slots=True)
class Clip:
    """The frames of one video, sampled and resized. `name` is the path as the user gave it.

    Every frame of `frames` holds `height_px * width_px * 3` bytes in row order, sRGB, 8 bit;
    `times_s` says when each is shown, from the video's begin. `source_*` is the size after the
    rotation that the file asks for, `duration_s` and `source_fps` are the whole video's. `span_s`
    is the part that was asked for, None for all of it; `fps` are the frames that were taken of a
    second of it. `tokens` are those of all steps; `sha256` is of the file's bytes.
    """

    name: str
    source_width_px: int
    source_height_px: int
    width_px: int
    height_px: int
    tokens: int
    sha256: str
    frames: tuple[bytes, ...] = field(repr=False)
    times_s: tuple[float, ...]
    fps: float
    duration_s: float
    source_fps: float
    span_s: tuple[float, float] | None = None

    @property
    def page(self) -> None:
        """A video has no pages."""

    @property
    def pages(self) -> int:
        """Of a file that holds one video."""
        return 1

    @property
    def crop(self) -> Region | None:
        """A video is shown whole."""
        return None

    @property
    def steps(self) -> int:
        """Pairs of frames."""
        return -(-len(self.frames) // FRAMES_PER_STEP)

    @property
    def step_s(self) -> float:
        """Seconds from one step to the next."""
        return FRAMES_PER_STEP / self.fps

    @property
    def step_times_s(self) -> tuple[float, ...]:
        """Return the time of each step: the mean of its two frames."""
        firsts = self.times_s[::FRAMES_PER_STEP]
        lasts = (*self.times_s[1::FRAMES_PER_STEP], self.times_s[-1])
        return tuple((first + last) / 2 for first, last in zip(firsts, lasts, strict=False))

    @property
    def receipt(self) -> str:
        """`clip.mp4 1920×1080 12.0 s · 24 frames → 448×252 · 1,536 tokens`."""
        span = ""
        if self.span_s is not None:
            span = f", {self.span_s[0]:.1f} s to {self.span_s[1]:.1f} s"
        frames = "1 frame" if len(self.frames) == 1 else f"{len(self.frames)} frames"
        return (
            f"{PurePath(self.name).name} {self.source_width_px}×{self.source_height_px}"
            f" {self.duration_s:.1f} s{span} · {frames} → {self.width_px}×{self.height_px}"
            f" · {self.tokens:,} tokens"
        )


Visual = Picture | Clip
"""What a question is about, in the order of the prompt."""
