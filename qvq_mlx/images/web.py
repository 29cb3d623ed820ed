"""The bytes behind an https address: a GET, its redirects, and no more than was allowed.

Law: on every hop all addresses of the host are public, and the connection goes to one that was
checked, so a name that changes its mind leads nowhere else. TLS is verified against the name.
Nothing is sent but the path, `Host`, `User-Agent: qvq/VERSION`, `Accept` and `Accept-Encoding:
identity`: no cookie, no credentials, no referrer. Proxies of the environment are not used, since
behind one no address can be checked. Every read has two clocks, one for silence and one for all.
What the reply says of its type is not believed; a compressed body is refused.

Not covered: the look-up of a name takes as long as the system lets it.
"""

from __future__ import annotations

import io
import socket
import ssl
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    IncompleteRead,
    RemoteDisconnected,
)
from time import monotonic
from typing import Self, cast
from urllib.parse import quote, urljoin, urlsplit

from qvq_mlx import __version__
from qvq_mlx.core.errors import ImageSizeError, ImageUnreadableError, NetworkError, QvqError
from qvq_mlx.core.remedies import Ask, RunProgram
from qvq_mlx.images.addresses import is_public, resolved
from qvq_mlx.images.image_sources import Web

_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""What a server says when it may say otherwise in a minute."""
_ADDRESSES = 4
_HINTS = 16
"""Heads that may come before the one of the answer, such as 103 Early Hints."""
_BLOCK_BYTES = 64 * 2**10
_HEADERS = {
    "User-Agent": f"qvq/{__version__}",
    "Accept": "image/*, application/pdf;q=0.9, */*;q=0.1",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


def fetched(source: str, web: Web) -> bytes:
    """The body behind `source`. One address, however many redirects.

    Raises ImageUnreadableError for what will not work the next time either, ImageSizeError, and
    NetworkError for what may.
    """
    deadline = monotonic() + web.total_s
    url = source
    for _ in range(web.redirects + 1):
        hop = _Hop(source, url, web, deadline)
        with hop.open() as reply:
            if reply.status not in _REDIRECTS:
                return hop.body(reply)
            url = hop.leads_to(reply)
    raise _refused(source, f"more than {web.redirects} redirects, the last to {url[:80]}")


class _Timed(io.RawIOBase):
    """A socket to read from: silence ends it, and so does the deadline, drip by drip."""

    def __init__(self, connection: socket.socket, stall_s: float, deadline: float) -> None:
        self._connection = connection
        self._stall_s = stall_s
        self._deadline = deadline
        self._stream: io.BufferedReader = io.BufferedReader(self)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The stream that http.client reads every head from: what one left in it is the next's."""
        return self._stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        self._connection.settimeout(_left(self._stall_s, self._deadline))
        return self._connection.recv_into(buffer)

    def close(self) -> None:
        """The connection itself is closed by whoever opened it."""
        super().close()


class _Connection(HTTPConnection):
    """HTTP over a connection that is there already."""

    def __init__(self, host: str, port: int, connection: socket.socket) -> None:
        super().__init__(host, port)
        self.sock = connection


class _Reply:
    """A reply that is closed, and its connection after it, when the block ends."""

    def __init__(self, response: HTTPResponse, opened: ExitStack) -> None:
        self._opened = opened
        self.response = response
        self.status = response.status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()


