"""A server of a test, on a free port of this machine, in a thread."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from qvq_mlx.serve.app import App
from qvq_mlx.serve.engine_thread import EngineThread
from qvq_mlx.serve.exchange import Server
from qvq_mlx.serve.gate import LOOPBACK, Gate
from qvq_mlx.serve.listen import HttpServer, bound
from qvq_mlx.settings import config
from qvq_mlx.store import registry
from tests.conftest import EXAMPLES, World
from tests.support.waiting import CEILING_S

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
SHAPES = (
    "data:image/png;base64," + base64.b64encode((EXAMPLES / "shapes.png").read_bytes()).decode()
)
QUESTION = "How many red circles are there?"
Json = dict[str, Any]


@dataclass
class Served:
    """A running server."""

    http: HttpServer
    engine: EngineThread
    client: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx2.Client(base_url=self.http.address, timeout=CEILING_S, trust_env=False)

    def post(self, path: str, body: Json) -> httpx2.Response:
        kind = {"content-type": "application/json"}
        return self.client.post(path, content=json.dumps(body), headers=kind)

    def events(self, path: str, body: Json) -> list[Json]:
        """The records of a stream, in order."""
        text = self.post(path, {**body, "stream": True}).text
        return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


@contextmanager
def serving(
    world: World, gate: Gate | None = None, max_waiting: int = 16, model: str = "tiny"
) -> Iterator[Served]:
    """Serve the card of `model`, the embedded one, with the world's engine."""
    settings = config.read(world.env)
    engine = EngineThread(world.env, settings, max_waiting=max_waiting)
    card, _ = registry.resolve(model, settings.hub_cache, settings.cards_folder)
    asked = Server(world.env, card, engine, gate or Gate(LOOPBACK))
    http = HttpServer(App(asked), engine, bound("127.0.0.1", 0))
    thread = threading.Thread(target=http.run)
    thread.start()
    served = Served(http, engine)
    try:
        yield served
    finally:
        http.stop()
        thread.join(CEILING_S)
        served.client.close()
        assert not thread.is_alive()


def chat(text: str = QUESTION, image: str = SHAPES, **more: Any) -> Json:
    """A body for /v1/chat/completions."""
    parts: list[Json] = [{"type": "text", "text": text}]
    if image:
        parts.append({"type": "image_url", "image_url": {"url": image}})
    return {"model": "tiny", "messages": [{"role": "user", "content": parts}], **more}
