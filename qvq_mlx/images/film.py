"""A film's frames and their times, from what is really in the file: the module that talks to PyAV.

Law: nothing is believed that a container says of the number, the rate or the length of its frames.
Every packet is looked at once, without decoding: which of them are shown, and when, follows from
their own stamps after the edit list was applied. A frame's time is the file's own, the one that
ffprobe prints.

FFmpeg is told which of its demuxers to use, so that no file can name another one or an address.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from qvq_mlx.images.containers import demuxer_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SEEK_FRAMES = 250
"""Farther than this, seeking is quicker: key frames lie at most some 250 frames apart."""
LOST_FRAMES = 2
"""So many may fail to be decoded where one is taken, and the next one stands for it."""

_TURNS = {90: 2, 180: 3, 270: 4}  # degrees to the left, as Image.Transpose numbers them
QUARTERS = (2, 4)
"""The turns that make the width of the height."""


class NoFilmError(Exception):
    """There is no video that can be decoded, for the reason given."""


class EndsError(Exception):
    """A frame that the file announces cannot be decoded."""


class LateError(Exception):
    """The time is up, after `frames` frames."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        super().__init__(frames)


@dataclass(frozen=True, slots=True)
class Reel:
    """The frames that are shown, in their order. `stamps` are in units of `tick_s`.

    `announced`: how many frames an index names, shown or not; 0 where there is none. `found`: how
    many of these are there.
    """

    width_px: int
    height_px: int
    stamps: tuple[int, ...]
    tick_s: float
    last_s: float
    announced: int
    found: int

    @property
    def times_s(self) -> tuple[float, ...]:
        """When each frame is shown."""
        return tuple(max(0.0, stamp * self.tick_s) for stamp in self.stamps)

    @property
    def end_s(self) -> float:
        """When the last frame goes."""
        return self.times_s[-1] + self.last_s


def listed(data: bytes, deadline: float) -> Reel:
    """Raises NoFilmError or LateError."""
    with _opened(data) as (container, stream):
        context = stream.codec_context
        shown: list[tuple[int, int]] = []
        found = 0
        for packet in _packets(container, stream):
            stamp = packet.dts if packet.pts is None else packet.pts
            found += 1
            if stamp is not None and not packet.is_discard and not _is_hidden(packet, context.name):
                shown.append((stamp, packet.duration or 0))
            if found % 256 == 0 and time.monotonic() > deadline:
                raise LateError(found)
        shown.sort()
        stamps = tuple(dict.fromkeys(stamp for stamp, _ in shown))
        if not stamps:
            raise NoFilmError("not one frame of it can be decoded")
        assert stream.time_base is not None, "a stream that has packets has it"
        tick_s = float(stream.time_base)
        width, height, announced = context.width, context.height, _announced(container, stream)
    last = shown[-1][1] or (stamps[-1] - stamps[0]) / max(1, len(stamps) - 1)
    return Reel(width, height, stamps, tick_s, max(last * tick_s, tick_s), announced, found)


def counted(data: bytes, reel: Reel, deadline: float) -> Reel:
    """`reel` with the stamps of those frames alone that can be decoded."""
    with _opened(data) as (container, stream):
        stamps = []
        for number, frame in enumerate(_frames(container, stream)):
            if frame.pts is not None:
                stamps.append(frame.pts)
            if time.monotonic() > deadline:
                raise LateError(number)
    if not stamps:
        raise NoFilmError("not one frame of it can be decoded")
    ordered = tuple(sorted(dict.fromkeys(stamps)))
    lost = len(reel.stamps) - len(ordered)
    found = reel.found - max(0, lost)
    return Reel(
        reel.width_px, reel.height_px, ordered, reel.tick_s, reel.last_s, reel.announced, found
    )


def decoded(
    data: bytes, reel: Reel, indices: Sequence[int], deadline: float
) -> Iterator[VideoFrame]:
    """The frames at `indices`, which ascend. Raises EndsError or LateError."""
    with _opened(data) as (container, stream):
        frames = _frames(container, stream)
        position = -1  # the index of the last frame that was decoded
        frame: VideoFrame | None = None
        for index in indices:
            if index - position > SEEK_FRAMES:
                container.seek(reel.stamps[index], stream=stream)
                frames = _frames(container, stream)
            while frame is None or position < index:
                frame = next(frames, None)
                if frame is None:
                    raise EndsError
                if frame.pts is not None:
                    position = bisect_left(reel.stamps, frame.pts)
                else:
                    position += 1
                if time.monotonic() > deadline:
                    raise LateError(position)
            if position > index + LOST_FRAMES:
                raise EndsError
            yield frame


def turn_of(frame: VideoFrame) -> int | None:
    """The turn that the file asks for, as PIL's Image.Transpose numbers it."""
    return _TURNS.get(frame.rotation % 360)


@contextmanager
def _opened(data: bytes) -> Iterator[tuple[InputContainer, VideoStream]]:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

    unknown = "it is damaged, holds sound only, or its codec is not known"
    try:
        container = av.open(BytesIO(data), format=demuxer_of(data))
    except (av.error.FFmpegError, ValueError) as error:
        raise NoFilmError(f"no video can be decoded in it: {unknown}") from error
    with container:
        assert isinstance(container, InputContainer), "it is read"
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream) or stream.codec_context is None:
            raise NoFilmError(f"no video can be decoded in it: {unknown}")
        stream.thread_type = "AUTO"
        yield container, stream


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Those with bytes, up to the end or to the first one that is damaged."""
    import av

    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except av.error.FFmpegError:
        return


def _frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Decoded from where the container stands; a packet that is damaged gives none."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from packet.decode()
        except av.error.EOFError:
            return
        except av.error.InvalidDataError:
            continue
        except av.error.FFmpegError:
            return


def _announced(container: InputContainer, stream: VideoStream) -> int:
    """Of MP4 the index, once the edit list has left its mark on it; of AVI the header."""
    if "mov" in container.format.name:
        return len(stream.index_entries)
    return stream.frames if container.format.name == "avi" else 0


def _is_hidden(packet: Packet[VideoStream], codec: str) -> bool:
    """A frame of VP8 that others are predicted from and that is never shown; RFC 6386, 9.1."""
    return codec == "vp8" and packet.size > 0 and not bytes(packet)[0] & 0x10
