"""The manual page: complete, whole for the tools that show it, and shipped."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command

from qvq_mlx.cli.app import COMMANDS, app_with
from qvq_mlx.cli.spelling import CommandLine
from qvq_mlx.core.errors import ExitCode
from qvq_mlx.render.manual import plain_text
from tests.conftest import ROOT, World
from tools.man import VARIABLES

PAGE = ROOT / "man" / "qvq.1"
NAMED = re.compile(r"(?<=[\"'\s])((?:QVQ|HF|XDG)_[A-Z_]+|NO_COLOR)(?=[\"'\s])")


@pytest.fixture(scope="module")
def plain() -> str:
    """The page without its escapes."""
    return PAGE.read_text().replace("\\-", "-").replace("\\fR", "").replace("\\fB", "")


def test_it_names_every_command_option_and_exit_code(plain: str) -> None:
    root = get_command(app_with())
    for name in COMMANDS:
        assert f".SS qvq {name}" in plain
        for option in root.commands[name].params:
            if option.param_type_name == "option" and not option.hidden:
                assert all(spelled in plain for spelled in option.opts), (name, option.opts)
    for code in ExitCode:
        assert f".B {int(code)}\n{CommandLine().sentence(code.meaning).replace('`', '')}" in plain


def test_it_names_every_variable_that_is_read() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "qvq_mlx").rglob("*.py"))
    named = set(NAMED.findall(source))
    assert {"QVQ_HOME", "HF_TOKEN"} <= named
    assert named <= set(VARIABLES)
    assert set(VARIABLES) - named <= {"TERM"}


@pytest.mark.parametrize(
    "command",
    [
        ["groff", "-man", "-Tutf8", "-ww", str(PAGE)],
        ["mandoc", "-Werror,stop", "-Tutf8", str(PAGE)],
    ],
    ids=["groff", "mandoc"],
)
def test_it_is_shown_without_a_warning(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not here")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    shown = re.sub(r".\x08|\x1b\[[0-9;]*m", "", done.stdout)
    assert "--answer-tokens N" in shown


def test_a_pipe_gets_the_whole_page_as_plain_text(world: Callable[..., World], plain: str) -> None:
    w = world()
    assert w.run("man") == 0
    assert w.out.startswith("NAME\n    qvq - ask a visual-reasoning model about an image,")
    assert "--answer-tokens N\n" in w.out
    assert 'qvq cat.png "What breed is this?"\n' in w.out
    assert not re.search(r"\\[a-z(&-]|^\.", w.out, re.MULTILINE)
    assert max(map(len, w.out.splitlines())) <= 80
    words = re.sub(r"(?m)^\.\S+ ?", "", plain.partition(".SH EXIT STATUS")[2])
    assert w.out.partition("EXIT STATUS")[2].split() == words.split()


def test_a_terminal_gets_it_from_man_by_its_path(
    world: Callable[..., World], tmp_path: Path
) -> None:
    """A path is what every man takes, and `-l` is not (FreeBSD's, which macOS has, lacks it):
    https://man.freebsd.org/cgi/man.cgi?man(1).
    """
    tool = tmp_path / "man"
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/log\n')
    tool.chmod(0o755)
    w = world(tty=True, environ={"PATH": str(tmp_path)})
    assert w.run("man") == 0
    assert (tmp_path / "log").read_text() == f"{PAGE}\n"
    assert w.out == ""
    tool.write_text("#!/bin/sh\nexit 16\n")  # it does not show it: the text does
    w = world(tty=True, environ={"PATH": str(tmp_path)})
    assert w.run("man") == 0
    assert w.out.startswith("NAME\n")


def test_a_request_that_the_text_does_not_know_is_told() -> None:
    with pytest.raises(ValueError, match=r"\.IP"):
        plain_text(".SH A\n.IP b\n", 80)
