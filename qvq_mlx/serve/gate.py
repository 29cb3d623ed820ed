"""Decides who may ask: the Host, the Origin, the token; and how much may be sent, how slowly.

Law: a page of another site gets no reply. Its browser says where it comes from (`Origin`), and a
name that was bent to this machine (DNS rebinding) stands in `Host`. Once the server listens beyond
this machine every request but the page's own needs a token.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from qvq_mlx.serve.fields import RequestError

MAX_BODY_BYTES = 96 * 2**20
"""A picture of 64 MiB is 86 MiB in base64."""
STALL_S = 15.0
TOTAL_S = 120.0
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Gate:
    """Rules of one server. `hosts` may stand in Host; empty: any, since a token is needed then.

    `origins` are other sites whose pages may ask; `token` '': none is needed.
    """

    hosts: frozenset[str]
    origins: frozenset[str] = frozenset()
    token: str = ""

    def check(self, headers: Mapping[str, str], *, needs_token: bool) -> None:
        """Raise RequestError for a request that is not let in."""
        host = headers.get("host", "")
        name = name_of(host)
        if not name or (self.hosts and name not in self.hosts):
            raise RequestError(f"Host {host[:80]!r} is not this server", "Host", 403, "host")
        origin = headers.get("origin")
        own = {f"http://{host}".lower(), f"https://{host}".lower()}
        if origin is not None and origin.lower() not in own | self.origins:
            raise RequestError(
                f"pages of {origin[:80]!r} may not ask here", "Origin", 403, "origin"
            )
        if headers.get("sec-fetch-site") == "cross-site" and origin is None:
            raise RequestError("pages of other sites may not ask here", "Origin", 403, "origin")
        if needs_token and self.token and not self._knows(headers):
            raise RequestError("a token is needed, or it is another one", None, 401, "token")

    def _knows(self, headers: Mapping[str, str]) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        given = given.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")
        return hmac.compare_digest(given.encode(), self.token.encode())


def name_of(host: str) -> str:
    """Return the name in a Host header, without the port, in lower case; '' for none."""
    try:
        parts = urlsplit(f"//{host}")
        has_more = parts.path or parts.query or parts.fragment or parts.username is not None
        if has_more or (parts.port is not None and parts.port < 0):
            return ""
    except ValueError:
        return ""
    name = (parts.hostname or "").rstrip(".")
    return f"[{name}]" if ":" in name else name


async def read_body(
    headers: Mapping[str, str], receive: Receive, stall_s: float = STALL_S, total_s: float = TOTAL_S
) -> bytes:
    """All of the body. Raises RequestError for one that is too large, too slow, or no JSON by its
    type; ConnectionError where the client leaves.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        text = "Content-Type has to be application/json"
        raise RequestError(text, "Content-Type", 415, "content-type")
    told = headers.get("content-length", "0")
    if told.isdigit() and int(told) > MAX_BODY_BYTES:
        raise _too_large()
    data = bytearray()
    try:
        async with asyncio.timeout(total_s):
            while True:
                async with asyncio.timeout(stall_s):
                    message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionError("the client left")
                data += message.get("body", b"")
                if len(data) > MAX_BODY_BYTES:
                    raise _too_large()
                if not message.get("more_body", False):
                    return bytes(data)
    except TimeoutError:
        raise RequestError("the body came too slowly", None, 408, "timeout") from None


def _too_large() -> RequestError:
    most = MAX_BODY_BYTES // 2**20
    return RequestError(f"the body is larger than {most} MiB", None, 413, "too-large")
