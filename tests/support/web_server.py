"""A web server on 127.0.0.1 that says what a test tells it to, byte by byte, with its faults.

It writes replies itself, so that they may lie: `Says` is one reply, and what was asked for is kept.
"""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Says:
    """One reply. `length` is the Content-Length that is announced; None: the truth, -1: none.

    The body is sent in pieces of `piece` bytes with `pause_s` between them, over and over where it
    is `endless`; `drip_head` sends the head like that too. `raw` is sent instead of all this.
    """

    body: bytes = b""
    status: str = "200 OK"
    headers: tuple[str, ...] = ()
    length: int | None = None
    piece: int = 1 << 16
    pause_s: float = 0.0
    endless: bool = False
    drip_head: bool = False
    raw: bytes | None = None
    waits: bool = False
    """Until the client closes the connection."""


@dataclass(frozen=True)
class Asked:
    """One request, as it came."""

    path: str
    headers: Mapping[str, str]


@dataclass
class WebServer:
    """Routes are paths, with their query. `certificate` and key: it speaks TLS."""

    routes: dict[str, Says] = field(default_factory=dict)
    certificate: Path | None = None
    asked: list[Asked] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    """What was asked for over connections that the client closed, of those that wait for it."""
    ended: list[str] = field(default_factory=list)
    """What was asked for, once nothing more is said over its connection."""
    sent: int = 0
    """Bytes, of all replies."""
    _server: socketserver.ThreadingTCPServer | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.server_address[1])

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"web": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self._server.context = context
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    context: ssl.SSLContext | None = None

    def finish_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        if self.context is None:
            self.RequestHandlerClass(request, client_address, self)
            return
        # on a copy: the first one is closed by whoever accepted it, also where TLS fails
        with request.dup() as copy, self.context.wrap_socket(copy, server_side=True) as secure:
            self.RequestHandlerClass(secure, client_address, self)

    def handle_error(self, *_: object) -> None:
        """A client that went away is what is tested."""


class _Handler(socketserver.StreamRequestHandler):
    web: WebServer

    def handle(self) -> None:
        with suppress(OSError):
            first, *lines = self._head()
            headers = dict(line.split(": ", 1) for line in lines)
            path = first.split()[1]
            self.web.asked.append(Asked(path, headers))
            says = self.web.routes.get(path, Says(b"nothing is here", "404 Not Found"))
            try:
                self._say(says)
            finally:
                self.web.ended.append(path)
            if says.waits:
                with suppress(ConnectionError):  # closed with bytes of ours unread
                    self.rfile.read()
                self.web.closed.append(path)

    def _head(self) -> list[str]:
        lines = []
        while line := self.rfile.readline().decode("latin-1").rstrip("\r\n"):
            lines.append(line)
        return lines

    def _say(self, says: Says) -> None:
        if says.raw is not None:
            self._send(says.raw)
            return
        head = [f"HTTP/1.1 {says.status}", *says.headers]
        if says.length != -1:
            head.append(f"Content-Length: {len(says.body) if says.length is None else says.length}")
        text = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")
        for part in _pieces(text, 1) if says.drip_head else [text]:
            self._send(part)
            time.sleep(says.pause_s if says.drip_head else 0)
        while True:
            for part in _pieces(says.body, says.piece):
                self._send(part)
                time.sleep(says.pause_s)
            if not says.endless:
                return

    def _send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()
        self.web.sent += len(data)


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))
