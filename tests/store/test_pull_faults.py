"""Everything that goes wrong on the way: the next pull completes, and nothing false is believed.

Each kind of fault runs many times, each time with other files, other places and other moments, all
following from a seed. Law that is checked at every request of every run: it asks for the byte after
the last one on disk, so no byte below that is ever fetched twice.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from huggingface_hub import close_session, snapshot_download

from qvq_mlx.core.errors import AccessError, DiskFullError, NetworkError, QvqError
from qvq_mlx.store import digests, hub, layout
from qvq_mlx.store.download import PullDone, Retrying
from tests.support import seeds
from tests.support.hub import client
from tests.support.hub.server import REPO, Fault, Hub, Request, blob_of
from tests.support.waiting import eventually

SEEDS = seeds.numbers(44)


@pytest.fixture(scope="module")
def served() -> Iterator[Hub]:
    with Hub({}) as server:
        yield server


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where that is possible: waiting for a disk tests nothing here."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


class Trial:
    """One repository, one cache, faults at some requests, and the law at all of them."""

    def __init__(self, server: Hub, cache: Path, kind: str, seed: int) -> None:
        self.random = random.Random(f"{kind} {seed}")
        self.server = server
        self.cache = cache
        self.folder = layout.RepoFolder(cache, REPO)
        self.broken_law: list[str] = []
        self.left = self.random.randint(1, 4)
        self.failed_pulls = 0
        self.hits = 0
        self.again = seed % 8 == 0
        with server.lock:
            server.files = {
                "config.json": self._bytes(200, 4_000),
                "tokenizer.json": self._bytes(20_000, 60_000),
                "model-1.safetensors": self._bytes(60_000, 200_000),
                "model-2.safetensors": self._bytes(0, 200_000),
            }
            server.requests.clear()
            server.faults = self._fault
            server.listed = lambda _number: Fault()
            server.pause_s = 0.0
            server.token = ""
            server.gated = False
        self.make = getattr(self, f"_{kind.replace(' ', '_')}")

    def pull(self, disk: hub.Disk | None = None) -> list[object]:
        events: list[object] = []
        try:
            stalls = self.make == self._stall
            stall_s = client.STALL_S if stalls else client.PATIENCE_S
            events.extend(client.pull(self.server.endpoint, self.cache, disk=disk, stall_s=stall_s))
        finally:
            self.check_what_is_visible()
        return events

    def until_done(self) -> None:
        for self.failed_pulls in range(12):
            with suppress(NetworkError):
                events = self.pull()
                assert isinstance(events[-1], PullDone)
                break
        else:
            raise AssertionError("the pull never ended")
        assert not self.broken_law
        snapshot = Path(snapshot_download(REPO, cache_dir=self.cache, local_files_only=True))
        here = {path.name: path.read_bytes() for path in snapshot.iterdir()}
        assert here == self.server.files
        if self.again:
            served = self.server.served
            assert any(isinstance(event, PullDone) for event in self.pull())
            assert self.server.served == served, "what is here was fetched again"

    def check_what_is_visible(self) -> None:
        for path in self.folder.blobs.glob("*") if self.folder.blobs.is_dir() else ():
            if digests.is_blob(path.name):
                assert digests.matches(path, path.name), f"{path} is not what it is called"
        for commit in self.folder.commits():
            for link in self.folder.snapshot(commit).iterdir():
                assert link.is_file(), f"{link} is visible and not there"

    def _bytes(self, least: int, most: int) -> bytes:
        return self.random.randbytes(self.random.randint(least, most))

    def _fault(self, request: Request) -> Fault:
        data = self.server.files[request.path]
        part = self.folder.part(blob_of(request.path, data))
        on_disk = layout.size_of(part) or 0
        if request.start != on_disk and self.make != self._changed_file:
            self.broken_law.append(f"{request.path}: asks {request.start}, has {on_disk}")
        if self.left <= 0 or self.random.random() < 0.3:
            return Fault()
        self.left -= 1
        fault = self.make(request, len(data))
        prepares = self.make == self._ignored_range and not fault.ignore_range
        self.hits += fault != Fault() and not prepares
        return fault

    def _cut(self, request: Request, size: int) -> int:
        return self.random.randint(0, max(0, size - request.start - 1))

    def _drop(self, request: Request, size: int) -> Fault:
        return Fault(cut=self._cut(request, size))

    def _reset(self, request: Request, size: int) -> Fault:
        return Fault(cut=self._cut(request, size), reset=True)

    def _no_reply(self, request: Request, size: int) -> Fault:
        return Fault(cut=-1)

    def _stall(self, request: Request, size: int) -> Fault:
        self.left = 0  # one is enough: they take their time
        return Fault(cut=self._cut(request, size), stall_s=2 * client.STALL_S)

    def _short_body(self, request: Request, size: int) -> Fault:
        return Fault(cut=max(0, size - request.start - self.random.randint(1, 9)))

    def _wrong_length(self, request: Request, size: int) -> Fault:
        return Fault(announce=self.random.choice((-7, -1, 1, 4096)))

    def _wrong_bytes(self, request: Request, size: int) -> Fault:
        self.left = min(self.left, 1)
        return Fault(flip=self.random.randrange(request.start, size) if size else None)

    def _ignored_range(self, request: Request, size: int) -> Fault:
        if not request.start:  # first there has to be something to go on from
            self.left += 1
            return Fault(cut=max(1, self._cut(request, size)))
        return Fault(ignore_range=True)

    def _too_many(self, request: Request, size: int) -> Fault:
        return Fault(status=429, retry_after=self.random.choice(("0", "", "0")))

    def _server_error(self, request: Request, size: int) -> Fault:
        return Fault(status=self.random.choice((500, 502, 503, 504)))

    def _web_page(self, request: Request, size: int) -> Fault:
        return Fault(html=True)

    def _changed_file(self, request: Request, size: int) -> Fault:
        self.left = 0
        old = self.server.files[request.path]
        new = self.random.randbytes(len(old) + self.random.choice((0, 0, 5)))
        self.server.files = {**self.server.files, request.path: new or b"x"}
        return Fault(cut=-1)


KINDS = (
    "drop",
    "reset",
    "no reply",
    "stall",
    "short body",
    "wrong length",
    "wrong bytes",
    "ignored range",
    "too many",
    "server error",
    "web page",
    "changed file",
)
# every byte that was sent before such a fault reached the disk, so each was sent once
EXACT = ("drop", "no reply", "short body", "too many", "server error", "web page")


@pytest.mark.sampled(3)
@pytest.mark.seeded
@pytest.mark.parametrize("kind", KINDS)
def test_the_next_pull_completes(kind: str, served: Hub, tmp_path: Path) -> None:
    faults = exact = 0
    for seed in SEEDS:
        cache = tmp_path / str(seed)
        trial = Trial(served, cache, kind, seed)
        trial.until_done()
        faults += trial.hits
        size = sum(map(len, served.files.values()))
        # where a pull gave up on one file, what was on its way for the other one is lost
        if kind in EXACT and not trial.failed_pulls:
            exact += 1
            assert served.served == size, f"seed {seed}"
        shutil.rmtree(cache)
    assert faults >= 40, "the fault happened too seldom"
    assert exact > len(SEEDS) / 2 or kind not in EXACT


def running_full(room: int) -> Callable[[int, bytes], int]:
    """`os.write` for a disk with so many bytes left."""
    lock = threading.Lock()

    def write(descriptor: int, data: bytes) -> int:
        nonlocal room
        with lock:
            if room <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = os.write(descriptor, data[:room])
            room -= written
            return written

    return write


@pytest.mark.seeded
def test_a_full_disk_stops_it_and_costs_nothing(served: Hub, tmp_path: Path) -> None:
    for seed in SEEDS:
        trial = Trial(served, tmp_path / str(seed), "drop", seed)
        trial.left = 0
        write = running_full(trial.random.randint(0, sum(map(len, served.files.values())) - 1))
        with pytest.raises(DiskFullError, match="which are kept"):
            trial.pull(hub.Disk(write=write))
        trial.until_done()


def test_a_disk_that_is_too_small_is_found_before_the_first_byte(
    served: Hub, tmp_path: Path
) -> None:
    trial = Trial(served, tmp_path, "drop", 0)
    with pytest.raises(DiskFullError, match="GiB are needed and 0.0 GiB are free"):
        trial.pull(hub.Disk(free_bytes=lambda _path: 1000))
    assert served.served == 0


@pytest.mark.slow
@pytest.mark.seeded
def test_kill_at_any_moment(served: Hub, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "tests.support.hub.client"])
    resumed = 0
    for seed in SEEDS:
        trial = Trial(served, tmp_path / str(seed), "drop", seed)
        trial.left = 0
        served.pause_s = 0.001
        size = sum(map(len, served.files.values()))
        arguments = (served.endpoint, str(trial.cache))
        process = context.Process(target=client.pull_all, args=arguments)
        before = served.connected()
        process.start()
        stop_at = trial.random.randint(0, size)
        eventually(
            lambda stop_at=stop_at, process=process: (
                served.served >= stop_at or not process.is_alive()
            )
        )
        process.kill()
        process.join()
        served.quiet(before)
        trial.check_what_is_visible()
        here = sum(
            layout.size_of(trial.folder.blob(blob)) or layout.size_of(trial.folder.part(blob)) or 0
            for blob in (blob_of(path, data) for path, data in served.files.items())
        )
        resumed += 0 < here < size
        sent = served.served
        trial.until_done()
        assert served.served - sent == size - here, f"seed {seed}: bytes that were here came again"
    assert resumed > 3 * len(SEEDS) / 4, "hardly any kill hit a download"


def test_retry_after_is_waited_for(served: Hub, tmp_path: Path) -> None:
    trial = Trial(served, tmp_path, "drop", 1)
    told = iter([Fault(status=429, retry_after="1")])
    served.faults = lambda request: (
        next(told, Fault()) if request.path == "config.json" else Fault()
    )
    started = time.monotonic()
    waits = [event.wait_s for event in trial.pull() if isinstance(event, Retrying)]
    assert waits == [1.0]
    assert time.monotonic() - started >= 1.0


def test_a_server_that_asks_for_too_much_patience_is_left_alone(
    served: Hub, tmp_path: Path
) -> None:
    trial = Trial(served, tmp_path, "drop", 1)
    served.faults = lambda _request: Fault(status=503, retry_after="86400")
    with pytest.raises(NetworkError, match="HTTP 503"):
        trial.pull()


def test_the_hubs_rate_limit_is_waited_for(served: Hub, tmp_path: Path) -> None:
    trial = Trial(served, tmp_path, "drop", 1)
    told = iter([Fault(status=429, headers={"RateLimit": '"resolvers";r=0;t=0'})])
    served.faults = lambda request: (
        next(told, Fault()) if request.path == "config.json" else Fault()
    )
    assert [event.wait_s for event in trial.pull() if isinstance(event, Retrying)] == [1.0]


def test_a_list_that_asks_for_much_patience_says_how_much(served: Hub, tmp_path: Path) -> None:
    Trial(served, tmp_path, "drop", 1)
    served.listed = lambda _number: Fault(status=429, retry_after="300")
    with pytest.raises(NetworkError, match="asks to be left alone for 300 s"):
        client.listing(served.endpoint)


def test_a_list_whose_next_page_is_itself_ends(served: Hub, tmp_path: Path) -> None:
    Trial(served, tmp_path, "drop", 1)
    served.page, served.circular = 1, True
    try:
        with pytest.raises(NetworkError, match="names itself as its next page"):
            client.listing(served.endpoint)
    finally:
        served.page, served.circular = 4, False


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ([], "goes on behind an empty page"),
        pytest.param([{}], "more than 200 pages", marks=pytest.mark.slow),
    ],
)
def test_a_list_whose_pages_never_end_ends(
    served: Hub, tmp_path: Path, page: list[object], said: str
) -> None:
    Trial(served, tmp_path, "drop", 1)
    first = served.api_requests + 1
    body = json.dumps(page).encode()
    served.listed = lambda number: (
        Fault(body=body, headers={"Link": f'<?page={number}>; rel="next"'})
        if number > first
        else Fault()
    )
    with pytest.raises(NetworkError, match=said):
        client.listing(served.endpoint)


def test_a_commit_that_goes_away_meanwhile_may_be_tried_again(served: Hub, tmp_path: Path) -> None:
    Trial(served, tmp_path, "drop", 1)
    first = served.api_requests + 1
    served.listed = lambda number: Fault(status=404) if number > first else Fault()
    with pytest.raises(NetworkError, match="went away while its files were listed"):
        client.listing(served.endpoint)


def test_a_token_that_is_refused_is_said_to_be(served: Hub, tmp_path: Path) -> None:
    Trial(served, tmp_path, "drop", 1)
    served.listed = lambda _number: Fault(status=401)
    with pytest.raises(AccessError, match="the token is refused"):
        client.listing(served.endpoint, token="hf_other")
    with pytest.raises(AccessError, match="a token that may read it would help"):
        client.listing(served.endpoint)


@pytest.mark.parametrize("place", ["http://[::1", "http://host:port/", "ftp://host/"])
def test_a_redirect_to_no_address_is_a_fault_of_the_server(
    served: Hub, tmp_path: Path, place: str
) -> None:
    Trial(served, tmp_path, "drop", 1)
    served.listed = lambda _number: Fault(status=302, headers={"Location": place})
    with pytest.raises(NetworkError, match="redirects to"):
        client.listing(served.endpoint)


@pytest.mark.parametrize("place", ["http://[::1", "ftp://host/", "/bytes/loop"])
def test_a_file_whose_redirect_leads_nowhere_ends_soon(
    served: Hub, tmp_path: Path, place: str
) -> None:
    """The usual patience, two minutes, is for what may be right a minute later."""
    Trial(served, tmp_path, "drop", 1)
    served.linked = {"Location": place if place != "/bytes/loop" else "?again"}
    waits = []
    try:
        with pytest.raises(NetworkError, match="redirect"):
            waits.extend(
                event.wait_s
                for event in client.pull(served.endpoint, tmp_path, tries=8)
                if isinstance(event, Retrying)
            )
    finally:
        served.linked = {}
    assert max(waits) == 0.004


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"ALL_PROXY": "socks5://127.0.0.1:9"}, "a SOCKS proxy is set"),
        ({"ALL_PROXY": "http://127.0.0.1:port"}, "the proxy that is set cannot be used"),
        ({"ALL_PROXY": "nonsense://127.0.0.1:9"}, "the proxy that is set cannot be used"),
        ({"HF_ENDPOINT": "http://[::1"}, "HF_ENDPOINT is"),
        ({"HF_ENDPOINT": "http://host:port"}, "HF_ENDPOINT is"),
    ],
)
def test_a_proxy_or_endpoint_that_is_none_is_one_line(
    tmp_path: Path, environ: dict[str, str], said: str
) -> None:
    argv = [sys.executable, "-m", "qvq_mlx", "pull", "qvq", "--dry-run"]
    clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    world = {**clean, "QVQ_HOME": str(tmp_path), "HF_HOME": str(tmp_path), **environ}
    world = {"HF_ENDPOINT": "http://127.0.0.1:9", **world}
    done = subprocess.run(argv, env=world, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_a_proxy_that_is_not_there_is_named_and_not_its_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no name and password of it is printed."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", f"http://name:secret@127.0.0.1:{port}")
    close_session()
    try:
        with pytest.raises(NetworkError) as caught:
            client.listing("http://hub.invalid")
    finally:
        close_session()
    assert (
        f"no connection to the proxy 127.0.0.1:{port}: Connection refused" in caught.value.message
    )
    assert "hub.invalid" not in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.seeded
def test_the_token_stays_with_its_host(served: Hub, tmp_path: Path) -> None:
    for seed in SEEDS:
        trial = Trial(served, tmp_path / str(seed), "drop", seed)
        served.token = "hf_secret"
        with suppress(NetworkError):
            list(client.pull(served.endpoint, trial.cache, token="hf_secret"))
        list(client.pull(served.endpoint, trial.cache, token="hf_secret"))
        assert any(request.cdn for request in served.requests)
        for request in served.requests:
            assert request.authorization == (None if request.cdn else "Bearer hf_secret")
    served.token = ""


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=503), "HTTP 503"),
        (Fault(status=429, retry_after="0"), "HTTP 429"),
        (Fault(html=True), "a web page instead of JSON"),
        (Fault(cut=-1), "dropped the connection"),
    ],
)
def test_a_list_that_does_not_come(served: Hub, tmp_path: Path, fault: Fault, words: str) -> None:
    Trial(served, tmp_path, "drop", 2)
    served.listed = lambda _number: fault
    with pytest.raises(NetworkError, match=words):
        client.listing(served.endpoint)
    first = served.api_requests + 1
    served.listed = lambda number: fault if number <= first else Fault()
    assert len(client.listing(served.endpoint).files) == 4


def test_a_file_that_is_refused_is_not_asked_for_again(served: Hub, tmp_path: Path) -> None:
    for status in (401, 403, 404, 410):
        trial = Trial(served, tmp_path, "drop", 3)
        served.faults = lambda _request, status=status: Fault(status=status)
        with pytest.raises(AccessError, match=f"HTTP {status}"):
            trial.pull()
        assert len(served.requests) <= 2


def test_two_processes_do_not_fetch_twice(served: Hub, tmp_path: Path) -> None:
    trial = Trial(served, tmp_path, "drop", 4)
    trial.left = 0
    served.pause_s = 0.003
    failed: list[QvqError] = []

    def other() -> None:
        try:
            client.pull_all(served.endpoint, str(tmp_path))
        except QvqError as error:
            failed.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    events = trial.pull()
    thread.join()
    assert not failed
    assert isinstance(events[-1], PullDone)
    assert served.served == sum(map(len, served.files.values()))
