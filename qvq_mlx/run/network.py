"""Refuses and watches the connections of this process.

Law: what is refused is refused to every library, and it cannot be taken back: an audit hook stays.
A server of this machine that the user named as host may be asked all the same: its port is allowed.
C code that reaches the system's sockets by itself is not seen.
"""

from __future__ import annotations

import sys
from _socket import AF_UNIX  # the audited names, and not what `socket` brings along
from collections.abc import Callable

from qvq_mlx.core.network import Network

NETWORK_MODULES = (
    *("huggingface_hub", "transformers", "requests", "httpx", "httpx2", "urllib3", "aiohttp"),
    *("http.client", "urllib.request", "ssl"),
)
"""What talks to servers. `socket` is not among them: the standard library loads it for less."""


def forbid_network() -> None:
    """Make every connection and name look-up of this process fail, whatever library asks."""
    sys.addaudithook(_refuse)


_allowed: set[int] = set()
"""Ports of this machine that the user named. A hook is the process's, and so is what it lets by."""


def allow_port(port: int) -> None:
    """Let this process reach a port of this machine, whether or not connections are refused."""
    _allowed.add(port)


def watch_network() -> Callable[[], Network]:
    """Note every `socket.*` audit event from now on. Call it before `forbid_network`, whose hook
    would otherwise keep an event from this one.
    """
    seen: list[str] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith("socket.") and not _is_local(event, arguments):
            seen.append(event)

    def found() -> Network:
        loaded = tuple(name for name in NETWORK_MODULES if name in sys.modules)
        return Network(tuple(seen), loaded, NETWORK_MODULES)

    sys.addaudithook(note)
    return found


def _is_local(event: str, arguments: tuple[object, ...]) -> bool:
    """True for a Unix socket, which never leaves this machine: a running server of this user."""
    if not arguments:
        return False
    family = arguments[1] if event == "socket.__new__" else getattr(arguments[0], "family", None)
    return family == AF_UNIX


def _is_allowed(address: object) -> bool:
    match address:
        case (str(host), int(port), *_):
            return port in _allowed and (host.startswith("127.") or host == "::1")
        case _:
            return False


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.sendto") and _is_local(event, arguments):
        return
    if event == "socket.connect" and _is_allowed(arguments[-1]):
        return
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise PermissionError(f"offline: {event} was refused: {arguments[-1]!r}")
