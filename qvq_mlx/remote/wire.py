"""HTTP to one host: a request, and its reply as JSON or line by line.

Law: the key is sent to the host that the user named and nowhere else: no redirect is followed, and
proxies of the environment are not used. Where the address is plain http, the host has to be on this
machine or on a private network: pictures are sent. A wish to stop is heard while nothing comes, and
ends the connection. No line and no document grows beyond a bound.
"""

from __future__ import annotations

import io
import json
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import cast
from urllib.parse import urlsplit

from qvq_mlx import __version__
from qvq_mlx.core.errors import (
    AccessError,
    HostError,
    HostGoneError,
    NetworkError,
    OverloadedError,
    QvqError,
    UnknownModelError,
    UsageError,
)
from qvq_mlx.core.host import Host
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.images.addresses import is_public, resolved
from qvq_mlx.system.reading import parse_json

LINE_BYTES = 4 * 2**20
DOCUMENT_BYTES = 16 * 2**20
CONNECT_S = 10.0
SILENCE_S = 900.0
"""A big model is loaded, and a long prompt read, before the first byte comes."""
_LOOK_S = 0.05
"""Seconds between two looks at whether to stop."""
_BLOCK_BYTES = 2**16
_SAID_CHARACTERS = 300
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 500, 502, 503, 504)
_MODELS = "/v1/models"


class StoppedReadingError(Exception):
    """The user wants no more of the reply."""


