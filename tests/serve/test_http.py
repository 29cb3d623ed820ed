"""The server over HTTP, on a socket of this machine."""

from __future__ import annotations

import gc
import json
import os
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from qvq_mlx import history
from qvq_mlx.core.errors import DoesNotFitError
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.request import Request
from qvq_mlx.core.tokens import Control
from qvq_mlx.serve import choices, listen
from qvq_mlx.serve.gate import LOOPBACK, Gate
from qvq_mlx.serve.keep import parse_keep
from qvq_mlx.serve.listen import bound
from qvq_mlx.settings import config
from qvq_mlx.system.footprint import footprint_bytes
from tests.conftest import ScriptedEngine, World
from tests.serve.http import (
    CHAT,
    MESSAGES,
    QUESTION,
    RESPONSES,
    SHAPES,
    Json,
    Served,
    chat,
    serving,
)
from tests.serve.test_engine_thread import Held
from tests.support.seeds import dice
from tests.support.waiting import CEILING_S, eventually

Build = Callable[..., World]
WORDS = ("I look.\n\n", "**Final Answer**\n\n", "two", " red", " circles")
ANSWER, THINKING = "two red circles", "I look."


@pytest.fixture
def scripted(world: Build) -> Iterator[Served]:
    with serving(world(WORDS)) as found:
        yield found


def messages(**more: object) -> Json:
    source = {"type": "base64", "media_type": "image/png", "data": SHAPES.partition(",")[2]}
    content = [{"type": "image", "source": source}, {"type": "text", "text": QUESTION}]
    body = {"model": "tiny", "max_tokens": 300}
    return {**body, "messages": [{"role": "user", "content": content}], **more}


def response(**more: object) -> Json:
    image = {"type": "input_image", "image_url": SHAPES}
    content = [{"type": "input_text", "text": QUESTION}, image]
    return {"model": "tiny", "input": [{"role": "user", "content": content}], **more}


def test_thinking_and_answer_are_told_apart_in_every_interface(scripted: Served) -> None:
    whole = scripted.post(CHAT, chat()).json()
    said = whole["choices"][0]["message"]
    assert (said["content"], said["reasoning_content"], said["reasoning"]) == (
        ANSWER,
        THINKING,
        THINKING,
    )
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["choices"][0]["qvq"]["complete"]
    assert whole["usage"]["prompt_tokens"] == 3
    blocks = scripted.post(MESSAGES, messages()).json()["content"]
    assert [(block["type"], block[block["type"]]) for block in blocks] == [
        ("thinking", THINKING),
        ("text", ANSWER),
    ]
    output = scripted.post(RESPONSES, response()).json()["output"]
    assert output[0]["summary"][0]["text"] == THINKING
    assert output[1]["content"][0]["text"] == ANSWER


def test_streams_say_the_same_as_whole_replies(scripted: Served) -> None:
    chunks = scripted.events(CHAT, chat(stream_options={"include_usage": True}))
    *choices, usage = chunks
    deltas = [chunk["choices"][0]["delta"] for chunk in choices]
    assert "".join(delta.get("content", "") for delta in deltas) == ANSWER
    assert "".join(delta.get("reasoning", "") for delta in deltas).strip() == THINKING
    assert (usage["choices"], usage["usage"]["prompt_tokens"]) == ([], 3)
    assert choices[-1]["choices"][0]["finish_reason"] == "stop"
    blocks = scripted.events(MESSAGES, messages())
    assert [event["type"] for event in blocks if event["type"] != "ping"][-2:] == [
        "message_delta",
        "message_stop",
    ]
    numbered = scripted.events(RESPONSES, response())
    assert [event["sequence_number"] for event in numbered] == list(range(len(numbered)))
    assert numbered[-1]["response"]["output"][1]["content"][0]["text"] == ANSWER


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT, chat(tools=[{"type": "function"}]), "tools"),
        (CHAT, chat(logprobs=True), "logprobs"),
        (CHAT, chat(frequency_penalty=0.5), "frequency_penalty"),
        (CHAT, chat(temperature="hot"), "temperature"),
        (CHAT, chat(max_tokens=0), "max_tokens"),
        (CHAT, chat(nonsense=1), "nonsense"),
        (CHAT, chat(n=99), "n"),
        (CHAT, chat(stop=["a", 1]), "stop"),
        (CHAT, chat(response_format={"type": "json_schema"}), "response_format.schema"),
        (CHAT, chat(image="/etc/passwd"), "messages[0].content[1].image_url.url"),
        (CHAT, chat(image="file:///etc/passwd"), "messages[0].content[1].image_url.url"),
        (CHAT, chat(image="screen"), "messages[0].content[1].image_url.url"),
        (CHAT, chat(image="data:video/mp4;base64,AA"), "messages[0].content[1].image_url.url"),
        (CHAT, chat(image="https://example.com/a"), "messages[0].content[1].image_url.url"),
        (CHAT, chat(text="\ud800", image=""), "messages[0].content[0].text"),
        (CHAT, {"model": "tiny"}, "messages"),
        (CHAT, {"model": "other", "messages": []}, "model"),
        (MESSAGES, messages(max_tokens=None), "max_tokens"),
        (
            MESSAGES,
            messages(thinking={"type": "enabled", "budget_tokens": 300}),
            "thinking.budget_tokens",
        ),
        (RESPONSES, response(previous_response_id="resp_1"), "previous_response_id"),
    ],
)
def test_what_is_not_taken_is_refused_by_its_name(
    scripted: Served, path: str, body: Json, param: str
) -> None:
    refused = scripted.post(path, body)
    assert refused.status_code == (404 if param == "model" else 400)
    record = refused.json()
    assert param in (record["qvq"]["param"] if path == MESSAGES else record["error"]["param"])
    assert param.rpartition(".")[2].split("[")[0] in record["error"]["message"]


