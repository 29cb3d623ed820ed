"""`qvq chat`, `qvq batch` and `qvq doctor` of a host, and what a qvq says of itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qvq_mlx.chat.loop import Talk
from qvq_mlx.core.errors import UnknownModelError
from qvq_mlx.core.request import Output, Policy, Request
from qvq_mlx.run.choose import addressed
from qvq_mlx.settings import config
from tests.conftest import EXAMPLES, World
from tests.remote.scripted_host import ScriptedHost, whole, written
from tests.serve.http import CHAT, chat, serving

Build = Callable[..., World]
SHAPES, CHART = str(EXAMPLES / "shapes.png"), str(EXAMPLES / "chart.png")
MARKED = ("I look", " at it.\n\n", "**Final Answer**", "\n\n", "\\boxed", "{3}")


def talked(world: Build, url: str, *lines: str, model: str = "") -> str:
    """Have a chat with the host at `url`; what the screen shows."""
    there = world([], environ={"QVQ_HOST": url}, tty=True)
    settings = config.read(there.env)
    base = addressed(there.env, settings, Request("", (), model, policy=Policy(save=False)))
    talk = Talk(there.env, settings, base, Output())
    talk.begin([SHAPES])
    left = iter(lines)

    def read() -> str:
        for line in left:
            return line
        raise EOFError

    assert talk.talk(read) == 0
    return there.out


def test_a_chat_goes_on_with_its_rounds(world: Build) -> None:
    models = ({"id": "Qwen/Qwen2.5-VL-7B-Instruct"},)
    with ScriptedHost(written("Three."), models=models) as host:
        shown = talked(world, host.url, "How many?", "/model", "And blue?")
    first, second = (body["messages"] for body in host.bodies)
    assert [one["role"] for one in first][-1:] == ["user"]
    assert [one["role"] for one in second][-3:] == ["user", "assistant", "user"]
    assert second[-2]["content"] == "Three."
    assert [part["type"] for part in second[-3]["content"]] == ["image_url", "text"]
    assert second[-1]["content"] == [{"type": "text", "text": "And blue?"}]
    assert "model: Qwen/Qwen2.5-VL-7B-Instruct" in shown


def test_a_chat_takes_another_model_of_the_host_and_no_other(world: Build) -> None:
    models = ({"id": "a/llava"}, {"id": "b/qvq-72b-preview"})
    with ScriptedHost(written(*MARKED), models=models) as host:
        shown = talked(world, host.url, "/model qvq", "/model tiny", "How many?", model="llava")
        assert "does not serve 'tiny', but a/llava, b/qvq-72b-preview" in " ".join(shown.split())
        assert host.body["model"] == "b/qvq-72b-preview"
        with pytest.raises(UnknownModelError, match="serves several models"):
            talked(world, host.url)


def test_a_chat_goes_on_after_a_fault(world: Build) -> None:
    with ScriptedHost(written(*MARKED)) as host:
        host.raw = whole({}, "503 Later")

        def heal() -> str:
            host.raw = None
            return "Again?"

        there = world([], environ={"QVQ_HOST": host.url}, tty=True)
        settings = config.read(there.env)
        talk = Talk(
            there.env, settings, addressed(there.env, settings, Request("", (), "")), Output()
        )
        talk.begin([SHAPES])
        lines = iter([lambda: "How many?", heal])

        def read() -> str:
            for line in lines:
                return line()
            raise EOFError

        talk.talk(read)
    assert "error[network]: " in there.out
    assert "3" in there.out.rpartition("error[network]")[2]


def test_a_batch_goes_on_where_the_host_went_away(world: Build, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    line = ("batch", SHAPES, CHART, "-Q", "How many?", "-o", str(out))
    with ScriptedHost(written(*MARKED)) as host:
        there = world([], environ={"QVQ_HOST": host.url})
        assert there.run("batch", SHAPES, *line[3:]) == 0
    gone = world([], environ={"QVQ_HOST": host.url})
    assert gone.run(*line) == 75
    assert "error[host-gone]: nothing listens at" in gone.err
    with ScriptedHost(written(*MARKED)) as host:
        again = world([], environ={"QVQ_HOST": host.url})
        assert again.run(*line) == 0
        assert len(host.bodies) == 1  # at another address, and the first one is not asked again
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [record["boxed"] for record in records] == ["3", "3"]
    assert records[1]["stats"]["host"] == host.url


@pytest.mark.parametrize(
    ("raw", "code", "statuses"),
    [
        (whole({}, "500 Oops"), 3, ["error", "error"]),  # of an item, maybe
        (whole({}, "429 Busy"), 75, []),  # of all
        (whole({}, "401 Who"), 4, []),
    ],
)
def test_a_fault_of_the_host_is_an_items_or_ends_a_batch(
    world: Build, tmp_path: Path, raw: bytes, code: int, statuses: list[str]
) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedHost(raw=raw) as host:
        there = world([], environ={"QVQ_HOST": host.url})
        found = there.run("batch", SHAPES, CHART, "-Q", "How many?", "-o", str(out))
    text = out.read_text() if out.exists() else ""
    assert [json.loads(line)["status"] for line in text.splitlines()] == statuses
    assert found == code or statuses


def test_items_side_by_side_are_refused(world: Build, tmp_path: Path) -> None:
    with ScriptedHost(written(*MARKED)) as host:
        there = world([], environ={"QVQ_HOST": host.url})
        line = ("batch", SHAPES, "-Q", "How many?", "-o", str(tmp_path / "o"), "--parallel")
        assert there.run(*line, "4") == 2
        assert "--parallel cannot be asked of" in there.err
        assert there.run(*line, "auto") == 0


def test_a_batch_of_a_qvq_is_a_batch_here(world: Build, tmp_path: Path) -> None:
    answers = []
    with serving(world()) as server:
        for number, variables in enumerate(({}, {"QVQ_HOST": server.http.address})):
            out = tmp_path / f"{number}.jsonl"
            there = world(environ=variables)
            line = ("batch", "-m", "tiny", SHAPES, CHART, "-Q", "How many red circles are there?")
            assert there.run(*line, "-o", str(out)) in (0, 3)
            records = [json.loads(line) for line in out.read_text().splitlines()]
            answers.append([(one["thinking"], one["answer"]) for one in records])
    assert answers[0] == answers[1]


def test_the_doctor_asks_the_host(world: Build) -> None:
    with serving(world()) as server:
        there = world(environ={"QVQ_HOST": server.http.address, "QVQ_HOST_KEY": "sk-secret"})
        there.run("doctor", "--json")
        record = json.loads(there.out)
        assert record["facts"]["host"] == {
            "address": server.http.address,
            "asked": True,
            "models": ["qvq-tiny"],
            "is_qvq": True,
            "fault": None,
        }
    assert "sk-secret" not in there.out
    gone = world(environ={"QVQ_HOST": record["facts"]["host"]["address"]})
    assert gone.run("doctor", "--json") == 75
    [check] = [one for one in json.loads(gone.out)["checks"] if one["topic"] == "host"]
    assert check["verdict"] == "problem"
    assert "nothing listens at" in check["fact"]


def test_the_address_is_a_setting(world: Build) -> None:
    there = world()
    assert there.run("config", "set", "host", "studio:8080/v1/") == 0
    host = config.read(there.env).host
    assert host is not None
    assert (host.url, host.name, host.is_here) == ("http://studio:8080", "studio:8080", False)
    for wrong in ("ftp://studio", "http://", "http://a b", "http://me:secret@studio", "http://s:0"):
        refused = world()
        assert refused.run("config", "set", "host", wrong) == 2
        assert "secret" not in refused.err


def test_what_a_qvq_sends_to_another_is_asked_for(world: Build) -> None:
    with serving(world(MARKED)) as server:
        events = server.events(CHAT, chat(qvq={"events": 1}))
        kinds = [one["qvq"]["event"]["type"] for one in events if "event" in one.get("qvq", {})]
        assert kinds[-1] == "done"
        assert {"thinking", "answer", "progress"} <= set(kinds)
        for wrong in ({"events": 2}, {"lang": "klingon"}, {"think": "maybe"}, {"more": 1}, 3):
            assert server.post(CHAT, chat(qvq=wrong)).status_code == 400
        [model] = server.client.get("/v1/models").json()["data"]
    assert model["qvq"]["card"]["folder"] == ""


def test_a_qvq_of_another_version_is_said(world: Build) -> None:
    models = ({"id": "qvq", "qvq": {"version": "9.9", "events": 7}},)
    with ScriptedHost(written(*MARKED), models=models) as host:
        there = world([], environ={"QVQ_HOST": host.url})
        assert there.run("ask", SHAPES, "How many?") == 4
    assert "runs qvq 9.9, which this one" in there.err