@dataclass(frozen=True, slots=True)
class _Hop:
    """One address on the way from `source`, the first of them `source` itself."""

    source: str
    url: str
    web: Web
    deadline: float

    def open(self) -> _Reply:
        """The head of the reply, its body unread."""
        host, port, path = self._target()
        secure = urlsplit(self.url).scheme.lower() == "https"
        try:
            with ExitStack() as opened:
                connection = opened.enter_context(self._connected(host, port))
                if secure:
                    connection = opened.enter_context(self._trusted(connection, host))
                asked = _Connection(host, port, connection)
                asked.default_port = 443 if secure else 80  # left out of Host, as browsers do
                connection.settimeout(_left(self.web.stall_s, self.deadline))
                asked.request("GET", path, headers=_HEADERS)
                timed = _Timed(connection, self.web.stall_s, self.deadline)
                for _ in range(_HINTS + 1):
                    # typeshed wants a socket, and http.client calls makefile("rb") and no more
                    response = HTTPResponse(cast(socket.socket, timed), method="GET")
                    opened.enter_context(response)
                    response.begin()
                    if not 102 <= response.status < 200:  # http.client skips 100 alone
                        return _Reply(response, opened.pop_all())
                    response.fp = None  # type: ignore[assignment]  # the next reads on in it
                raise HTTPException(f"more than {_HINTS} heads before the answer")
        except (OSError, HTTPException, ValueError) as error:
            raise self._failed(host, error) from error

    def leads_to(self, reply: _Reply) -> str:
        """Return the address that a redirect points to."""
        location = reply.response.getheader("Location", "")
        with suppress(UnicodeError):  # headers come as Latin-1, and most mean UTF-8
            location = location.encode("latin-1").decode()
        try:
            to = urljoin(self.url, location)
        except ValueError:
            to = ""
        if not location or urlsplit(to).scheme.lower() not in ("http", "https"):
            raise _refused(self.source, f"{self._host} redirects to {location[:80]!r}")
        return to

    def body(self, reply: _Reply) -> bytes:
        """All of it. Raises where the server says no, or sends too much, or less than it says."""
        response = reply.response
        self._check_head(response)
        told = response.length  # None where the reply is chunked, or ends with the connection
        if told is not None and told > self.web.max_bytes:
            raise self._too_large(f"{told / 2**20:,.0f} MiB")
        data = bytearray()
        try:
            while block := response.read(_BLOCK_BYTES):
                data += block
                if len(data) > self.web.max_bytes:
                    raise self._too_large(f"more than {self.web.max_bytes / 2**20:,.0f} MiB")
        except IncompleteRead as error:
            if not (data or error.partial):  # no length of a chunk that could be read
                raise self._failed(self._host, error) from error
            words = f"ended after {len(data) + len(error.partial):,} bytes, within the picture"
            raise NetworkError(f"{self.source}: {self._host} {words}", self._again) from error
        except (OSError, HTTPException, ValueError) as error:
            raise self._failed(self._host, error) from error
        if told is not None and len(data) < told:
            raise NetworkError(
                f"{self.source}: {self._host} sent {len(data):,} of {told:,} bytes", self._again
            )
        if not data:
            raise _refused(self.source, f"{self._host} sent no bytes")
        return bytes(data)

    def _check_head(self, response: HTTPResponse) -> None:
        status, reason = response.status, " ".join(response.reason.split())[:40]
        words = f"{self._host} answers {status} {reason}".rstrip()
        if status in _PASSING:
            raise NetworkError(f"{self.source}: {words}", self._again)
        if status != 200:
            raise _refused(self.source, words)
        coding = response.getheader("Content-Encoding", "").strip().lower()
        if coding not in ("", "identity"):
            raise _refused(self.source, f"{self._host} sends it compressed ({coding[:20]})")
        transfer = response.getheader("Transfer-Encoding", "").strip().lower()
        if transfer not in ("", "identity", "chunked"):  # RFC 9112, 7.4: nobody asked for another
            words = f"in a transfer coding that was not asked for ({transfer[:20]})"
            raise _refused(self.source, f"{self._host} sends it {words}")

    def _target(self) -> tuple[str, int, str]:
        """Host, port and path. Raises ImageUnreadableError for what is not asked."""
        try:
            parts = urlsplit(self.url)
            host = (parts.hostname or "").encode("idna").decode() if parts.hostname else ""
            port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
        except ValueError as error:
            raise _refused(self.source, f"{self.url[:80]!r} is no address ({error})") from error
        if not host:
            raise _refused(self.source, f"{self.url[:80]!r} names no host")
        if parts.username is not None or parts.password is not None:
            raise _refused(self.source, "no user name and no password is sent")
        if parts.scheme.lower() != "https" and host not in self.web.private_hosts:
            secure = parts._replace(scheme="https").geturl()
            raise ImageUnreadableError(
                f"{self.source}: {host} would be asked without encryption; qvq asks https only",
                Ask((secure,)),
            )
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
        return host, port, f"{path}?{query}" if query else path

    def _connected(self, host: str, port: int) -> socket.socket:
        """A connection to one of the host's addresses, all of which were checked."""
        addresses = (self.web.resolve or resolved)(host, port)
        inner = [address for address in addresses if not is_public(address)]
        if inner and host not in self.web.private_hosts:
            raise _refused(self.source, f"{host} is {inner[0]}, which is no public address")
        error = OSError(f"{host} has no address")
        for address in addresses[:_ADDRESSES]:
            try:
                timeout_s = _left(self.web.stall_s, self.deadline)
                return socket.create_connection((address, port), timeout_s)
            except PermissionError:
                raise
            except OSError as failure:
                error = failure
        raise error

    def _trusted(self, connection: socket.socket, host: str) -> socket.socket:
        """TLS, verified against `host`."""
        context = ssl.create_default_context(cafile=self.web.roots or None)
        paths = ssl.get_default_verify_paths()
        if not self.web.roots and paths.cafile is None and paths.capath is None:
            with suppress(ImportError):  # a Python that brings no certificates and finds none
                import certifi

                context.load_verify_locations(certifi.where())
        return context.wrap_socket(connection, server_hostname=host)

    def _failed(self, host: str, error: Exception) -> QvqError:
        """Describe a failure on the way, in a few words."""
        match error:
            case ssl.SSLCertVerificationError():
                return _refused(
                    self.source, f"the certificate of {host} is not trusted: {error.verify_message}"
                )
            case PermissionError():
                return _refused(self.source, f"no connection is allowed ({error})")
            case TimeoutError() if monotonic() >= self.deadline:
                reason = f"{host} took longer than {self.web.total_s:g} s"
            case TimeoutError():
                reason = f"{host} sent nothing for {self.web.stall_s:g} s"
            case socket.gaierror() if error.errno != socket.EAI_AGAIN:
                return _refused(self.source, f"no host is called {host}")
            case RemoteDisconnected() | ConnectionError():
                reason = f"{host} dropped or refused the connection"
            case HTTPException() | ValueError():
                words = f"{host} does not speak HTTP as it should ({type(error).__name__})"
                return _refused(self.source, words)
            case OSError():
                reason = f"{host}: {error.strerror or error}"
            case _:
                reason = f"{host}: {type(error).__name__}"
        return NetworkError(f"{self.source}: {reason}", self._again)

    def _too_large(self, size: str) -> ImageSizeError:
        limit = f"{self.web.max_bytes / 2**20:,.0f} MiB"
        return ImageSizeError(
            f"{self.source}: {size} is too large; the limit for a fetch is {limit}",
            RunProgram(("curl", "-LO", self.source)),
        )

    @property
    def _host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def _again(self) -> Ask:
        return Ask((self.source,))


def _left(stall_s: float, deadline: float) -> float:
    """Seconds that the next step may take. Raises TimeoutError where none are left."""
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError("the time is up")
    return min(stall_s, left)


def _refused(source: str, why: str) -> ImageUnreadableError:
    return ImageUnreadableError(f"{source}: {why}", RunProgram(("curl", "-IL", source)))
