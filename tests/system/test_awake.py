"""A Mac stays awake while qvq works: `caffeinate` runs beside it, where there is one."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from qvq_mlx.chat.loop import Talk
from qvq_mlx.core.errors import ExitCode
from qvq_mlx.core.request import Output, Request
from qvq_mlx.run import ask
from qvq_mlx.settings import config
from qvq_mlx.system.awake import awake
from tests.conftest import EXAMPLES, ScriptedEngine, World
from tests.serve.http import CHAT, chat, serving
from tests.support.waiting import eventually

Build = Callable[..., World]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with a `caffeinate` that notes how it was called: -i no idle sleep, -w until this
    process ends (https://ss64.com/mac/caffeinate.html).
    """
    tool = tmp_path / "caffeinate"
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path / "log"}; exec sleep 60\n')
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    return f"{tmp_path}:{os.environ['PATH']}"


def is_called(tmp_path: Path) -> bool:
    log = tmp_path / "log"
    return log.exists() and log.read_text().split() == ["-i", "-w", str(os.getpid())]


def test_the_machine_is_kept_awake(path: str, tmp_path: Path) -> None:
    with awake({"PATH": path}):
        eventually(lambda: is_called(tmp_path))
    with awake({"PATH": str(tmp_path / "none")}):
        pass


class Unread(Mapping[str, str]):
    """Variables that nobody may look at: no program is looked for."""

    def __getitem__(self, name: str) -> str:
        raise AssertionError(name)

    def __iter__(self) -> Iterator[str]:
        raise AssertionError

    def __len__(self) -> int:
        return 1


def test_an_item_of_a_batch_starts_no_second_one(path: str, tmp_path: Path) -> None:
    with awake({"PATH": path}), awake(Unread()):
        eventually(lambda: is_called(tmp_path))
    (tmp_path / "log").unlink()
    with awake({"PATH": path}):  # and the next batch starts its own
        eventually(lambda: is_called(tmp_path))


def test_a_question_keeps_it_awake(world: Build, path: str, tmp_path: Path) -> None:
    env = world(environ={"PATH": path}).env
    with ask.awake(env):
        eventually(lambda: is_called(tmp_path))


def during(tmp_path: Path, seen: list[int]) -> ScriptedEngine:
    """An engine that waits for the tool at its first token: it runs beside the answer."""

    def look(index: int, _control: object) -> None:
        if index == 0:
            eventually(lambda: is_called(tmp_path))
            seen.append(index)

    return ScriptedEngine(["**Final Answer**\n\n", "two"], on_token=look)


def test_a_chat_keeps_it_awake_while_it_answers(world: Build, path: str, tmp_path: Path) -> None:
    seen: list[int] = []
    w = world(engine=during(tmp_path, seen), environ={"PATH": path}, tty=True, err_tty=True)
    talk = Talk(w.env, config.read(w.env), Request("", (), "tiny"), Output())
    talk.begin([str(EXAMPLES / "shapes.png")])
    lines = iter(["How many?"])

    def read(*_: object) -> str:
        found = next(lines, None)
        if found is None:
            raise EOFError
        return found

    assert talk.talk(read) == ExitCode.OK
    assert seen == [0]


def test_a_server_keeps_it_awake_while_it_answers(world: Build, path: str, tmp_path: Path) -> None:
    seen: list[int] = []
    with serving(world(engine=during(tmp_path, seen), environ={"PATH": path})) as served:
        assert served.post(CHAT, chat()).json()["choices"][0]["message"]["content"] == "two"
    assert seen == [0]
