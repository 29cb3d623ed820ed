"""Small films of any container, made here: which frame is which can be seen in its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, FRAMES, RATE = 96, 64, 40, 20.0
TICKS = 1000


@dataclass(frozen=True)
class Steady(Sequence[float]):
    """The times of `count` frames at one rate, none of them kept."""

    frames: int
    rate: float

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, index):
        if not -self.frames <= index < self.frames:
            raise IndexError(index)
        return (index % self.frames) / self.rate


def record(
    path: Path,
    codec: str = "mpeg4",
    frames: int = FRAMES,
    rate: float = RATE,
    *,
    times_s: Sequence[float] = (),
    sound_s: float = 0.0,
    gop: int = 12,
    pixel: str = "",
    options: dict[str, str] | None = None,
) -> Path:
    """A film whose red part grows from the left. `times_s` says when each frame is shown, where
    they do not keep the `rate`; `sound_s`: how long silence is heard beside it.
    """
    every = Fraction(rate).limit_denominator(1001)
    with av.open(str(path), "w", options=options or {}) as out:
        stream = out.add_stream(codec, rate=every, options={"b:v": "2000k"})
        stream.width, stream.height, stream.gop_size = WIDTH, HEIGHT, gop
        stream.pix_fmt = pixel or ("yuvj420p" if codec == "mjpeg" else "yuv420p")
        sound = out.add_stream("pcm_s16le", rate=8000, layout="mono") if sound_s else None
        if times_s:
            stream.codec_context.time_base = Fraction(1, TICKS)
        for index in range(frames):
            picture = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
            picture[:, : WIDTH * (index + 1) // frames] = (250, 0, 0)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times_s:
                frame.pts, frame.time_base = round(times_s[index] * TICKS), Fraction(1, TICKS)
            else:
                frame.pts, frame.time_base = index, 1 / every
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, int(8000 * sound_s)), np.int16), layout="mono"
            )
            silence.sample_rate, silence.pts = 8000, 0
            out.mux(sound.encode(silence))
            out.mux(sound.encode())
    return path
