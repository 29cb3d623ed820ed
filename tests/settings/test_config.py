"""Defaults < config file < environment < flags."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qvq_mlx.core.errors import ConfigError
from qvq_mlx.core.request import ThinkingView
from qvq_mlx.settings import config
from qvq_mlx.store import registry
from tests.conftest import EXAMPLES, ScriptedEngine, World


def test_defaults(world: Callable[..., World], tmp_path: Path) -> None:
    env = replace(world([]).env, environ={})
    settings = config.read(env)
    assert settings.model is None
    assert settings.view is None
    assert settings.save
    assert settings.history_folder == tmp_path / ".local/share/qvq/history"
    assert settings.hub_cache == tmp_path / ".cache/huggingface/hub"


def test_an_unknown_key_is_said_and_can_be_removed(
    world: Callable[..., World], tmp_path: Path
) -> None:
    path = tmp_path / "qvq" / "config.toml"
    path.parent.mkdir()
    path.write_text("colour = 1\nthinkings = 'full'\nsave = false\n")
    there = world(["3"])
    assert there.run("ask", "-m", "tiny", str(EXAMPLES / "sum.png"), "What is it?") == 0
    assert there.err == (
        f"warning: {path}: unknown key 'colour'; known: {', '.join(config.KEYS)}\n"
        "  try: qvq config unset colour\n"
        f"warning: {path}: unknown key 'thinkings'; did you mean thinking?\n"
        "  try: qvq config unset thinkings\n"
    )
    assert not (tmp_path / "qvq" / "history").exists()  # what is known holds
    for key in ("colour", "thinkings"):
        there = world()
        assert there.run("config", "unset", key) == 0
        assert not there.err
    assert path.read_text() == "save = false\n"
    there = world()
    assert there.run("config", "unset", "colour") == 2
    assert "unknown key 'colour'" in there.err


def test_a_slip_that_would_keep_what_nobody_wanted_kept_stops(
    world: Callable[..., World], tmp_path: Path
) -> None:
    path = tmp_path / "qvq" / "config.toml"
    path.parent.mkdir()
    path.write_text("safe = false\n")
    there = world(["3"])
    assert there.run("ask", "-m", "tiny", str(EXAMPLES / "sum.png"), "What is it?") == 2
    assert "unknown key 'safe'; did you mean save?" in there.err
    assert world().run("config", "unset", "safe") == 0


def test_a_model_that_does_not_exist_is_not_configured(world: Callable[..., World]) -> None:
    there = world()
    assert there.run("config", "set", "model", "nosuch") == 4
    assert "nosuch" in there.err
    assert not config.path_of(there.env).exists()
    assert world().run("config", "set", "model", "someone/model") == 0


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"HF_TOKEN": "hf_abc def"}, "the token in HF_TOKEN holds white space"),
        ({"HF_TOKEN": "hf_äbcdef"}, "the token in HF_TOKEN holds characters that are not ASCII"),
        ({"HUGGING_FACE_HUB_TOKEN": "hf_\0abc"}, "HUGGING_FACE_HUB_TOKEN holds control characters"),
        ({"HF_TOKEN": '"hf_abc'}, "the token in HF_TOKEN holds a quotation mark"),
    ],
)
def test_a_token_that_no_request_can_carry_is_refused_unprinted(
    world: Callable[..., World], environ: dict[str, str], said: str
) -> None:
    there = world(environ=environ)
    assert there.run("pull", "qvq", "--dry-run") == 2
    assert said in there.err
    assert "abc" not in there.err


@pytest.mark.parametrize(
    ("environ", "token"),
    [
        ({"HF_TOKEN": " hf_a\n"}, "hf_a"),
        ({"HF_TOKEN": "hf_\r\na"}, "hf_a"),
        ({"HUGGING_FACE_HUB_TOKEN": "hf_b"}, "hf_b"),
        ({"HF_TOKEN": "hf_a", "HUGGING_FACE_HUB_TOKEN": "hf_b"}, "hf_a"),
        ({"HF_TOKEN": "hf_a", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, ""),
        ({"HF_TOKEN": '"hf_a"'}, "hf_a"),
        ({"HF_TOKEN": "\ufeff'hf_a'\n"}, "hf_a"),
    ],
)
def test_tokens_are_read_as_hugging_face_does(
    world: Callable[..., World], environ: dict[str, str], token: str
) -> None:
    assert config.hub(world(environ=environ).env).token == token


FORMS = (
    *("hf_a", "hf_a\n", "hf_a\r\n", " hf_a\t\n\n", '"hf_a"', "'hf_a'\n", '" hf_a "\r\n'),
    *("HF_TOKEN=hf_a\n", 'HF_TOKEN="hf_a"', "export HF_TOKEN='hf_a'\n", "set HF_TOKEN=hf_a\r\n"),
    *('HUGGING_FACE_HUB_TOKEN = "hf_a"', "HF_TOKEN=\r\nhf_a"),
)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_token_is_read_from_a_file_as_editors_and_shells_write_it(
    world: Callable[..., World], tmp_path: Path, encoding: str, mark: str
) -> None:
    saved = tmp_path / "token"
    env = world(environ={"HF_TOKEN_PATH": str(saved)}).env
    for form in FORMS:
        saved.write_bytes((mark + form).encode(encoding))
        assert config.hub(env).token == "hf_a", form
    saved.write_bytes(mark.encode(encoding))
    assert not config.hub(env).token


@pytest.mark.parametrize("content", [b"\xff\xfehf_abc\0", b"hf_abc\xe4", b"hf_abc" * 9_999, None])
def test_a_token_file_that_cannot_be_read_is_said_to_be(
    world: Callable[..., World], tmp_path: Path, content: bytes | None
) -> None:
    saved = tmp_path / "token"
    saved.mkdir() if content is None else saved.write_bytes(content)
    there = world(environ={"HF_TOKEN_PATH": str(saved)})
    assert there.run("pull", "qvq", "--dry-run") == 2
    assert f"the token in {saved} " in there.err
    assert "abc" not in there.err


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"TRANSFORMERS_OFFLINE": "1"}, "TRANSFORMERS_OFFLINE"),
        ({"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "1"}, ""),
        ({"HF_HUB_OFFLINE": "on"}, "HF_HUB_OFFLINE"),
    ],
)
def test_what_forbids_the_network_is_read_as_hugging_face_does(
    world: Callable[..., World], environ: dict[str, str], name: str
) -> None:
    assert config.offline_variable(world(environ=environ).env) == name


def test_the_environment_beats_the_file(world: Callable[..., World], tmp_path: Path) -> None:
    (tmp_path / "qvq").mkdir()
    (tmp_path / "qvq" / "config.toml").write_text('model = "a"\nthinking = "line"\nsave = false\n')
    settings = config.read(world([]).env)
    assert (settings.model, settings.view, settings.save) == ("a", ThinkingView.LINE, False)
    settings = config.read(world([], environ={"QVQ_MODEL": "b", "QVQ_SAVE": "1"}).env)
    assert (settings.model, settings.view, settings.save) == ("b", ThinkingView.LINE, True)


@pytest.mark.parametrize(
    "name",
    [
        *("QVQ_THINKING", "QVQ_SAVE", "QVQ_PLAIN", "QVQ_NOTIFY", "QVQ_PACE", "QVQ_CACHE_MAX"),
        *("QVQ_OFFLINE", "QVQ_DEBUG"),
    ],
)
def test_an_error_names_the_variable_that_is_wrong(world: Callable[..., World], name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} is 'foo'; it can be"):
        config.read(world([], environ={name: "foo"}).env)


def test_a_slip_in_a_key_is_told_what_was_meant(world: Callable[..., World]) -> None:
    w = world([])
    assert w.run("config", "get", "mode") == 2
    assert w.run("config", "set", "savf", "0") == 2
    assert re.findall(r"did you mean (\w+)\?", w.err) == ["model", "save"]


@pytest.mark.parametrize(
    ("environ", "hub"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"HUGGINGFACE_HUB_CACHE": "/c"}, "/c"),
        ({"HF_HUB_CACHE": "/a", "HUGGINGFACE_HUB_CACHE": "/c"}, "/a"),
        ({"HF_HOME": "$DISK/b", "DISK": "/d"}, "/d/b/hub"),
        ({"HF_HUB_CACHE": "${DISK}/$NONE", "DISK": "/d"}, "/d/$NONE"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
    ],
)
def test_the_hub_cache_is_where_other_tools_look(
    world: Callable[..., World], environ: dict[str, str], hub: str
) -> None:
    assert config.read(world([], environ=environ).env).hub_cache == Path(hub)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("safe = false", "unknown key 'safe'"),
        ('thinking = "some"', "tail, full, line, none"),
        ('save = "perhaps"', "it can be 0 or 1"),
        ("model = ", "cannot be read"),
    ],
)
def test_a_wrong_value_is_one_clear_line(
    world: Callable[..., World], tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "qvq").mkdir()
    (tmp_path / "qvq" / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        config.read(world([]).env)


def test_a_pace_is_a_number(world: Callable[..., World]) -> None:
    assert config.read(world([], environ={"QVQ_PACE": "8"}).env).pace_tokens_per_s == 8.0
    for value in ("fast", "-1", "inf", "nan"):
        with pytest.raises(ConfigError, match="QVQ_PACE"):
            config.read(world([], environ={"QVQ_PACE": value}).env)


def test_time_machine_leaves_the_models_out(world: Callable[..., World], tmp_path: Path) -> None:
    """addexclusion without -p sets an attribute of the folder and needs no root:
    https://alexwlchan.net/til/2024/exclude-files-from-time-machine-with-tmutil/.
    """
    tool, hub = tmp_path / "tmutil", tmp_path / "hub"
    tool.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/log\n')
    tool.chmod(0o755)
    environ = {"PATH": str(tmp_path), "HF_HUB_CACHE": str(hub), "QVQ_BACKUP": "no variable"}
    for words in (("set", "backup", "false"), ("get", "backup"), ("unset", "backup")):
        w = world(environ=environ)
        assert w.run("config", *words) == 0, w.err
        assert w.out == ("false\n" if words[0] == "get" else "")
    assert (tmp_path / "log").read_text() == f"addexclusion {hub}\nremoveexclusion {hub}\n"
    assert hub.is_dir()
    tool.write_text("#!/bin/sh\necho 'The operation could not be completed.' >&2; exit 1\n")
    w = world(environ=environ)
    assert w.run("config", "set", "backup", "no") == 2
    assert "tmutil says: The operation could not be completed." in w.err
    assert "backup = " not in (tmp_path / "qvq" / "config.toml").read_text()  # nothing is claimed
    tool.unlink()
    w = world(environ=environ)
    assert w.run("config", "set", "backup", "no") == 2
    assert "tmutil, a part of macOS, is not here" in w.err


def test_options_have_defaults_of_the_users_own(
    world: Callable[..., World], tmp_path: Path
) -> None:
    """In the file, then in the environment, then on the command line."""
    given = {"budget": "700", "detail": "low", "temperature": "0.5", "lang": "de"}
    for key, value in given.items():
        assert world().run("config", "set", key, value) == 0
    picture = str(EXAMPLES / "shapes.png")
    engine = ScriptedEngine(["**Final Answer**\n\n", "drei"])
    there = world(engine=engine)
    assert there.run("ask", "-m", "tiny", picture, "Wie viele?", "--jsonl") == 0
    request = json.loads(there.out.splitlines()[0])
    assert request["given"]["budget"] == {"tokens": 700}
    assert request["sampling"]["temperature"] == 0.5
    there = world(engine=engine, environ={"QVQ_BUDGET": "low"})
    assert there.run("ask", "-m", "tiny", picture, "?", "--jsonl", "--temp", "0") == 0
    request = json.loads(there.out.splitlines()[0])
    assert request["given"]["budget"] == {"tokens": 1024}
    assert request["sampling"]["temperature"] == 0
    assert request["images"][0]["tokens"] <= 256
    text = world(engine=engine)
    assert text.run("ask", "-m", "tiny", "Wie viele?", "--json") == 2
    assert "--detail" not in text.err


@pytest.mark.parametrize(
    ("key", "value"),
    [("budget", "huge"), ("detail", "tall"), ("temperature", "warm"), ("lang", "xx")],
)
def test_a_default_that_the_option_would_refuse_is_refused(
    world: Callable[..., World], tmp_path: Path, key: str, value: str
) -> None:
    there = world()
    assert there.run("config", "set", key, value) == 2
    assert there.err.startswith(f"error[config]: {key} is {value!r}; ")
    there = world(environ={f"QVQ_{key.upper()}": value})
    assert there.run("log", "list") == 2
    assert there.err.startswith(f"error[config]: {key} is {value!r}; ")


def test_a_configured_budget_gives_way_where_a_typed_one_is_refused(
    world: Callable[..., World], tmp_path: Path
) -> None:
    """Beyond the bound of the whole, and for a model that cannot be told to conclude."""
    assert world().run("config", "set", "budget", "low") == 0
    plain = tmp_path / "plain"
    plain.symlink_to(registry.folder_of(registry.find("tiny"), tmp_path))
    picture = str(EXAMPLES / "shapes.png")
    short = ("ask", "-m", "tiny", picture, "How many?", "--max-tokens", "700")
    for words, why in (
        (("ask", "-m", str(plain), picture, "How many?"), "plain cannot be told to conclude"),
        (short, "--max-tokens is 700"),
    ):
        there = world(["2"])
        assert there.run(*words, "--jsonl") == 0, there.err
        request, *lines = map(json.loads, there.out.splitlines())
        said = [line["text"] for line in lines if line.get("code") == "budget-gave-way"]
        assert said == [f"the budget of your settings is left out here: {why}"]
        assert request["given"]["budget"] is None  # so it is asked again in the same way
        assert world(["2"]).run("log", "rerun") == 0
        there = world(["2"])
        assert there.run(*words, "--budget", "low") == 2  # what is typed is honoured or refused
