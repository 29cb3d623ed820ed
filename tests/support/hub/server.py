"""The Hub's protocol on 127.0.0.1, from a dictionary of files, with faults on demand.

It speaks what a download needs: repo info, the tree in pages, `resolve` with redirects, `ETag`,
`X-Linked-ETag`, `X-Linked-Size`, `X-Repo-Commit`, ranges, gated repositories. `CDN` is a second
address, for what is redirected to another host. It counts the bytes of bodies that it sent.

    python -m tests.support.hub.server FOLDER [BYTES_PER_SECOND]     serves a folder as org/model
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.waiting import CEILING_S

REPO = "org/model"
LFS = (".safetensors", ".bin", ".gguf", ".parquet")
BLOCK = 16 << 10


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def blob_of(path: str, data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if path.endswith(LFS) else git_sha1(data)


@dataclass
class Request:
    """One GET of a file's bytes, as the server saw it."""

    path: str
    start: int
    authorization: str | None
    cdn: bool
    sent: int = 0


@dataclass
class Fault:
    """What goes wrong with one reply; the default is nothing.

    `cut`: close after so many bytes of the body; `stall`: stay silent there, in seconds.
    """

    status: int = 0
    retry_after: str = ""
    cut: int | None = None
    stall_s: float = 0.0
    announce: int = 0
    """Added to the Content-Length that is announced."""
    flip: int | None = None
    """The byte that is sent with a bit flipped."""
    ignore_range: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    """In the place of the reply's own."""
    body: bytes | None = None
    """Of a reply that is right otherwise."""
    html: bool = False
    etag: str = ""
    reset: bool = False


Faults = Callable[[Request], Fault]