def test_a_picture_that_cannot_be_read_has_the_sentence_of_the_terminal(
    world: Build, scripted: Served
) -> None:
    broken = SHAPES[:200]
    w = world(WORDS)
    assert w.run("ask", "-m", "tiny", broken, QUESTION) == 6
    refused = scripted.post(CHAT, chat(image=broken))
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] in w.err.replace("\n", " ")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"content-type": "text/plain"}, 415),
    ],
)
def test_pages_of_other_sites_get_nothing(
    scripted: Served, headers: dict[str, str], status: int
) -> None:
    whole = {"content-type": "application/json", **headers}
    refused = scripted.client.post(CHAT, content=json.dumps(chat()), headers=whole)
    assert refused.status_code == status
    assert "access-control-allow-origin" not in refused.headers
    assert refused.json()["error"]["code"]


def test_beyond_this_machine_a_token_is_needed(world: Build) -> None:
    with serving(world(WORDS), Gate(frozenset(), token="secret")) as served:
        assert served.client.get("/v1/models").status_code == 401
        for headers in ({"authorization": "Bearer secret"}, {"x-api-key": "secret"}):
            assert served.client.get("/v1/models", headers=headers).status_code == 200
        assert served.client.get("/health").status_code == 200


def test_bodies_are_bounded_and_read_as_json(scripted: Served) -> None:
    json_type = {"content-type": "application/json"}
    for body in (b"", b"[", b"[]", b'{"model": NaN}', b"\xff", b"[" * 100_000, b'{"a":' * 9999):
        refused = scripted.client.post(CHAT, content=body, headers=json_type)
        assert refused.status_code == 400, body[:20]
    huge = scripted.client.post(CHAT, content=b"", headers={**json_type, "content-length": "0"})
    assert huge.status_code == 400
    with socket.create_connection(("127.0.0.1", int(scripted.http.address[-5:])), CEILING_S) as raw:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        raw.sendall(f"{head}Content-Length: 209715200\r\n\r\n".encode())
        assert b" 413 " in raw.recv(200)


@pytest.fixture
def held() -> Iterator[Held]:
    found = Held()
    yield found
    found.go_on.set()


def test_a_client_that_leaves_stops_its_decode_within_one_token(world: Build, held: Held) -> None:
    engine = ScriptedEngine(WORDS * 50, on_token=held.on_token)
    with serving(world(engine=engine)) as served:
        body = json.dumps(chat(stream=True)).encode()
        raw = socket.create_connection(("127.0.0.1", int(served.http.address[-5:])))
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert held.reached.wait(CEILING_S)
        controls: list[Control] = []
        running = served.engine._running
        assert running is not None
        controls.append(running.control)
        raw.close()
        eventually(lambda: controls[0].stopping)
        held.go_on.set()
        eventually(lambda: served.engine.status.ended == 1)
        assert held.tokens == 2
        assert served.post(CHAT, chat()).status_code == 200


