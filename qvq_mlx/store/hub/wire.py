"""HTTP as the Hub speaks it: one request, its redirects, and the head of the reply.

Law: the token is sent to the endpoint's own scheme, host and port, and nowhere else, whatever a
redirect says. What fails on the way is a `Hitch`. A file's hash is taken from the reply of the
endpoint (`X-Linked-ETag`, or `ETag` where it serves the file itself), not from where it redirects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from qvq_mlx import __version__
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.store.download import HubAccess, Listing, RemoteFile

if TYPE_CHECKING:
    from datetime import datetime

    from httpx2 import Response

_HOPS = 8
_NUMBER = re.compile(r"\[Errno -?[0-9]+\] ")
_REDIRECTS = (301, 302, 303, 307, 308)
_TEXT_BYTES = 64 << 20


class Hitch(Exception):  # noqa: N818  (a condition that the caller deals with)
    """The network or the server failed this time. `wait_s`: how long the server asks to wait.

    `lasting`: it is no matter of the moment, so that few more tries are worth the wait.
    """

    def __init__(self, reason: str, wait_s: float | None = None, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a reply.

    `start_byte` and `total_bytes`: which bytes follow and how long the whole file is, None where
    it does not say. `encoded`: the body is compressed. `etag`: the endpoint's, without quotes.
    """

    status: int
    start_byte: int | None = None
    total_bytes: int | None = None
    linked_bytes: int | None = None
    etag: str = ""
    html: bool = False
    encoded: bool = False
    retry_after_s: float | None = None
    error: str = ""
    elsewhere: bool = False
    """Another host says so, where a redirect led; its refusal may be a matter of the moment."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A head, and the body as it comes. Reading raises Hitch where the connection fails."""

    head: Head
    chunks: Iterator[bytes]


class Wire:
    """Requests to one endpoint. Used by several threads."""

    def __init__(self, access: HubAccess, now: Callable[[], datetime]) -> None:
        from huggingface_hub.constants import is_offline_mode
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        if is_offline_mode():
            raise UsageError(
                "HF_HUB_OFFLINE is set: nothing is fetched", RunProgram(("unset", "HF_HUB_OFFLINE"))
            )
        self._access = access
        self._now = now
        self._headers = build_hf_headers(
            token=access.token or False, library_name="qvq", library_version=__version__
        )
        self._headers["Accept-Encoding"] = "identity"  # a range of a compressed body is useless
        self._headers_elsewhere = {
            name: value for name, value in self._headers.items() if name.lower() != "authorization"
        }

    @property
    def access(self) -> HubAccess:
        """The address of a request, and its headers."""
        return self._access

    @contextmanager
    def file(self, listing: Listing, file: RemoteFile, start_byte: int) -> Iterator[Reply]:
        """The bytes of a file from `start_byte`."""
        from huggingface_hub import hf_hub_url

        url = hf_hub_url(
            listing.repo,
            file.path,
            repo_type=listing.kind,
            revision=listing.commit,
            endpoint=self._access.endpoint,
        )
        wanted = {"Range": f"bytes={start_byte}-"} if start_byte else {}
        with self._open(url, wanted) as reply:
            yield reply

    def text(self, url: str) -> tuple[Head, bytes, str]:
        """A small document, whole, and the address of its next page or ''. Raises Hitch."""
        import httpx2

        with self._response(url, {}) as (response, head):
            body = bytearray()
            try:
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > _TEXT_BYTES:
                        raise Hitch(f"{_host(url)} sent more than {_TEXT_BYTES >> 20} MiB of text")
            except httpx2.HTTPError as error:
                raise Hitch(_reason(error, url, self._access.stall_s)) from error
            following = response.links.get("next", {}).get("url")
            says = f"{_host(url)} names as the next page"
            return head, bytes(body), _joined(url, following, says) if following else ""

    @contextmanager
    def _open(self, url: str, wanted: dict[str, str]) -> Iterator[Reply]:
        with self._response(url, wanted) as (response, head):
            yield Reply(head, self._chunks(response, url, encoded=head.encoded))

    def _chunks(self, response: Response, url: str, *, encoded: bool) -> Iterator[bytes]:
        import httpx2

        try:
            yield from response.iter_bytes() if encoded else response.iter_raw()
        except httpx2.HTTPError as error:
            raise Hitch(_reason(error, url, self._access.stall_s)) from error

    @contextmanager
    def _response(self, url: str, wanted: dict[str, str]) -> Iterator[tuple[Response, Head]]:
        """The last reply of a chain of redirects, its body unread."""
        import httpx2
        from huggingface_hub import get_session

        etag, linked_bytes = "", None
        stall_s = self._access.stall_s
        for _ in range(_HOPS):
            home = _origin(url) == _origin(self._access.endpoint)
            headers = self._headers if home else self._headers_elsewhere
            try:
                client = get_session()
            except (ImportError, ValueError, httpx2.InvalidURL) as error:
                raise _no_client(error) from error
            try:
                request = client.build_request(
                    "GET",
                    url,
                    headers=headers | wanted,
                    timeout=httpx2.Timeout(stall_s, connect=min(10.0, stall_s)),
                )
                response = client.send(request, stream=True, follow_redirects=False)
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
                # ValueError: a host's name that no name server could be asked for, such as `...`
                raise Hitch(_reason(error, url, stall_s)) from error
            try:
                if home:
                    linked = response.headers.get("X-Linked-ETag")
                    own = "" if response.status_code in _REDIRECTS else response.headers.get("ETag")
                    etag = _plain_etag(linked or own or "") or etag
                    linked_bytes = _number(response.headers.get("X-Linked-Size"), linked_bytes)
                if response.status_code not in _REDIRECTS:
                    yield (
                        response,
                        replace(
                            _head(response, etag, linked_bytes, self._now()), elsewhere=not home
                        ),
                    )
                    return
                location = response.headers.get("Location", "")
                url = _joined(url, location, f"{_host(url)} redirects to")
            finally:
                response.close()
        raise Hitch(f"more than {_HOPS} redirects, the last to {_host(url)}", lasting=True)


