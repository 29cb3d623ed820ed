"""Measure the progress of files: bytes, speed, time left.

Law: the speed is what came in the last 10 s over that time, so a pause shows; the time left is
what is missing at that speed, and is not said before a second has passed or while nothing comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from qvq_mlx.core.sizes import size, unit_of
from qvq_mlx.render.meter import short

_WINDOW_S = 10.0


class Gauge:
    """All files of one command. `have_bytes` of `total_bytes` were there before."""

    def __init__(self, clock: Callable[[], float], total_bytes: int, have_bytes: int) -> None:
        self._clock = clock
        self._total_bytes = total_bytes
        self._done_bytes = have_bytes
        self._reached: dict[str, int] = {}
        self._samples: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._came_bytes = 0

    def start(self, have_bytes: int) -> None:
        """Correct the bytes that are here at the start, perhaps more than was said."""
        self._done_bytes = have_bytes

    def began(self, path: str, received_bytes: int) -> None:
        """A file whose first bytes are counted already."""
        self._reached[path] = received_bytes

    def reached(self, path: str, received_bytes: int) -> None:
        """A file is as far as this; it may have fallen back."""
        step = received_bytes - self._reached.get(path, 0)
        self._reached[path] = received_bytes
        self._done_bytes += step
        self._came_bytes += max(0, step)
        now = self._clock()
        if now - self._samples[-1][0] >= 0.2:
            self._samples.append((now, self._came_bytes))

    @property
    def bytes_per_s(self) -> float:
        """The speed of the last seconds; 0 before it means something."""
        now = self._clock()
        while len(self._samples) > 1 and now - self._samples[1][0] >= _WINDOW_S:
            self._samples.popleft()
        since, before = self._samples[0]
        elapsed = now - since
        return (self._came_bytes - before) / elapsed if elapsed >= 1 else 0.0

    def parts(self) -> list[str]:
        """`12.3/38.5 GiB`, `32 %`, `5m 12s left`, `85.1 MiB/s`: the first matters most."""
        found = [
            of(self._done_bytes, self._total_bytes),
            percent(self._done_bytes, self._total_bytes),
        ]
        speed = self.bytes_per_s
        if speed >= 1 and self._done_bytes < self._total_bytes:
            found.append(f"{short((self._total_bytes - self._done_bytes) / speed)} left")
            found.append(f"{size(int(speed))}/s")
        return found


def of(done: int, total: int) -> str:
    """`1.2/4.7 GiB`: both in the unit of the larger."""
    unit, name = unit_of(total)
    return f"{done / unit:.1f}/{total / unit:.1f} {name}"


def percent(done: int, total: int) -> str:
    """`32 %`; 100 only where all is there."""
    return f"{100 * done // total if total else 100} %"
