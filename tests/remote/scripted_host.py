"""A server on 127.0.0.1 that speaks OpenAI's chat completions as a test tells it to, with faults.

It writes its replies itself, so that they may lie; what it was asked is kept.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

Json = dict[str, Any]
STREAM = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@dataclass
class ScriptedHost:
    """Serves `models`, and streams `says`; `raw` is sent instead of a stream.

    `then` is what it says to every later request, where there is any. `models_raw` is sent instead
    of the list of models. `waits`: after what it says it waits until the client leaves. `left` is
    set once nothing more is said to a client.
    """

    says: Sequence[str] = ()
    models: Sequence[Json] = ({"id": "Qwen/QVQ-72B-Preview", "max_model_len": 4096},)
    then: Sequence[str] = ()
    raw: bytes | None = None
    models_raw: bytes | None = None
    waits: bool = False
    left: threading.Event = field(default_factory=threading.Event)
    bodies: list[Json] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    _server: socketserver.ThreadingTCPServer | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def body(self) -> Json:
        """The only one that was asked."""
        [body] = self.bodies
        return body

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"host": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_: object) -> None:
        """A client that went away is what is tested."""


class _Handler(socketserver.StreamRequestHandler):
    host: ScriptedHost

    def handle(self) -> None:
        first, headers = self.rfile.readline().decode(), {}
        while line := self.rfile.readline().decode("latin-1").rstrip("\r\n"):
            name, _, value = line.partition(": ")
            headers[name] = value
        self.host.heads.append({"": first.strip(), **headers})
        if first.startswith("GET"):
            listed = {"object": "list", "data": list(self.host.models)}
            self.wfile.write(self.host.models_raw or whole(listed))
            return
        self.host.bodies.append(json.loads(self.rfile.read(int(headers["Content-Length"]))))
        if self.host.raw is not None:
            self.wfile.write(self.host.raw)
            return
        with suppress(OSError):
            self.wfile.write(STREAM.encode())
            later = len(self.host.bodies) > 1 and self.host.then
            for text in self.host.then if later else self.host.says:
                self.wfile.write(text.encode())
                self.wfile.flush()
            if self.host.waits:
                self.rfile.read()
        self.host.left.set()


def whole(record: object, status: str = "200 OK", *headers: str) -> bytes:
    """A whole reply."""
    data = json.dumps(record).encode()
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    return "\r\n".join([*head, f"Content-Length: {len(data)}", "", ""]).encode() + data


def chunk(delta: Json, finish: str | None = None, **more: Any) -> str:
    """One chunk of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice], **more})}\n\n"


def written(*texts: str, finish: str = "stop", usage: Json | None = None) -> list[str]:
    """A whole stream of `content`."""
    end = [f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"] if usage else []
    chunks = [chunk({"content": text}) for text in texts]
    return [chunk({"role": "assistant", "content": ""}), *chunks, chunk({}, finish), *end, DONE]


DONE = "data: [DONE]\n\n"
