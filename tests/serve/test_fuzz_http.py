"""Mutated requests: each gets one clear answer, none a traceback, and the engine goes on."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from qvq_mlx.serve.app import App
from qvq_mlx.serve.engine_thread import EngineThread
from qvq_mlx.serve.exchange import Server
from qvq_mlx.serve.gate import LOOPBACK, Gate
from qvq_mlx.settings import config
from qvq_mlx.store import registry
from tests.conftest import World
from tests.serve.http import CHAT, MESSAGES, RESPONSES, Json, chat
from tests.serve.test_http import WORDS, messages, response
from tests.support.seeds import dice

Build = Callable[..., World]
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1e308, 2**63, 10**30, "", "x", "none", "a" * 5000),
    *([], [[]], {}, {"type": "text"}, [{"type": "text", "text": 1}], [None], {"": None}),
    *("data:,", "data:image/png;base64,!!!", "data:image/png,%FF", "file:///etc/passwd", "-"),
    *("https://127.0.0.1/a", "http://[", "data:image/png;base64," + "A" * 400, [0] * 500),
    *("clip", "\x00\x1b[31m", "\ud800"),
)
MORE = (
    *("tool_choice", "parallel_tool_calls"),
    *("tools", "n", "stop", "seed", "thinking", "reasoning", "text", "stream_options", "store"),
    "__class__",
)


def spots(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every place in a body: a container and a key."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        found.append((value, key))
        if isinstance(inner, dict | list):
            spots(inner, found)
    return found


def mutated(body: Json, die: random.Random) -> bytes:
    """One body with one to three faults, or bytes that are hardly JSON."""
    changed = copy.deepcopy(body)
    for _ in range(die.randint(1, 3)):
        container, key = die.choice(spots(changed, []) or [(changed, "model")])
        fault = die.randrange(4)
        if fault == 0 and isinstance(container, dict):
            container.pop(key, None)
        elif fault == 1:
            changed[die.choice(MORE)] = copy.deepcopy(die.choice(ODD))
        else:
            container[key] = copy.deepcopy(die.choice(ODD))
    data = json.dumps(changed).encode()
    if die.random() < 0.15:
        at = die.randrange(len(data))
        data = die.choice((data[:at], data[:at] + b"\xff" + data[at:], b"[" * 200 + data, data * 2))
    return data


async def called(app: App, path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of one request, without a socket."""
    sent: list[dict[str, Any]] = []
    parts = iter(({"type": "http.request", "body": body, "more_body": False},))
    never = asyncio.Event()

    async def receive() -> dict[str, Any]:
        for part in parts:
            return part
        await never.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    scope |= {"query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": ""}
    await app({**scope, "client": ("127.0.0.1", 1), "server": ("localhost", 80)}, receive, send)
    data = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], data


USUAL = ((CHAT, chat()), (MESSAGES, messages()), (RESPONSES, response()))


def check(
    world: World,
    count: int,
    die: random.Random,
    model: str = "tiny",
    bodies: Sequence[tuple[str, Json]] = USUAL,
) -> None:
    settings = config.read(world.env)
    engine = EngineThread(world.env, settings)
    card, _ = registry.resolve(model, settings.hub_cache, settings.cards_folder)
    app = App(Server(world.env, card, engine, Gate(LOOPBACK)))

    async def ask_all() -> None:
        for _ in range(count):
            path, body = die.choice(bodies)
            data = mutated({**body, "stream": die.random() < 0.3, "store": False}, die)
            status, reply = await called(app, path, data)
            assert status in (200, 400, 404), (status, reply[:300], data[:2000])
            assert b"this is a bug" not in reply, (reply[:300], data[:2000])
            if status != 200:
                assert json.loads(reply)["error"]["message"], reply
        path, body = bodies[0]
        assert (await called(app, path, json.dumps({**body, "store": False}).encode()))[0] == 200

    try:
        asyncio.run(ask_all())
    finally:
        engine.close()


@pytest.mark.seeded
def test_mutated_requests_get_one_clear_answer_each(world: Build) -> None:
    check(world(WORDS), 150, dice("mutated requests"))


@pytest.mark.slow
def test_ten_thousand_mutated_requests(world: Build) -> None:
    check(world(WORDS), 10_000, dice("many mutated requests"))
