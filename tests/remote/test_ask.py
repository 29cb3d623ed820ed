"""`qvq ask` of a host: the same text as here, and one line for everything that goes wrong."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import EXAMPLES, ROOT, ScriptedEngine, World
from tests.remote.scripted_host import DONE, ScriptedHost, chunk, whole, written
from tests.serve.http import serving

Build = Callable[..., World]
PICTURE = str(EXAMPLES / "shapes.png")
QUESTION = "How many red circles are there?"
MARKED = ("I look", " at it.\n\n", "**Final", " Answer**", "\n\n", "\\boxed", "{3}")


def asked(world: Build, url: str, *more: str, **variables: str) -> tuple[int, World]:
    """Ask the host at `url`."""
    there = world([], environ={"QVQ_HOST": url, **variables})
    return there.run("ask", "-i", PICTURE, "-Q", QUESTION, *more), there


@pytest.fixture
def marked() -> Iterator[ScriptedHost]:
    with ScriptedHost(written(*MARKED)) as host:
        yield host


# ---- a qvq ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--budget", "20"),
        ("--max-tokens", "30"),
        ("--budget", "20", "--answer-tokens", "4"),
        ("--lang", "en"),
        ("--temp", "0.8", "--seed", "7"),
        ("--detail", "high", "--crop", "0%,0%,50%,50%"),
        ("-i", str(EXAMPLES / "sum.png")),
        ("--system", ""),
    ],
)
def test_a_qvq_gives_the_text_and_the_numbers_that_it_gives_here(
    world: Build, more: tuple[str, ...]
) -> None:
    here = world()
    line = ("ask", "-m", "tiny", "-i", PICTURE, "-Q", QUESTION, "--json", "--no-save", *more)
    code = here.run(*line)
    with serving(world()) as server:
        address = server.http.address
        there = world([], environ={"QVQ_HOST": address})
        assert there.run(*line) == code
    own, other = json.loads(here.out), json.loads(there.out)
    numbers = ("prompt_tokens", "image_tokens", "generated_tokens", "thinking_tokens")
    for name in numbers:
        assert other["stats"][name] == own["stats"][name], name
    assert other["stats"]["host"] == address
    assert own["stats"]["host"] is None
    for record in (own, other):
        record.pop("stats")
        record["notices"] = [one for one in record["notices"] if one["code"] != "draft"]
    assert other == own


def test_a_run_that_a_host_answered_is_in_the_history_here_and_not_there(world: Build) -> None:
    with serving(world(MARKED, environ={"QVQ_HOME": "/nonexistent/qvq"})) as server:
        code, there = asked(world, server.http.address)
    assert (code, there.out) == (0, "\\boxed{3}\n")
    again = world([])
    assert again.run("last", "--thinking") == 0
    assert "I look at it." in again.out


def test_a_schema_and_a_switch_reach_a_qvq(world: Build) -> None:
    engine = ScriptedEngine(['{"n": 3}'])
    with serving(world(engine=engine)) as server:
        code, _ = asked(world, server.http.address, "--schema", '{"type": "object"}')
    assert code in (0, 3, 7)  # a scripted engine is held to nothing
    assert engine.generations[0].constraint is not None
    assert json.loads(engine.generations[0].constraint.schema) == {"type": "object"}


# ---- any other server ----------------------------------------------------------------------


def test_thinking_without_tags_is_split_here(world: Build, marked: ScriptedHost) -> None:
    code, there = asked(world, marked.url, "--json")
    record = json.loads(there.out)
    assert (code, record["answer"], record["thinking"]) == (0, "\\boxed{3}", "I look at it.")
    assert record["answer_source"] == "marker"
    assert record["model"] == "Qwen/QVQ-72B-Preview"
    assert record["stats"]["host"] == marked.url


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thinking_that_a_host_tells_apart_is_taken_as_it_is(world: Build, name: str) -> None:
    says = [
        chunk({"role": "assistant", "content": "\n"}),
        *(chunk({name: text}) for text in ("I look", " at it.")),
        *(chunk({"content": text}) for text in ("\n\n", "3")),
        chunk({}, "stop"),
        DONE,
    ]
    with ScriptedHost(says) as host:
        _, there = asked(world, host.url, "--json")
    record = json.loads(there.out)
    assert (record["thinking"], record["answer"]) == ("I look at it.", "3")
    assert record["answer_source"] == "tag"


@pytest.mark.parametrize(
    ("words", "thinking", "answer"),
    [
        (("<think>", "Hm.", "</think>", "3"), "Hm.", "3"),
        (("Three", " of them."), "", "Three of them."),
    ],
)
def test_a_model_that_nobody_knows_is_split_by_tags(
    world: Build, words: tuple[str, ...], thinking: str, answer: str
) -> None:
    with ScriptedHost(written(*words), models=[{"id": "somebody/else"}]) as host:
        code, there = asked(world, host.url, "--json")
    record = json.loads(there.out)
    assert (code, record["thinking"], record["answer"]) == (0, thinking, answer)


def test_what_is_sent_is_what_a_model_here_would_see(world: Build, marked: ScriptedHost) -> None:
    more = ("--temp", "0.5", "--top-k", "20", "--seed", "7", "--max-tokens", "100")
    asked(world, marked.url, *more, "-i", str(EXAMPLES / "sum.png"))
    body = marked.body
    sent = {name: body[name] for name in ("model", "temperature", "top_k", "seed", "max_tokens")}
    assert sent == {
        "model": "Qwen/QVQ-72B-Preview",
        "temperature": 0.5,
        "top_k": 20,
        "seed": 7,
        "max_tokens": 100,
    }
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert not {"qvq", "store", "thinking_budget", "min_p"} & body.keys()
    system, user = body["messages"]
    assert system["role"] == "system"
    kinds = [part["type"] for part in user["content"]]
    assert kinds == ["text", "image_url", "text", "image_url", "text"]
    assert [user["content"][at]["text"] for at in (0, 2, 4)] == [
        "Picture 1: ",
        "Picture 2: ",
        QUESTION,
    ]
    data = user["content"][1]["image_url"]["url"].removeprefix("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.width % 28 == image.height % 28 == 0


def test_a_reply_gets_half_of_a_context_that_a_host_states(
    world: Build, marked: ScriptedHost
) -> None:
    asked(world, marked.url)
    assert marked.body["max_tokens"] == 2048


def test_the_tokens_are_the_hosts(world: Build) -> None:
    usage = {
        "prompt_tokens": 90,
        "completion_tokens": 40,
        "prompt_tokens_details": {"cached_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 33},
    }
    with ScriptedHost(written(*MARKED, usage=usage)) as host:
        _, there = asked(world, host.url, "--json")
    stats = json.loads(there.out)["stats"]
    found = [stats[f"{name}_tokens"] for name in ("prompt", "generated", "thinking", "answer")]
    assert found == [90, 40, 33, 7]
    assert stats["cached_tokens"] == 30


def test_a_loop_ends_the_stream(world: Build) -> None:
    says = [chunk({"content": "The circle is red and the square is blue, again. "})] * 400
    with ScriptedHost([*says], waits=True) as host:
        code, there = asked(world, host.url)
        assert host.left.wait(30)
    assert code == 3
    assert there.err.startswith("error[no-answer]: the model repeated itself and was stopped")


def test_a_host_that_knows_no_bound_is_ended(world: Build) -> None:
    with ScriptedHost([chunk({"content": f" w{n}"}) for n in range(50)], waits=True) as host:
        code, there = asked(world, host.url, "--max-tokens", "20")
        assert host.left.wait(30)
    assert code == 3
    assert "no final answer within 20 tokens (--max-tokens)" in there.err


def test_a_cut_answer_is_none(world: Build) -> None:
    with ScriptedHost(written(*MARKED[:-1], finish="length")) as host:
        code, there = asked(world, host.url)
    assert (code, there.out) == (3, "")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--vote", "3"), "--vote cannot be asked of"),
        (("--double-check",), "--double-check cannot be asked of"),
        (("--look", "2"), "--look cannot be asked of"),
        (("--draft", "lookup"), "--draft cannot be asked of"),
        (("--no-cache",), "--no-cache cannot be asked of"),
        (("--no-wait",), "--no-wait cannot be asked of"),
        (("--answer-tokens", "5"), "--answer-tokens cannot be asked of"),
        (("--schema", '{"type": "object"}'), "--schema cannot be asked of"),
        (("--budget", "50"), "--budget bounds the thinking, and Qwen/QVQ-72B-Preview cannot be"),
    ],
)
def test_what_a_host_cannot_do_is_refused_by_name(
    world: Build, marked: ScriptedHost, more: tuple[str, ...], said: str
) -> None:
    code, there = asked(world, marked.url, *more)
    assert (code, there.out) == (2, "")
    assert there.err.startswith(f"error[usage]: {said}")
    assert not marked.bodies


def test_a_language_is_checked_where_it_cannot_be_held(world: Build) -> None:
    with ScriptedHost(written("**Final Answer**\n\n", "红色的圆有三个在这里面看")) as host:
        code, there = asked(world, host.url, "--lang", "en", "--json")
    codes = [notice["code"] for notice in json.loads(there.out)["notices"]]
    assert code == 0
    assert codes == ["language-host", "language-answer"]


# ---- vLLM, which goes on with a reply that is begun ------------------------------------------

VLLM = (
    {"id": "Qwen/QVQ-72B-Preview", "owned_by": "vllm", "max_model_len": 32768, "permission": []},
)


def test_a_budget_ends_the_stream_and_vllm_is_asked_for_the_answer(world: Build) -> None:
    thoughts = [chunk({"content": f" w{number}"}) for number in range(50)]
    with ScriptedHost(thoughts, VLLM, written("\\boxed", "{3}")) as host:
        code, there = asked(world, host.url, "--budget", "10", "--json")
    first, second = host.bodies
    record = json.loads(there.out)
    assert (code, record["answer"], record["concluded_by"]) == (0, "\\boxed{3}", "budget")
    assert record["thinking"] == " ".join(f"w{number}" for number in range(10))
    begun = second["messages"][-1]
    assert begun["role"] == "assistant"
    assert begun["content"] == f" {record['thinking']}\n\n**Final Answer**\n\n"
    assert second["messages"][:-1] == first["messages"]
    assert (second["continue_final_message"], second["add_generation_prompt"]) == (True, False)
    assert "continue_final_message" not in first


def test_an_answer_that_does_not_end_is_none(world: Build) -> None:
    thoughts = [chunk({"content": f" w{number}"}) for number in range(50)]
    with ScriptedHost(thoughts, VLLM, thoughts) as host:
        code, there = asked(world, host.url, "--budget", "10", "--answer-tokens", "5")
    assert code == 3
    assert "no whole answer within 5 tokens (--answer-tokens) after 10 of thinking" in there.err
    assert len(host.bodies) == 2


def test_thinking_that_vllm_tells_apart_is_ended_and_no_more(world: Build) -> None:
    with ScriptedHost([chunk({"reasoning": f" w{n}"}) for n in range(50)], VLLM) as host:
        code, there = asked(world, host.url, "--budget", "10")
    assert (code, there.out, len(host.bodies)) == (3, "", 1)


# ---- which model ---------------------------------------------------------------------------

SEVERAL = ({"id": "llava-7b"}, {"id": "lmstudio/qvq-72b-preview"})


@pytest.mark.parametrize("name", ["qvq", "QVQ-72B-Preview", "lmstudio/qvq-72b-preview"])
def test_a_model_is_meant_by_what_it_is_called_here_or_there(world: Build, name: str) -> None:
    with ScriptedHost(written(*MARKED), models=SEVERAL) as host:
        code, _ = asked(world, host.url, "-m", name)
    assert (code, host.body["model"]) == (0, "lmstudio/qvq-72b-preview")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "serves several models: llava-7b, lmstudio/qvq-72b-preview"),
        (("-m", "tiny"), "does not serve 'tiny', but llava-7b, lmstudio/qvq-72b-preview"),
    ],
)
def test_a_model_that_is_not_clear_is_asked_for(
    world: Build, more: tuple[str, ...], said: str
) -> None:
    with ScriptedHost(models=SEVERAL) as host:
        code, there = asked(world, host.url, *more)
    assert code == 4
    assert said in there.err
    assert "try: qvq ask -m llava-7b IMAGE" in there.err


def test_no_server_asks_no_host(world: Build, marked: ScriptedHost) -> None:
    there = world(MARKED, environ={"QVQ_HOST": marked.url})
    assert there.run("ask", "-m", "tiny", "--no-server", PICTURE, QUESTION) == 0
    assert not marked.heads


# ---- faults --------------------------------------------------------------------------------

FAULTS = {
    "401": (whole({"error": {"message": "no such key"}}, "401 Unauthorized"), 4, "no such key"),
    "404": (whole({"detail": "no such model"}, "404 Not Found"), 4, "no such model"),
    "400": (whole({"error": {"message": "too long"}}, "400 Bad Request"), 2, "too long"),
    "429": (whole({}, "429 Busy", "Retry-After: 7"), 75, "answers 429; it asks to wait 7 s"),
    "500": (whole({"message": "boom"}, "500 Oops"), 75, "answers 500: boom"),
    "503": (b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", 75, "answers 503"),
    "no HTTP": (b"220 mail.example.com ESMTP\r\n", 4, "does not speak HTTP as it should"),
    "nothing": (b"", 75, "drops the connection before it answers"),
    "no stream": (whole({"choices": []}), 4, "sends no stream, but application/json"),
    "redirect": (
        b"HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:9/v1\r\nContent-Length: 0\r\n\r\n",
        4,
        "redirects to 'http://127.0.0.1:9/v1', and nothing is sent there",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_host_that_refuses_is_one_line(world: Build, fault: str) -> None:
    raw, code, said = FAULTS[fault]
    with ScriptedHost(raw=raw) as host:
        found, there = asked(world, host.url, QVQ_HOST_KEY="sk-secret")
    assert (found, there.out) == (code, "")
    first, second = there.err.splitlines()
    assert said in first
    assert second.startswith("  try: ")
    assert "sk-secret" not in there.err
    assert all(head.get("Authorization") == "Bearer sk-secret" for head in host.heads)


CUT = {
    "cut": ([chunk({"content": "I look"})], 75, "cut its reply"),
    "no reason": ([chunk({"content": "I look"}), DONE], 75, "does not say how its reply ended"),
    "no JSON": ([chunk({"content": "I look"}), "data: {nonsense\n\n"], 4, "no JSON within"),
    "a list": ([chunk({"content": "I look"}), "data: [1]\n\n"], 4, "no chunk of a reply"),
    "an error": (
        [chunk({"content": "I look"}), 'data: {"error": {"message": "out of memory"}}\n\n'],
        75,
        "says: out of memory",
    ),
    "filtered": (
        [chunk({"content": "I look"}), chunk({}, "content_filter"), DONE],
        4,
        "ended its reply: content_filter",
    ),
    "endless": (
        [chunk({"content": "I look"}), "data: " + "x" * (4 * 2**20 + 9)],
        4,
        "a line of more than 4 MiB",
    ),
}


@pytest.mark.parametrize("fault", CUT)
def test_a_stream_that_breaks_is_one_line_and_what_came_is_saved(world: Build, fault: str) -> None:
    says, code, said = CUT[fault]
    with ScriptedHost(says) as host:
        found, there = asked(world, host.url)
    assert (found, there.out) == (code, "")
    assert said in there.err.splitlines()[0]
    again = world([])
    assert again.run("last", "--thinking") == 0
    assert "I look" in again.out


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (whole([1]), "does not list its models as OpenAI's servers do"),
        (whole({"data": []}), "serves no model"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html", "sends no JSON"),
        (whole({"data": [{"id": "a\x1b[31mb"}]}), "serves no model"),
    ],
)
def test_what_is_no_server_of_models_is_said(world: Build, raw: bytes, said: str) -> None:
    with ScriptedHost(models_raw=raw) as host:
        code, there = asked(world, host.url)
    assert code == 4
    assert said in there.err


def test_a_host_that_is_not_there_may_be_tried_again(world: Build) -> None:
    with ScriptedHost() as host:
        url = host.url
    code, there = asked(world, url)
    assert code == 75
    assert there.err.startswith(f"error[host-gone]: nothing listens at {url[7:]}\n")


@pytest.mark.parametrize("line", [("--offline",), ()])
def test_offline_forbids_another_machine_and_not_this_one(
    world: Build, marked: ScriptedHost, line: tuple[str, ...]
) -> None:
    variables = {} if line else {"QVQ_OFFLINE": "1"}
    code, there = asked(world, "http://192.0.2.1:8080", *line, **variables)
    name = line[0] if line else "QVQ_OFFLINE"
    assert code == 2
    assert f"{name} forbids the network, and 192.0.2.1:8080 is another machine" in there.err
    assert asked(world, marked.url, *line, **variables)[0] == 0


def test_a_real_process_offline_asks_a_host_of_this_machine(
    tmp_path: Path, marked: ScriptedHost
) -> None:
    """The hook that refuses connections lets this one by, and no other."""
    environ = {**os.environ, "QVQ_HOME": str(tmp_path), "QVQ_HOST": marked.url, "QVQ_OFFLINE": "1"}
    command = [sys.executable, "-m", "qvq_mlx", "ask", PICTURE, QUESTION]
    done = subprocess.run(
        command, env=environ, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\boxed{3}\n", "")


def test_ctrl_c_ends_the_stream_and_the_connection(tmp_path: Path) -> None:
    with ScriptedHost([chunk({"content": "I look at it."})], waits=True) as host:
        environ = {**os.environ, "QVQ_HOME": str(tmp_path), "QVQ_HOST": host.url}
        command = [sys.executable, "-m", "qvq_mlx", "ask", "--jsonl", PICTURE, QUESTION]
        run = subprocess.Popen(
            command,
            env=environ,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert run.stdout is not None
        for line in run.stdout:
            if '"thinking"' in line:
                break
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
        assert host.left.wait(30)
    assert run.returncode == 130
    assert json.loads(out.splitlines()[-1])["stop_reason"] == "interrupt"
    assert "stopped after 1 token" in err


def test_the_key_is_shown_nowhere(world: Build, marked: ScriptedHost) -> None:
    there = world([], environ={"QVQ_HOST": marked.url, "QVQ_HOST_KEY": "sk-secret"})
    assert there.run("config", "list") == 0
    assert marked.url in there.out
    assert "sk-secret" not in there.out


def test_a_follow_up_brings_the_rounds_along(world: Build, marked: ScriptedHost) -> None:
    asked(world, marked.url)
    there = world([], environ={"QVQ_HOST": marked.url})
    assert there.run("ask", "-c", "-Q", "And blue ones?") == 0
    first, second = marked.bodies
    told: list[Any] = second["messages"]
    assert [one["role"] for one in told][-1] == "user"
    assert "And blue ones?" in told[-1]["content"][-1]["text"]
    assert first["model"] == second["model"]