def raw_request(body: Json) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def leave(port: int, die: random.Random) -> None:
    """Ask as a client does that goes at any moment: within its request, or within the reply."""
    request = raw_request(chat(stream=die.random() < 0.7, store=die.random() < 0.5))
    with socket.create_connection(("127.0.0.1", port), CEILING_S) as raw:
        if die.random() < 0.3:
            raw.sendall(request[: die.randrange(len(request))])
            return
        raw.sendall(request)
        for _ in range(die.randrange(6)):
            if not raw.recv(die.choice((1, 100, 5000))):
                return
        if die.random() < 0.5:  # a reset in place of an orderly end
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "count", [12, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.long])]
)
def test_clients_that_leave_at_any_moment_hold_nobody_up(world: Build, count: int) -> None:
    die = dice(f"{count} clients leave")
    with serving(world(WORDS * 20), max_waiting=count) as served:
        port = int(served.http.address[-5:])
        threads = [
            threading.Thread(target=leave, args=(port, random.Random(die.random())))
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(CEILING_S)
        assert served.post(CHAT, chat()).status_code == 200
        eventually(lambda: (served.engine.status.waiting, served.engine._running) == (0, None))


@dataclass
class Until:
    """Holds the decode of one request at its token `at` until the test lets it go on."""

    at: int
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    tokens: int = 0

    def on_token(self, index: int, _control: Control) -> None:
        self.tokens += 1
        if index == self.at:
            self.reached.set()
            assert self.go_on.wait(CEILING_S)


@pytest.mark.seeded
@pytest.mark.parametrize(
    "count", [8, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.long])]
)
def test_whenever_a_client_leaves_no_token_more_is_written(world: Build, count: int) -> None:
    die = dice(f"{count} clients leave at a token")
    words = [f"The square of {number} is {number**2}. " for number in range(100)]
    until: list[Until] = []

    def on_token(index: int, control: Control) -> None:
        until[-1].on_token(index, control)

    engine = ScriptedEngine(words, on_token=on_token)
    used: list[int] = []
    with serving(world(engine=engine)) as served:
        for number in range(count):
            until.append(Until(die.randrange(len(words) - 1)))
            body = chat(stream=die.random() < 0.7, n=die.choice((1, 1, 2)), store=False)
            raw = socket.create_connection(("127.0.0.1", int(served.http.address[-5:])))
            raw.sendall(raw_request(body))
            assert until[-1].reached.wait(CEILING_S)
            running = served.engine._running
            assert running is not None
            if die.random() < 0.5:  # a reset in place of an orderly end
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
            control = running.control
            eventually(lambda control=control: control.stopping)
            written = until[-1].tokens
            until[-1].go_on.set()
            ended = number + 1
            eventually(lambda ended=ended: served.engine.status.ended == ended)
            # of two choices the second one is at the token before
            assert until[-1].tokens - written <= body["n"] - 1
            if number % 10 == 0:  # looking at a whole suite's objects takes longer than the rest
                gc.collect()
            used.append(footprint_bytes(os.getpid()) or 0)
        until.append(Until(-1))
        reply = served.post(CHAT, chat(store=False)).json()
    assert reply["choices"][0]["message"]["content"]
    if count >= 100:
        middle, end = max(used[count // 4 : count // 2]), max(used[-count // 4 :])
        assert end <= middle * 1.05, (middle, end)


@pytest.mark.parametrize("sent", [b"", b"POST /v1/chat", raw_request({})[:60]])
def test_a_head_that_does_not_come_is_not_waited_for(
    scripted: Served, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(listen, "HEAD_S", 0.05)
    with socket.create_connection(("127.0.0.1", int(scripted.http.address[-5:])), CEILING_S) as raw:
        raw.sendall(sent)
        assert raw.recv(100) == b""


def test_the_next_head_on_a_connection_is_not_waited_for_either(
    scripted: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "HEAD_S", 0.05)
    with socket.create_connection(("127.0.0.1", int(scripted.http.address[-5:])), CEILING_S) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in raw.recv(4096)
        raw.sendall(b"GET /hea")
        while raw.recv(4096):
            pass


def test_shutting_down_ends_a_reply_by_length_and_keeps_it(world: Build, held: Held) -> None:
    w = world(engine=ScriptedEngine(WORDS * 50, on_token=held.on_token))
    got: list[Json] = []
    with serving(w) as served:
        asks = threading.Thread(target=lambda: got.append(served.post(CHAT, chat()).json()))
        asks.start()
        assert held.reached.wait(CEILING_S)
        served.http.stop()
        eventually(lambda: served.engine._closing)
        held.go_on.set()
        asks.join(CEILING_S)
    assert got[0]["choices"][0]["finish_reason"] == "length"
    saved = history.last(config.read(w.env).history_folder)
    assert (saved.request.question, saved.done is not None) == (QUESTION, True)


def test_too_many_requests_get_429_with_a_time(world: Build, held: Held) -> None:
    with serving(world(engine=held.engine()), max_waiting=1) as served:
        threads = []
        for _ in range(2):
            threads.append(threading.Thread(target=lambda: served.post(CHAT, chat())))
            threads[-1].start()
            running = len(threads) == 1
            eventually(
                held.reached.is_set if running else lambda: served.engine.status.waiting == 1
            )
        refused = served.post(CHAT, chat())
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        held.go_on.set()
        for thread in threads:
            thread.join(CEILING_S)


def test_stop_choices_and_a_run_that_is_not_kept(world: Build) -> None:
    w = world(WORDS)
    with serving(w) as served:
        two = served.post(CHAT, chat(n=2, stop=" circles", store=False)).json()
    assert [choice["message"]["content"] for choice in two["choices"]] == ["two red"] * 2
    folder = config.read(w.env).history_folder
    assert not folder.exists() or not list(folder.glob("*.jsonl"))


def test_choices_share_one_prefill_and_each_is_kept(world: Build) -> None:
    engine = ScriptedEngine([*WORDS[:2], "two"], others=([*WORDS[:2], "three", " or", " so"],))
    w = world(engine=engine)
    with serving(w) as served:
        body = chat(n=2, stream_options={"include_usage": True})
        *chunks, usage = served.events(CHAT, body)
    said = ["", ""]
    for chunk in chunks:
        [choice] = chunk["choices"]
        said[choice["index"]] += choice["delta"].get("content") or ""
    assert said == ["two", "three or so"]
    assert [one["choices"][0]["finish_reason"] for one in chunks].count("stop") == 2
    assert usage["usage"]["prompt_tokens"] == 3
    assert len(engine.asked) == 1
    assert [one.sampling.seed for one in engine.generations] == [0, 1]
    folder = config.read(w.env).history_folder
    assert len(list(folder.glob("*.jsonl"))) == 2


def test_a_choice_that_met_its_stop_text_lets_the_others_go_on(world: Build) -> None:
    long = "".join(["one", " two"] * 20)
    engine = ScriptedEngine(["a b", " c", " never"], others=([long],))
    with serving(world(engine=engine)) as served:
        two = served.post(CHAT, chat(n=2, stop=" b c")).json()
    assert [choice["message"]["content"] for choice in two["choices"]] == ["a", long]


def test_choices_end_when_their_client_leaves(world: Build, held: Held) -> None:
    engine = ScriptedEngine(WORDS * 50, on_token=held.on_token)
    with serving(world(engine=engine)) as served:
        raw = socket.create_connection(("127.0.0.1", int(served.http.address[-5:])))
        raw.sendall(raw_request(chat(stream=True, n=2)))
        assert held.reached.wait(CEILING_S)
        running = served.engine._running
        assert running is not None
        raw.close()
        eventually(lambda: running.control.stopping)
        held.go_on.set()
        eventually(lambda: served.engine.status.ended == 1)
        assert held.tokens <= 4
        assert served.post(CHAT, chat()).status_code == 200


@pytest.mark.parametrize("more", [{}, {"response_format": {"type": "json_object"}}], ids=str)
def test_each_choice_is_the_reply_that_its_seed_gets_alone(world: Build, more: Json) -> None:
    fields = {"temperature": 1.5, "store": False, **more}
    with serving(world()) as served:
        several = served.post(CHAT, chat(n=3, seed=7, **fields)).json()
        alone = [served.post(CHAT, chat(seed=7 + one, **fields)).json() for one in range(3)]
    found = [choice["message"] for choice in several["choices"]]
    assert found == [one["choices"][0]["message"] for one in alone]
    assert len({one["reasoning"] for one in found}) > 1
    usage = [one["usage"] for one in alone]
    assert several["usage"]["prompt_tokens"] == usage[0]["prompt_tokens"]
    assert several["usage"]["completion_tokens"] == sum(one["completion_tokens"] for one in usage)


def test_where_there_is_no_room_for_all_choices_come_one_after_the_other(
    world: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = choices.make_plan

    def narrow(request: Request, *more: Any) -> Plan:
        if request.policy.in_flight != 1:
            raise DoesNotFitError("no room for two")
        return real(request, *more)

    monkeypatch.setattr(choices, "make_plan", narrow)
    engine = ScriptedEngine(WORDS)
    with serving(world(engine=engine)) as served:
        two = served.post(CHAT, chat(n=2)).json()
    assert [choice["message"]["content"] for choice in two["choices"]] == [ANSWER] * 2
    assert [one.sampling.seed for one in engine.generations] == [0, 1]
    assert len(engine.asked) == 2


def test_a_picture_that_was_sent_is_kept_for_a_follow_up(world: Build) -> None:
    w = world(WORDS)
    with serving(w) as served:
        assert served.post(CHAT, chat()).status_code == 200
    (source,) = history.last(config.read(w.env).history_folder).request.sources
    assert source.path is None
    assert w.run("ask", "-c", "And how many blue ones?") == 0


def test_earlier_messages_become_rounds_and_a_system_message(world: Build) -> None:
    engine = ScriptedEngine(WORDS)
    body = chat()
    said = [{"role": "assistant", "content": "two"}, {"role": "user", "content": "And blue?"}]
    body["messages"] = [{"role": "developer", "content": "Be brief."}, *body["messages"], *said]
    with serving(world(engine=engine)) as served:
        assert served.post(CHAT, body).status_code == 200
    question, pictures, system = engine.asked[0]
    assert (pictures, system) == (1, "Be brief.")
    assert QUESTION in question  # this model is told earlier rounds in words
    assert "And blue?" in question


def test_the_embedded_model_answers_about_a_picture_and_holds_a_schema(world: Build) -> None:
    schema = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}
    form = {"type": "json_schema", "json_schema": {"name": "count", "schema": schema}}
    with serving(world()) as served:
        reply = served.post(CHAT, chat()).json()
        assert reply["choices"][0]["message"]["content"] == "\\boxed{3}"
        held = served.post(CHAT, chat(response_format=form)).json()
        assert json.loads(held["choices"][0]["message"]["content"]) == {"count": 3}
        assert held["usage"]["prompt_tokens_details"]["cached_tokens"] > 0


def test_health_models_and_what_is_not_there(scripted: Served) -> None:
    assert scripted.client.get("/health").json()["model"] == "qvq-tiny"
    (model,) = scripted.client.get("/v1/models").json()["data"]
    assert scripted.client.get(f"/v1/models/{model['id']}").json() == model
    assert scripted.client.get("/v1/models/other").status_code == 404
    assert scripted.client.get("/nothing").status_code == 404
    assert scripted.client.get(CHAT).status_code == 405


def test_the_page_may_use_its_own_script_and_this_server_alone(scripted: Served) -> None:
    page = scripted.client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert "connect-src 'self'" in policy
    foreign = page.text.replace("http://www.w3.org/2000/svg", "")
    assert "http:" not in foreign
    assert "https:" not in foreign


def test_a_port_in_use_is_one_line_with_a_remedy(world: Build) -> None:
    with bound("127.0.0.1", 0) as taken:
        w = world(WORDS)
        port = str(taken.getsockname()[1])
        assert w.run("serve", "-m", "tiny", "--port", port) == 75
        assert f"port {port} of 127.0.0.1 is in use" in w.err
        assert f"lsof -i :{port}" in w.err


def test_times_to_keep_a_model() -> None:
    assert [parse_keep(text) for text in (None, "90s", "10m", "2h", "5")] == [
        None,
        90,
        600,
        7200,
        5,
    ]


def test_an_unknown_host_is_no_own_name() -> None:
    from qvq_mlx.serve.gate import name_of

    names = {"localhost:8080", "127.0.0.1", "[::1]:80", "LOCALHOST."}
    assert {name_of(name) for name in names} <= LOOPBACK
    for bad in ("localhost@evil", "localhost/evil", "localhost:99999", "", "evil#localhost"):
        assert name_of(bad) not in LOOPBACK
