"""A whole pull: the lock, two files at a time, and the snapshot when all are there.

Law: the generator's consumer is the only one who sees events, in the order in which they happened
per file. Workers touch nothing but their own part; the first failure stops the others between two
chunks. Whatever ends it, also a kill, the next pull goes on at the byte that was reached.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing, suppress
from datetime import datetime
from functools import partial

from qvq_mlx.core.errors import BrokenModelError, StoppedError
from qvq_mlx.families import check_runs
from qvq_mlx.store import layout, snapshots
from qvq_mlx.store.checkpoint import read_json
from qvq_mlx.store.download import (
    Began,
    BytesReceived,
    Fetch,
    FileDone,
    FileEvent,
    FileStarted,
    HubAccess,
    Idle,
    Listing,
    PullDone,
    PullEvent,
    PullPlan,
    Retrying,
    Verified,
    Waiting,
)
from qvq_mlx.store.hub import planning
from qvq_mlx.store.hub.part import Disk, PartFile
from qvq_mlx.store.hub.transfer import transfer
from qvq_mlx.store.hub.wire import Wire

_AT_A_TIME = 2
_POLL_S = 0.1
_IDLE_S = 0.5


class RealPace:
    """The machine's clock; a pause ends early, with StoppedError, where `stopping` says so."""

    def __init__(self, stopping: Callable[[], bool] = lambda: False) -> None:
        self._stopping = stopping

    def clock(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Wait, and look up now and then."""
        end = time.monotonic() + seconds
        while True:
            if self._stopping():
                raise StoppedError("stopped")
            left = end - time.monotonic() if seconds else 0.0
            if left <= 0:
                return
            time.sleep(min(left, _POLL_S))


def plan(
    folder: layout.RepoFolder, listing: Listing, disk: Disk, again: Collection[str] = ()
) -> PullPlan:
    """Return what is missing on this disk. The blobs in `again` count as missing."""
    return planning.plan(
        listing,
        disk.free_bytes(folder.root),
        lambda file: file.blob not in again and layout.is_whole(folder, file),
        partial(layout.arrived_bytes, folder),
    )


def pull(
    folder: layout.RepoFolder,
    listing: Listing,
    access: HubAccess,
    now: Callable[[], datetime],
    disk: Disk,
    again: Collection[str] = (),
) -> Iterator[PullEvent]:
    """Fetch what is missing and make the snapshot visible.

    Raises NetworkError, AccessError, DamagedError, DiskFullError, OSError, and
    UnsupportedModelError for an architecture that is not run.
    """
    pace = RealPace()
    waiting = False
    while True:
        with layout.locked(folder) as mine:
            if mine:
                yield from _pull(folder, listing, Wire(access, now), disk, again)
                return
        if not waiting:
            waiting = True
            yield Waiting(layout.lock_holder(folder))
        pace.pause(_POLL_S)


def _pull(
    folder: layout.RepoFolder, listing: Listing, wire: Wire, disk: Disk, again: Collection[str]
) -> Iterator[PullEvent]:
    """The lock is ours."""
    todo = plan(folder, listing, disk, again)  # another process may have fetched some meanwhile
    _check_runs(folder, listing)
    planning.check_room(todo, str(folder.hub_cache))
    layout.write_marker(folder, listing)
    yield Began(todo.have_bytes)
    fetched_bytes = 0
    reached: dict[str, int] = {}
    with closing(_fetched(folder, todo, wire, disk)) as events:
        for event in events:
            match event:
                case FileStarted(path=path, received_bytes=received):
                    reached[path] = received
                case Retrying(path=path, received_bytes=received):
                    reached[path] = received
                case BytesReceived(path=path, received_bytes=received):
                    fetched_bytes += received - reached[path]
                    reached[path] = received
                case FileDone(path="config.json"):
                    _check_runs(folder, listing)
                case Verified() | FileDone() | Idle():
                    pass
            yield event
    yield PullDone(snapshots.publish(folder, listing, disk.link), fetched_bytes)


def _check_runs(folder: layout.RepoFolder, listing: Listing) -> None:
    """Raise UnsupportedModelError, before gigabytes of weights come, where the config.json that is
    here is of an architecture that is not run.
    """
    if listing.kind is not layout.RepoKind.MODEL:
        return
    for file in listing.files:
        if file.path == "config.json" and layout.is_whole(folder, file):
            with suppress(BrokenModelError):  # whoever needs it says so
                check_runs(read_json(layout.bytes_of(folder, file.blob)), listing.repo)


def _fetched(
    folder: layout.RepoFolder, todo: PullPlan, wire: Wire, disk: Disk
) -> Generator[FileEvent | Idle, None, None]:
    """All files, two at a time."""
    waiting = deque(todo.fetches)
    stop = threading.Event()
    said: queue.SimpleQueue[FileEvent | BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            while (fetch := _next(waiting)) is not None:
                for event in _one(folder, todo.listing, fetch, wire, disk, stop):
                    said.put(event)
        except BaseException as error:  # it is raised where the events are read
            said.put(error)
        else:
            said.put(None)

    # a thread that waits for a silent server must not hold up the end of the process
    workers = [threading.Thread(target=work, daemon=True) for _ in range(_AT_A_TIME)]
    for worker in workers:
        worker.start()
    try:
        running = len(workers)
        while running:
            try:
                item = said.get(timeout=_IDLE_S)
            except queue.Empty:
                yield Idle()
                continue
            match item:
                case None:
                    running -= 1
                case BaseException() as error:
                    raise error
                case event:
                    yield event
    finally:
        stop.set()
        for worker in workers:
            worker.join(timeout=1.0)


def _next(waiting: deque[Fetch]) -> Fetch | None:
    try:
        return waiting.popleft()
    except IndexError:  # the other worker took the last one
        return None


def _one(
    folder: layout.RepoFolder,
    listing: Listing,
    fetch: Fetch,
    wire: Wire,
    disk: Disk,
    stop: threading.Event,
) -> Iterator[FileEvent]:
    file = fetch.file
    source = partial(wire.file, listing)
    with closing(PartFile(folder, file, disk)) as part:
        yield from transfer(file, source, part, RealPace(stop.is_set), wire.access)
        part.finish()
    yield FileDone(file.path, file.size_bytes)