@dataclass(frozen=True, slots=True)
class Wire:
    """Requests to `host`. `stopping` says whether the user wants no more.

    `resolve` finds the addresses of a name; `silence_s` is how long nothing may come.
    """

    host: Host
    stopping: Callable[[], bool] = lambda: False
    resolve: Callable[[str, int], Sequence[str]] = resolved
    silence_s: float = SILENCE_S

    def json(self, path: str) -> object:
        """Return the document at `path`. Raises a QvqError."""
        with self._reply("GET", path, None) as response:
            return self._parsed(self._whole(response))

    @contextmanager
    def lines(self, path: str, body: object) -> Iterator[Iterator[str]]:
        """Send `body` and read the lines of a stream of server-sent events.

        Raises a QvqError, and StoppedReadingError.
        """
        with self._reply("POST", path, json.dumps(body).encode()) as response:
            kind = response.getheader("Content-Type", "").partition(";")[0].strip().lower()
            if kind != "text/event-stream":
                what = f"{self.host.name} sends no stream, but {kind[:40] or 'nothing it names'}"
                raise HostError(what, self.look)
            yield self._lines(response)

    @property
    def look(self) -> RunProgram:
        """The program with which a person sees what the host says."""
        return RunProgram(("curl", "-i", f"{self.host.url}{_MODELS}"))

    def _lines(self, response: HTTPResponse) -> Iterator[str]:
        while True:
            try:
                line = response.readline(LINE_BYTES + 1)
            except (OSError, HTTPException, ValueError) as error:
                raise self._failed(error, "within its reply") from error
            if not line:
                return
            if len(line) > LINE_BYTES:
                raise HostError(
                    f"{self.host.name} sends a line of more than {LINE_BYTES >> 20} MiB", self.look
                )
            yield line.decode("utf-8", "replace").rstrip("\r\n")

    @contextmanager
    def _reply(self, method: str, path: str, body: bytes | None) -> Iterator[HTTPResponse]:
        """The head of a reply that is none of an error."""
        parts = urlsplit(self.host.url)
        headers = {
            "User-Agent": f"qvq/{__version__}",
            "Accept": "text/event-stream, application/json",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        if self.host.key:
            headers["Authorization"] = f"Bearer {self.host.key}"
        if body is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        with ExitStack() as opened:
            try:
                connection = opened.enter_context(self._connected())
                asked = _Connection(connection, parts.netloc)
                sent = None if body is None else self._blocks(body)
                asked.request(method, f"{parts.path}{path}", sent, headers)
                polled = _Polled(connection, self.stopping, self.silence_s)
                # typeshed wants a socket, and http.client calls makefile("rb") and no more
                response = HTTPResponse(cast(socket.socket, polled), method=method)
                opened.enter_context(response)
                response.begin()
            except (OSError, HTTPException, ValueError) as error:
                raise self._failed(error, "before it answers") from error
            self._check(response)
            yield response

    def _blocks(self, body: bytes) -> Iterator[bytes]:
        """The body piece by piece: pictures go over a slow line for a while."""
        for at in range(0, len(body), _BLOCK_BYTES):
            if self.stopping():
                raise StoppedReadingError
            yield body[at : at + _BLOCK_BYTES]

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        """A connection to the first address that answers."""
        port = self.host.port
        error = OSError(f"{self.host.machine} has no address")
        for address in self._addresses(port):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.settimeout(CONNECT_S)
                connection.connect((address, port))  # an address: no name is looked up
            except OSError as failure:
                connection.close()
                error = failure
                continue
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if not self.host.is_encrypted:
                    yield connection
                    return
                # whoever is not trusted at one address is not asked at the next
                with _trusted(connection, self.host.machine) as secure:
                    yield secure
            return
        raise error

    def _addresses(self, port: int) -> Sequence[str]:
        """Raises UsageError for one where pictures would cross the internet unencrypted."""
        host = self.host
        if host.is_here:
            return ("127.0.0.1", "::1") if host.machine == "localhost" else (host.machine,)
        found = self.resolve(host.machine, port)
        outer = [address for address in found if is_public(address)]
        if outer and not host.is_encrypted:
            raise UsageError(
                f"{host.machine} is {outer[0]} on the internet, and {host.url} is not encrypted:"
                " no picture is sent there",
                RunProgram(("export", f"QVQ_HOST=https{host.url.removeprefix('http')}")),
            )
        return found

    def _check(self, response: HTTPResponse) -> None:
        """Raise the error that a status says."""
        status, name = response.status, self.host.name
        if status == 200:
            return
        if status in _REDIRECTS:
            to = response.getheader("Location", "")[:120]
            raise HostError(f"{name} redirects to {to!r}, and nothing is sent there", self.look)
        try:
            said = _said(self._whole(response))
        except QvqError:
            said = ""
        words = f"{name} answers {status}{': ' * bool(said)}{said}"
        if status == 429:
            wait_s = _seconds(response.getheader("Retry-After", ""))
            after = f"; it asks to wait {wait_s:g} s" if wait_s else ""
            raise OverloadedError(f"{words}{after}", self.look, retry_after_s=wait_s or 0.0)
        if status in (401, 403):
            raise AccessError(words, RunProgram(("export", "QVQ_HOST_KEY=KEY")))
        if status == 404:
            raise UnknownModelError(words, self.look)
        if status in _PASSING:
            raise NetworkError(words, self.look)
        if status in (400, 413, 415, 422):
            raise UsageError(words, self.look)
        raise HostError(words, self.look)

    def _whole(self, response: HTTPResponse) -> bytes:
        try:
            data = response.read(DOCUMENT_BYTES + 1)
        except (OSError, HTTPException, ValueError) as error:
            raise self._failed(error, "within its reply") from error
        if len(data) > DOCUMENT_BYTES:
            raise HostError(
                f"{self.host.name} sends more than {DOCUMENT_BYTES >> 20} MiB", self.look
            )
        return data

    def _parsed(self, data: bytes) -> object:
        try:
            return parse_json(data)
        except ValueError as error:
            raise HostError(
                f"{self.host.name} sends no JSON: is it a server of a model?", self.look
            ) from error

    def _failed(self, error: Exception, when: str) -> QvqError:
        """Describe a failure on the way in a few words."""
        name = self.host.name
        match error:
            case ssl.SSLCertVerificationError():
                return HostError(
                    f"the certificate of {name} is not trusted: {error.verify_message}", self.look
                )
            case PermissionError():
                return HostGoneError(f"no connection to {name} is allowed ({error})", self.look)
            case socket.gaierror():
                return HostGoneError(
                    f"no host is found that is called {self.host.machine}", self.look
                )
            case TimeoutError() if when == "within its reply":
                return NetworkError(f"{name} sends nothing for {self.silence_s:g} s", self.look)
            case TimeoutError():
                return HostGoneError(f"{name} does not answer", self.look)
            case ssl.SSLError():
                return HostError(f"{name} does not speak TLS ({error.reason})", self.look)
            case ConnectionRefusedError():
                return HostGoneError(f"nothing listens at {name}", self.look)
            case HTTPException() | ValueError() if when != "within its reply":
                if isinstance(error, ConnectionError):  # it says nothing at all
                    return HostGoneError(f"{name} drops the connection {when}", self.look)
                kind = type(error).__name__
                return HostError(f"{name} does not speak HTTP as it should ({kind})", self.look)
            case ConnectionError() | HTTPException() | ValueError():
                return NetworkError(f"{name} drops the connection {when}", self.look)
            case _:
                words = getattr(error, "strerror", None) or str(error) or type(error).__name__
                return HostGoneError(f"{name}: {words}", self.look)


class _Connection(HTTPConnection):
    """HTTP over a connection that is there already."""

    def __init__(self, connection: socket.socket, host: str) -> None:
        super().__init__("host")
        self.sock = connection
        self._named = host

    def putheader(self, header: str | bytes, *values: str | bytes | int) -> None:  # type: ignore[override]
        """Send `Host` as the address has it."""
        if header == "Host":
            values = (self._named,)
        super().putheader(header, *values)


class _Polled(io.RawIOBase):
    """A socket to read from, which looks again and again whether anything is still wanted."""

    def __init__(
        self, connection: socket.socket, stopping: Callable[[], bool], silence_s: float
    ) -> None:
        self._connection = connection
        self._stopping = stopping
        self._looks = max(1, round(silence_s / _LOOK_S))
        self._stream: io.BufferedReader = io.BufferedReader(self)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The stream that http.client reads a reply from."""
        return self._stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        self._connection.settimeout(_LOOK_S)
        for _ in range(self._looks):
            if self._stopping():
                raise StoppedReadingError
            with suppress(TimeoutError):
                return self._connection.recv_into(buffer)
        raise TimeoutError("it sends nothing")


def _trusted(connection: socket.socket, host: str) -> socket.socket:
    """TLS, verified against `host`."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:
        with suppress(ImportError):  # a Python that brings no certificates and finds none
            import certifi

            context.load_verify_locations(certifi.where())
    return context.wrap_socket(connection, server_hostname=host)


def _said(data: bytes) -> str:
    """Return the words of an error's body, on one line; '' where it says nothing that is read."""
    try:
        record = parse_json(data)
    except ValueError:
        return ""
    return message_of(record)


def message_of(record: object) -> str:
    """The message of an error as OpenAI's, vLLM's and FastAPI's servers write it; '' for none."""
    for name in ("error", "message", "detail"):
        if isinstance(record, dict) and record.get(name):
            record = record[name]
    if isinstance(record, dict | list):
        record = json.dumps(record) if record else ""
    said = " ".join(str(record or "").split())
    return said if len(said) <= _SAID_CHARACTERS else f"{said[:_SAID_CHARACTERS]}…"


def _seconds(text: str) -> float | None:
    """`Retry-After` in seconds; None for a date, which says it by another clock."""
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 8 else None