def _joined(url: str, place: str, says: str) -> str:
    """Resolve an address that a reply names. Raises Hitch for one that is none of the web."""
    try:
        there = urljoin(url, place)
        parts = urlsplit(there)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # `http://[::1`, a port that is no number
        fine = None
    if not fine:
        raise Hitch(f"{says} {place[:80]!r}, which is no address", lasting=True)
    return there


def _no_client(error: Exception) -> UsageError:
    """No request can be made at all: a proxy's address, or a kind of proxy that is not read."""
    what = str(error)
    if "SOCKS" in what.upper():
        return UsageError(
            "a SOCKS proxy is set (ALL_PROXY, HTTPS_PROXY), and socksio is not here to speak to it",
            RunProgram(("pip", "install", "socksio")),
        )
    return UsageError(f"the proxy that is set cannot be used: {what}", RunProgram(("env",)))


def _wait_s(response: Response, now: datetime) -> float | None:
    """How long the server asks to wait, from `Retry-After` or the Hub's `RateLimit`."""
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

    stated = _retry_after(response.headers.get("Retry-After", ""), now)
    if stated is not None or response.status_code != 429:
        return stated
    limit = parse_ratelimit_headers(response.headers)
    # one second more, as huggingface_hub does: the window may end within this one
    return None if limit is None else limit.reset_in_seconds + 1.0


def _head(response: Response, etag: str, linked_bytes: int | None, now: datetime) -> Head:
    headers = response.headers
    start, total = None, _number(headers.get("Content-Length"), None)
    if response.status_code == 206:
        start, total = _content_range(headers.get("Content-Range", ""))
    elif response.status_code == 200:
        start = 0
    encoded = headers.get("Content-Encoding", "identity").lower() not in ("", "identity")
    return Head(
        status=response.status_code,
        start_byte=start,
        total_bytes=None if encoded else total,
        linked_bytes=linked_bytes,
        etag=etag,
        html="text/html" in headers.get("Content-Type", "").lower(),
        encoded=encoded,
        retry_after_s=_wait_s(response, now),
        error=headers.get("X-Error-Code", ""),
    )


def _content_range(text: str) -> tuple[int | None, int | None]:
    """`bytes 5-9/10` is (5, 10)."""
    unit, _, rest = text.partition(" ")
    span, _, total = rest.partition("/")
    start = _number(span.partition("-")[0], None) if unit == "bytes" else None
    return start, _number(total, None)


def _retry_after(text: str, now: datetime) -> float | None:
    """Seconds, from either form of the header (RFC 9110, 10.2.3)."""
    if (seconds := _number(text.strip(), None)) is not None:
        return float(seconds)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _number(text: str | None, default: int | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 20 else default


def _plain_etag(text: str) -> str:
    return text.removeprefix("W/").strip('"')


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or url[:80]


def _proxy(url: str) -> str:
    """Host and port of the proxy that is asked for `url`, as the variables name it; '' for none.

    Never with the name and the password that may stand before them.
    """
    from urllib.request import getproxies, proxy_bypass

    proxies, host = getproxies(), urlsplit(url).hostname or ""
    proxy = proxies.get(urlsplit(url).scheme) or proxies.get("all") or ""
    if not proxy.strip() or proxy_bypass(host):
        return ""
    try:
        return _host(proxy if "://" in proxy else f"//{proxy}")
    except ValueError:  # its address is none, and is another error before it is asked
        return ""


def _reason(error: Exception, url: str, stall_s: float) -> str:
    """Describe a failure, in a few words."""
    import httpx2

    host = _host(url)
    match error:
        case httpx2.ConnectError() | httpx2.ConnectTimeout():
            asked = f"the proxy {proxy}" if (proxy := _proxy(url)) else host
            said = _NUMBER.sub("", str(error)) or "it does not answer"
            return f"no connection to {asked}: {said}"
        case httpx2.ProxyError():
            return f"the proxy {_proxy(url)} leads to no {host}: {error}"
        case httpx2.TimeoutException():
            return f"{host} sent nothing for {stall_s:g} s"
        case httpx2.RemoteProtocolError() | httpx2.ReadError():
            return f"{host} dropped the connection"
        case _:
            return f"{host}: {str(error) or type(error).__name__}"
