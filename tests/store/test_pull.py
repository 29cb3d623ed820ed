"""A file's transfer as a state machine, the plan, and what a reply must say to be believed."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qvq_mlx.core.errors import AccessError, DamagedError, DiskFullError, NetworkError
from qvq_mlx.core.sizes import size
from qvq_mlx.render.gauge import Gauge, percent
from qvq_mlx.store import layout
from qvq_mlx.store.download import (
    BytesReceived,
    FileEvent,
    FileStarted,
    HubAccess,
    Listing,
    RemoteFile,
    Retrying,
    Verified,
)
from qvq_mlx.store.hub import planning, wire
from qvq_mlx.store.hub.transfer import judge, transfer
from qvq_mlx.store.hub.wire import Head, Hitch, Reply

ACCESS = HubAccess("http://127.0.0.1", tries=3)


class Memory:
    """A part in memory."""

    def __init__(self, file: RemoteFile, data: bytes = b"") -> None:
        self.file = file
        self.data = data

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def append(self, data: bytes) -> None:
        self.data += data

    def blob(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def restart(self) -> None:
        self.data = b""


class Instant:
    """A clock that a pause advances."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waited: list[float] = []

    def clock(self) -> float:
        self.now += 0.06
        return self.now

    def pause(self, seconds: float) -> None:
        if seconds:
            self.waited.append(seconds)
        self.now += seconds


def file_of(data: bytes) -> RemoteFile:
    return RemoteFile("model.safetensors", hashlib.sha256(data).hexdigest(), len(data))


class Scripted:
    """A server that gives so many bytes per request, in chunks, and then drops the connection."""

    def __init__(self, data: bytes, gifts: list[int], chunk: int = 7) -> None:
        self.data = data
        self.gifts = iter(gifts)
        self.chunk = chunk
        self.asked: list[int] = []

    def __call__(self, file: RemoteFile, start: int) -> AbstractContextManager[Reply]:
        return self._reply(start)

    @contextmanager
    def _reply(self, start: int) -> Iterator[Reply]:
        self.asked.append(start)
        gift = next(self.gifts, len(self.data))
        yield Reply(
            Head(206 if start else 200, start, len(self.data)),
            self._chunks(start, start + gift),
        )

    def _chunks(self, start: int, end: int) -> Iterator[bytes]:
        for at in range(start, min(end, len(self.data)), self.chunk):
            yield self.data[at : min(at + self.chunk, end)]
        if end < len(self.data):
            raise Hitch("dropped")


@given(st.binary(max_size=300), st.lists(st.integers(0, 80), max_size=12), st.integers(0, 300))
def test_whatever_a_server_gives_each_byte_is_asked_for_once(
    data: bytes, gifts: list[int], here: int
) -> None:
    file, source, pace = file_of(data), Scripted(data, gifts), Instant()
    part = Memory(file, data[:here])
    events: list[FileEvent] = []
    try:
        events.extend(transfer(file, source, part, pace, ACCESS))
    except NetworkError:
        # gave up, after so many requests in a row that brought nothing
        assert source.asked[-4:] == [part.size_bytes] * 4
        return
    assert part.data == data
    assert isinstance(events[0], FileStarted)
    assert isinstance(events[-1], Verified)
    assert source.asked == sorted(source.asked)
    reached = min(here, len(data))
    for event in events:
        if isinstance(event, BytesReceived):
            assert event.received_bytes >= reached
            reached = event.received_bytes


def test_pauses_double_while_nothing_comes_and_start_anew_when_something_does() -> None:
    data = bytes(100)
    pace = Instant()
    source = Scripted(data, [0, 0, 0, 10, 0])
    list(transfer(file_of(data), source, Memory(file_of(data)), pace, ACCESS))
    assert pace.waited == [1.0, 2.0, 4.0, 1.0, 2.0]


def test_bytes_that_are_not_the_files_are_thrown_away_three_times() -> None:
    file = RemoteFile("a", hashlib.sha256(b"right").hexdigest(), 5)
    source = Scripted(b"wrong", [])
    events: list[FileEvent] = []
    with pytest.raises(DamagedError, match="hash differs, 3 times"):
        events.extend(transfer(file, source, Memory(file), Instant(), ACCESS))
    assert source.asked == [0, 0, 0]
    assert [e.received_bytes for e in events if isinstance(e, Retrying)] == [0, 0]


def test_a_damaged_beginning_is_found_at_the_end() -> None:
    source = Scripted(b"right", [])
    part = Memory(file_of(b"right"), b"wr")
    list(transfer(file_of(b"right"), source, part, Instant(), ACCESS))
    assert source.asked == [2, 0]
    assert part.data == b"right"


