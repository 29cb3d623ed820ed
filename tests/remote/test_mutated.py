"""Whatever a host sends: one line and an exit code, or an answer; never a traceback."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import asdict

import pytest

from qvq_mlx.store import registry
from tests.conftest import EXAMPLES, World
from tests.remote.scripted_host import DONE, STREAM, ScriptedHost, chunk, whole, written
from tests.serve.http import CHAT, chat, serving

Build = Callable[..., World]
MARKED = ("I look", " at it.\n\n", "**Final Answer**", "\n\n", "\\boxed", "{3}")
CODES = {0, 2, 3, 4, 75}
ODD = (b"", b"{", b"]", b'"', b"\xff", b"\x00", b"\n\n")
VALUES = (b"null", b"-1", b"1e9", b"0", b'"x"', b'""', b"[]", b"[1]", b"{}", b"true", b"%d" % 2**70)
QVQ = json.loads(json.dumps(asdict(registry.find("tiny")), default=list))
AS_QVQ = ({"id": "qvq-tiny", "qvq": {"version": "0", "events": 1, "card": {**QVQ, "folder": ""}}},)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change one to three places."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data))
        values = list(re.finditer(rb'(?<=":) ?("[^"]*"|[-\d.e]+|null|true|false)', data))
        if values and chance.random() < 0.9:  # it stays JSON
            found = chance.choice(values)
            data = data[: found.start()] + chance.choice(VALUES) + data[found.end() :]
            continue
        end = at + chance.choice((0, 1, 1, 9))
        data = data[:at] + chance.choice(ODD) + data[end:]
    return data


def checked(world: Build, host: ScriptedHost) -> None:
    there = world([], environ={"QVQ_HOST": host.url, "QVQ_SAVE": "0"})
    code = there.run("ask", str(EXAMPLES / "shapes.png"), "How many?", "--json")
    assert code in CODES, there.err
    assert "bug" not in there.err
    assert len(there.err.splitlines()) <= 2 or code in (0, 3), there.err


@pytest.mark.parametrize("seed", range(60))
def test_a_mutated_stream(world: Build, seed: int) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 9}
    told = [chunk({"reasoning": "Hm."}), chunk({"content": "3"}), chunk({}, "stop"), DONE]
    says = "".join(told if seed % 2 else written(*MARKED, usage=usage)).encode()
    with ScriptedHost(raw=STREAM.encode() + mutated(says, random.Random(seed))) as host:
        checked(world, host)


@pytest.mark.parametrize("seed", range(30))
def test_a_mutated_list_of_models(world: Build, seed: int) -> None:
    models = AS_QVQ if seed % 2 else ({"id": "qvq", "max_model_len": 9000},)
    head, _, body = whole({"data": list(models)}).partition(b"\r\n\r\n")
    assert head
    raw = b"HTTP/1.1 200 OK\r\n\r\n" + mutated(body, random.Random(seed))
    with ScriptedHost(written(*MARKED), models_raw=raw) as host:
        checked(world, host)


def test_mutated_events(world: Build) -> None:
    with serving(world(MARKED)) as server:
        body = {**chat(qvq={"events": 1}), "stream": True, "store": False}
        says = server.post(CHAT, body).content
    for seed in range(60):
        raw = STREAM.encode() + mutated(says, random.Random(seed))
        with ScriptedHost(raw=raw, models=AS_QVQ) as host:
            checked(world, host)
