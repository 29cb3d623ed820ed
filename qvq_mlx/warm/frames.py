"""Messages on a socket: one JSON object, and bytes behind it.

Law: a message is read whole or not at all; a peer that is gone is `GoneError`, whatever the system
calls it. What is longer than the bounds is not read.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

Frame = dict[str, Any]
"""A JSON object."""

_HEAD = struct.Struct(">II")
_MAX_JSON_BYTES, _MAX_BLOB_BYTES = 64 * 2**20, 2**31


class GoneError(Exception):
    """The other side is gone, or speaks another language."""


def send(line: socket.socket, frame: Frame, blobs: Sequence[bytes] = ()) -> None:
    """Send a message. Raises GoneError."""
    text = json.dumps(frame, separators=(",", ":")).encode()
    head = _HEAD.pack(len(text), sum(map(len, blobs)))
    try:
        line.sendall(head + text)
        for blob in blobs:
            line.sendall(blob)
    except OSError as error:
        raise GoneError(str(error)) from None


def receive(
    line: socket.socket, waiting: Callable[[], None] = lambda: None
) -> tuple[Frame, memoryview]:
    """Wait for a message. `waiting` is called whenever the socket's timeout passes.

    Raises GoneError, and what `waiting` raises.
    """
    size, more = _HEAD.unpack(_exactly(line, _HEAD.size, waiting))
    if size > _MAX_JSON_BYTES or more > _MAX_BLOB_BYTES:
        raise GoneError(f"a message of {size:,} and {more:,} bytes")
    text = _exactly(line, size, waiting)
    try:
        frame = json.loads(bytes(text))
    except ValueError as error:
        raise GoneError(f"a message that is no JSON: {error}") from None
    if not isinstance(frame, dict):
        raise GoneError("a message that is no object")
    return frame, _exactly(line, more, waiting)


def _exactly(line: socket.socket, size: int, waiting: Callable[[], None]) -> memoryview:
    """Read so many bytes."""
    buffer = memoryview(bytearray(size))
    at = 0
    while at < size:
        try:
            count = line.recv_into(buffer[at:])
        except TimeoutError:
            waiting()
            continue
        except OSError as error:
            raise GoneError(str(error)) from None
        if not count:
            raise GoneError("the connection was closed")
        at += count
    return buffer
