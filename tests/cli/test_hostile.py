"""Bytes that would drive a terminal, through every command that prints text from outside."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from qvq_mlx.cli.main import main
from tests.conftest import EXAMPLES, ScriptedEngine
from tests.support.styles import unstyled

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\x1bc\r\x08\x7f\u202e[red]x[/red]"
TEXT = f"a{EVIL}b"
OURS = re.compile(r"\x1b\[(?:\d+A|1B|2K|J|[\d;]*m|\?(?:2026|25|7)[hl])")
UNSAFE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

PRINTED = (
    ("ask", "EVIL.png", "What?"),
    ("ask", "EVIL.png", "What?", "-v", "--thinking", "full"),
    ("ask", "EVIL.png", "What?", "--thinking", "line"),
    ("ask", "EVIL.png", "What?", "-x"),
    ("ask", "EVIL.png", "What?", "--json"),
    ("ask", "EVIL.png", "What?", "--jsonl"),
    ("ask", "EVIL.png", "What?", "-o", "EVIL/no/such.txt"),
    ("ask", "no-EVIL.png", "What?"),
    ("ask", "-m", "EVIL", "EVIL.png", "What?"),
    ("ask", "--EVIL", "EVIL.png", "What?"),
    ("ask", "-i", "EVIL.png", "-Q", "What?", "--budget", "EVIL"),
    ("ask", "-i", "EVIL.png", "-Q", "What?", "--lang", "EVIL"),
    ("ask", "-i", "EVIL.png", "-Q", "What?", "--schema", "EVIL"),
    ("EVIL",),
    ("last",),
    ("last", "--thinking"),
    ("models",),
    ("models", "--json"),
    ("list",),
    ("list", "--json"),
    ("show", "EVIL"),
    ("show", "folder-EVIL"),
    ("licence", "EVIL"),
    ("fit", "EVIL"),
    ("pull", "EVIL"),
    ("verify",),
    ("verify", "EVIL"),
    ("rm", "EVIL"),
    ("prune",),
    ("export", "EVIL", "out-EVIL"),
    ("import", "no-EVIL"),
    ("import", "EVIL.png"),
    ("convert", "folder-EVIL", "out-EVIL"),
    ("split", "saved-EVIL"),
    ("split", "--json", "saved-EVIL"),
    ("split", "no-EVIL"),
    ("cache", "info"),
    ("config", "list"),
    ("config", "list", "--json"),
    ("config", "get", "model"),
    ("config", "get", "EVIL"),
    ("config", "set", "thinking", "EVIL"),
    ("config", "path"),
    ("doctor",),
    ("doctor", "--json"),
)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of hostile names, which is the current one."""
    here = tmp_path / f"here{EVIL.replace('/', '')}"
    here.mkdir()
    shutil.copy(EXAMPLES / "shapes.png", here / f"{_name('EVIL')}.png")
    (here / _name("saved-EVIL")).write_text(f"So {TEXT}\n\n**Final Answer**\n\n{TEXT}")
    model = here / _name("folder-EVIL")
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": TEXT, "architectures": [TEXT]}))
    cache = here / "hub" / f"models--a--b{_name('EVIL')}"
    (cache / "snapshots" / "0123").mkdir(parents=True)
    (cache / "snapshots" / "0123" / f"f{_name('EVIL')}").write_text("x")
    monkeypatch.chdir(here)
    return here


def _name(text: str) -> str:
    return text.replace("EVIL", EVIL.replace("/", ""))


@pytest.mark.parametrize("arguments", PRINTED, ids=" ".join)
def test_no_command_lets_a_control_through(world, places, arguments) -> None:
    engine = ScriptedEngine([f"So {TEXT}\n", "**Final Answer**\n\n", f"\\boxed{{{TEXT}}}"])
    environ = {
        "QVQ_HOME": str(places / "home"),
        "HF_HUB_CACHE": str(places / "hub"),
        "QVQ_MODEL": "tiny" if arguments[0] == "ask" else TEXT,
    }
    w = world(engine=engine, tty=True, err_tty=True, environ=environ)
    if arguments[0] == "last":
        assert w.run("ask", "-m", "tiny", f"{_name('EVIL')}.png", "What?") == 0
    before = os.umask(0o022)
    os.umask(before)
    code = main([_name(argument) for argument in arguments], w.env)
    assert code != 1, w.err
    for written in (w.out, w.err):
        assert not UNSAFE.search(OURS.sub("", written).replace("\r\n", "\n"))
    assert w.out + w.err, "nothing was printed, so nothing was tested"


def test_an_error_is_wrapped_at_words(world) -> None:
    w = world([], tty=True, err_tty=True, size=(30, 24))
    assert w.run("ask", "no such file at all.png", "What is it?") != 0
    said = unstyled(w.err)
    lines = said.splitlines()
    assert len(lines) > 2
    assert all(len(line) <= 30 for line in lines)
    assert " ".join(lines).split() == said.split()
    pipe = world([], tty=True, err_tty=False, size=(30, 24))
    pipe.run("ask", "no such file at all.png", "What is it?")
    assert len(pipe.err.splitlines()) == 2
    assert pipe.err.split() == said.split()


@pytest.mark.parametrize("way", ["variable", "file"])
def test_plain_lines_for_a_screen_reader(world, tmp_path, way) -> None:
    engine = ScriptedEngine(["So it is ", "**Final Answer**\n\n", "\\boxed{7}"])
    environ = {"QVQ_MODEL": "tiny"} | ({"QVQ_PLAIN": "1"} if way == "variable" else {})
    w = world(engine=engine, tty=True, err_tty=True, environ=environ)
    if way == "file":
        assert w.run("config", "set", "plain", "true") == 0
    assert w.run("ask", str(EXAMPLES / "shapes.png"), "What?") == 0
    assert "\x1b" not in w.out + w.err
    lines = [line for line in w.out.splitlines() if line]
    assert "Thinking" in lines
    assert lines[-1] == "7"