@dataclass
class Hub:
    """A repository and its server. `files` may be changed between two requests."""

    files: dict[str, bytes]
    repo: str = REPO
    kind: str = "models"
    faults: Faults = lambda _request: Fault()
    token: str = ""
    gated: bool = False
    listed_to_all: bool = False
    """The list is for everybody; only the files need the token."""
    licence: str = "mit"
    config: Mapping[str, object] | None = None
    """What the page says of config.json; None: nothing, as on a mirror."""
    page: int = 4
    circular: bool = False
    """The list's next page is this one."""
    pause_s: float = 0.0
    """Between two blocks."""
    requests: list[Request] = field(default_factory=list)
    listed: Callable[[int], Fault] = lambda _number: Fault()
    api_requests: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    extra_entries: list[dict[str, object]] = field(default_factory=list)
    linked: Mapping[str, str] = field(default_factory=dict)
    """Headers of the redirect to a large file, in the place of its own."""
    _servers: list[_Server] = field(default_factory=list)

    @property
    def commit(self) -> str:
        text = json.dumps({path: blob_of(path, data) for path, data in sorted(self.files.items())})
        return hashlib.sha1(text.encode()).hexdigest()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def cdn(self) -> str:
        """The same machine by another name: another host to whoever looks at the URL."""
        return f"http://localhost:{self._servers[1].server_port}"

    @property
    def served(self) -> int:
        with self.lock:
            return sum(request.sent for request in self.requests)

    def connected(self) -> frozenset[object]:
        """The addresses of those who are connected now."""
        return frozenset().union(*(server.connected() for server in self._servers))

    def quiet(self, but: frozenset[object]) -> None:
        """Return when only those of `but` are connected: it was noticed who has gone away."""
        for server in self._servers:
            server.quiet(but)

    def __enter__(self) -> Self:
        for cdn in (False, True):
            handler = type("Handler", (_Handler,), {"hub": self, "is_cdn": cdn})
            server = _Server(("127.0.0.1", 0), handler)
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            self._servers.append(server)
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._changed = threading.Condition()
        self._met: set[object] = set()
        self._connected: set[object] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._met.add(client_address)
            self._connected.add(client_address)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        super().process_request_thread(request, client_address)
        with self._changed:
            self._connected.discard(client_address)
            self._changed.notify_all()

    def connected(self) -> frozenset[object]:
        with self._changed:
            return frozenset(self._connected)

    def quiet(self, but: frozenset[object]) -> None:
        """Come last: who has come before is accepted before. Then all but some have to go."""
        with socket.create_connection(self.server_address) as last:
            address = last.getsockname()
        with self._changed:
            done = self._changed.wait_for(
                lambda: address in self._met and self._connected <= but, timeout=CEILING_S
            )
        assert done, f"still connected: {self._connected - but}"

    def handle_error(self, *_: object) -> None:
        """A client that went away is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    is_cdn: bool
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            parts = urlsplit(self.path)
            words = [unquote(word) for word in parts.path.strip("/").split("/")]
            query = parse_qs(parts.query)
            hub = self.hub
            plain = words[1:] if words[:1] == ["datasets"] == [hub.kind] else words
            if words[:2] == ["api", hub.kind] and "/".join(words[2:4]) == hub.repo:
                self._api(words[4:], query)
            elif "/".join(plain[:2]) == hub.repo and plain[2:3] == ["resolve"]:
                self._resolve(plain[3], "/".join(plain[4:]))
            elif words[0] == "bytes" and self.is_cdn:
                self._bytes("/".join(words[1:]), {})
            else:
                self._say(
                    404, b'{"error":"Repository not found"}', {"X-Error-Code": "RepoNotFound"}
                )

    def _api(self, words: list[str], query: Mapping[str, list[str]]) -> None:
        hub = self.hub
        with hub.lock:
            hub.api_requests += 1
            fault = hub.listed(hub.api_requests)
        if (not hub.listed_to_all and self._refused()) or self._faulty(fault):
            return
        if words[:1] == ["revision"]:
            if words[1] not in ("main", hub.commit):
                self._say(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
                return
            found = {"id": hub.repo, "sha": hub.commit, "gated": hub.gated}
            found |= {} if hub.config is None else {"config": hub.config}
            self._json(found | {"cardData": {"license": hub.licence}}, {})
            return
        entries = [{"type": "directory", "path": "onnx", "oid": "0" * 40, "size": 0}]
        entries += [_entry(path, data) for path, data in sorted(hub.files.items())]
        entries += hub.extra_entries
        start = int(query.get("cursor", ["0"])[0])
        headers = {}
        if start + hub.page < len(entries):
            following = f"{hub.endpoint}{urlsplit(self.path).path}?cursor={start + hub.page}"
            if hub.circular:
                following = f"{hub.endpoint}{self.path}"
            headers["Link"] = f'<{following}>; rel="next"'
        self._json(entries[start : start + hub.page], headers)

    def _resolve(self, revision: str, path: str) -> None:
        hub = self.hub
        if self._refused():
            return
        data = hub.files.get(path)
        if data is None or (revision != "main" and len(revision) != 40):
            self._say(404, b"Entry not found", {"X-Error-Code": "EntryNotFound"})
            return
        if not path.endswith(LFS):
            self._bytes(path, {"X-Repo-Commit": hub.commit, "ETag": f'"{blob_of(path, data)}"'})
            return
        linked = {
            "X-Repo-Commit": hub.commit,
            "X-Linked-ETag": f'"{blob_of(path, data)}"',
            "X-Linked-Size": str(len(data)),
            "ETag": '"of-the-redirect"',
            "Location": f"{hub.cdn}/bytes/{path}",
        }
        self._say(302, b"", linked | dict(hub.linked))

    def _refused(self) -> bool:
        hub = self.hub
        given = self.headers.get("Authorization")
        if hub.token and given != f"Bearer {hub.token}":
            code = "GatedRepo" if hub.gated else "RepoNotFound"
            self._say(401, b'{"error":"no"}', {"X-Error-Code": code})
            return True
        return False

    def _faulty(self, fault: Fault) -> bool:
        """Whether the fault was a reply of its own."""
        if fault.status:
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            self._say(fault.status, b"busy", {**headers, **fault.headers})
            return True
        if fault.body is not None:
            self._say(200, fault.body, {"Content-Type": "application/json", **fault.headers})
            return True
        if fault.html:
            page = b"<html><body>Please log in to this network</body></html>"
            self._say(200, page, {"Content-Type": "text/html; charset=utf-8"})
            return True
        if fault.cut == -1:
            self._drop(reset=fault.reset)
            return True
        return False

    def _bytes(self, path: str, headers: dict[str, str]) -> None:
        hub = self.hub
        data = hub.files[path]
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        request = Request(path, start, self.headers.get("Authorization"), self.is_cdn)
        with hub.lock:
            hub.requests.append(request)
            fault = hub.faults(request)
        if self._faulty(fault):
            return
        if fault.etag:
            headers["ETag"] = f'"{fault.etag}"'
        if start and start >= len(data):
            self._say(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        partial = bool(asked) and not fault.ignore_range
        begin = start if partial else 0
        own = {
            "Content-Length": str(len(data) - begin + fault.announce),
            "Content-Type": "application/octet-stream",
        }
        if partial:
            total = len(data) + fault.announce
            own["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{total}"
        self.send_response(206 if partial else 200)
        for name, value in {**own, **headers, **fault.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self._body(request, data, begin, fault)

    def _body(self, request: Request, data: bytes, begin: int, fault: Fault) -> None:
        end = len(data) if fault.cut is None else min(len(data), begin + fault.cut)
        at = begin
        while at < end:
            block = bytearray(data[at : min(at + BLOCK, end)])
            if fault.flip is not None and at <= fault.flip < at + len(block):
                block[fault.flip - at] ^= 1
            with self.hub.lock:  # before, so that a client never has what is not counted
                request.sent += len(block)
            self.wfile.write(block)
            at += len(block)
            if self.hub.pause_s:
                time.sleep(self.hub.pause_s)
        if fault.stall_s:
            time.sleep(fault.stall_s)
        if end < len(data) or fault.announce or fault.stall_s:
            self._drop(reset=fault.reset)

    def _drop(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.close()
            return
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _json(self, value: object, headers: Mapping[str, str]) -> None:
        self._say(200, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})

    def _say(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _entry(path: str, data: bytes) -> dict[str, object]:
    entry: dict[str, object] = {
        "type": "file",
        "path": path,
        "size": len(data),
        "oid": git_sha1(data),
    }
    if path.endswith(LFS):
        pointer = {"oid": blob_of(path, data), "size": len(data), "pointerSize": 134}
        entry |= {"oid": "1" * 40, "lfs": pointer, "xetHash": "f" * 64}
    return entry


def folder_files(folder: Path, names: Iterable[str] = ()) -> dict[str, bytes]:
    """The files of a folder as a repository's."""
    wanted = set(names)
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and (not wanted or path.name in wanted)
    }


if __name__ == "__main__":
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    with Hub(folder_files(Path(sys.argv[1])), pause_s=BLOCK / rate if rate else 0.0) as served:
        print(f"HF_ENDPOINT={served.endpoint}", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