FILE = file_of(bytes(100))
OTHER = "f" * 64


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (Head(500), "HTTP 500"),
        (Head(416), "HTTP 416"),
        (Head(204), "HTTP 204"),
        (Head(403, elsewhere=True), "HTTP 403"),
        (Head(206, 40, 100, etag=OTHER), "another file now"),
        (Head(206, 40, 101), "another file: 101 bytes, not 100"),
        (Head(206, 40, 100, linked_bytes=99), "another file: 99 bytes"),
        (Head(200, 0, 5000, html=True), "a web page: 5,000 bytes"),
        (Head(206, 40, None, html=True), "a web page instead"),
        (Head(206, 39, 100), "from byte 39, not from 40"),
        (Head(206, None, 100), "from byte None"),
        (Head(200, 0, 100), "from byte 0, not from 40"),
    ],
)
def test_a_reply_that_is_not_believed(head: Head, words: str) -> None:
    with pytest.raises(Hitch, match=words):
        judge(head, FILE, 40, skip=False)


def test_a_reply_that_is_believed() -> None:
    assert judge(Head(206, 40, 100, etag=FILE.blob), FILE, 40, skip=False) == 0
    assert judge(Head(206, 40, 100, etag="a mirror's own"), FILE, 40, skip=False) == 0
    assert judge(Head(206, 40, None), FILE, 40, skip=False) == 0
    assert judge(Head(200, 0, 100), FILE, 40, skip=True) == 40


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
def test_a_refusal_is_final(status: int) -> None:
    with pytest.raises(AccessError, match=str(status)):
        judge(Head(status), FILE, 0, skip=False)


def test_retry_after_in_both_forms() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert wire._retry_after("7", now) == 7.0
    later = format_datetime(now + timedelta(seconds=9), usegmt=True)
    assert wire._retry_after(later, now) == 9.0
    assert wire._retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now) == 0.0
    assert wire._retry_after("soon", now) is None
    assert wire._retry_after("", now) is None


@example("0\x1f")
@given(st.text(max_size=40))
def test_no_header_of_a_server_raises(text: str) -> None:
    wire._retry_after(text, datetime(2026, 1, 1, tzinfo=UTC))
    wire._content_range(text)
    wire._content_range(f"bytes {text}")


def test_a_plan_holds_each_hash_once_and_small_files_first() -> None:
    files = (
        RemoteFile("b.safetensors", "b" * 64, 10),
        RemoteFile("a.json", "a" * 40, 5),
        RemoteFile("copy of a.json", "a" * 40, 5),
        RemoteFile("empty.txt", "e" * 40, 0),
        RemoteFile("here.json", "c" * 40, 7),
    )
    plan = planning.plan(
        Listing("o/m", "main", "0" * 40, files),
        1000,
        lambda file: file.path == "here.json",
        lambda file: 4 if file.size_bytes == 10 else 0,
    )
    assert [fetch.file.path for fetch in plan.fetches] == ["a.json", "empty.txt", "b.safetensors"]
    assert plan.fetch_bytes == 5 + 0 + 6
    with pytest.raises(DiskFullError, match="0.1 GiB are needed"):
        planning.check_room(plan, "/cache")


HARMFUL = [
    "../x",
    "a/../../x",
    "/etc/passwd",
    "a\\b",
    "",
    ".",
    "a//b",
    "a/",
    "x\n",
    "\x1b[2J",
    "./a",
]


@pytest.mark.parametrize("name", HARMFUL)
def test_harmful_names_are_no_paths(name: str) -> None:
    assert not layout.is_path(name)


@given(st.text(alphabet="ab./\\-\n", max_size=12))
def test_a_path_stays_inside(name: str) -> None:
    if layout.is_path(name):
        depth = list(itertools.accumulate(-1 if w == ".." else 1 for w in name.split("/")))
        assert min(depth) > 0
        assert not name.startswith("/")
    if layout.is_repo(name):
        assert ".." not in name
        assert name.count("/") <= 1


def test_the_gauge_says_what_the_last_seconds_say() -> None:
    now = [0.0]
    gauge = Gauge(lambda: now[0], total_bytes=100 << 20, have_bytes=20 << 20)
    gauge.began("a", 0)
    assert gauge.parts() == ["20.0/100.0 MiB", "20 %"]
    for second in range(1, 21):
        now[0] = float(second)
        gauge.reached("a", second << 20)
    assert gauge.parts() == ["40.0/100.0 MiB", "40 %", "1m 0s left", "1.0 MiB/s"]
    now[0] = 30.0  # nothing came for ten seconds
    assert gauge.parts() == ["40.0/100.0 MiB", "40 %"]
    gauge.reached("a", 0)  # what came was not believed
    assert gauge.parts()[0] == "20.0/100.0 MiB"


@given(st.integers(0, 2**45), st.integers(0, 2**45))
def test_sizes_are_short(done: int, total: int) -> None:
    assert len(size(total)) <= 12
    assert percent(min(done, total), total).endswith(" %")
    assert (percent(min(done, total), total) == "100 %") == (done >= total)
