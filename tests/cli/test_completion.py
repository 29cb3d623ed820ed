"""Completions: what is offered, and the scripts in the shells that are here."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

import pytest
from typer.main import get_command

from qvq_mlx.cli.app import COMMANDS, app_with
from qvq_mlx.cli.completion import complete
from qvq_mlx.core.request import ThinkingView
from qvq_mlx.render.completions import Files, Folders, Found
from qvq_mlx.run.world import open_world
from qvq_mlx.store import registry
from tests.conftest import ROOT, World
from tests.house.test_imports import HEAVY, loaded_after
from tests.support.waiting import CEILING_S

Build = Callable[..., World]


@pytest.fixture
def offered(world: Build) -> Callable[..., Found]:
    return lambda *words: complete(words, open_world(world().env))


def values(found: Found) -> list[str]:
    assert isinstance(found, tuple), found
    return [word.value for word in found]


def test_every_command_is_offered_first(offered: Callable[..., Found]) -> None:
    assert set(values(offered(""))) == set(COMMANDS)
    assert values(offered("mod")) == ["models"]
    assert offered("phot") == Files(offered("photo.png").extensions)


def test_every_option_of_every_command_is_offered(offered: Callable[..., Found]) -> None:
    """Read off the commands, so that none can be forgotten."""
    root = get_command(app_with())
    count = 0
    for name in COMMANDS:
        for option in root.commands[name].params:
            if option.param_type_name != "option" or option.hidden:
                continue
            for spelled in option.opts:
                count += 1
                assert spelled in values(offered(name, spelled)), (name, spelled)
                longer = [one for one in option.opts if one.startswith("--")] or option.opts
                assert set(longer) <= set(values(offered(name, "-")))
    assert count > 60


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ask", "--thinking", ""], [str(view) for view in ThinkingView]),
        (["ask", "--budget", ""], ["low", "medium", "high", "none"]),
        (["--budget", "m"], ["medium"]),  # ask is the default command
        (["ask", "--budget=m"], ["medium"]),
        (["ask", "--budget", "=", "m"], ["medium"]),  # as bash cuts it
        (["ask", "--budget", "="], ["low", "medium", "high", "none"]),
        (["ask", "a.png", "-m", "tin"], ["tiny-draft", "tiny"]),
        (["a.png", "--mod"], ["--model"]),
        (["ask", "--draft", "l"], ["lookup"]),
        (["convert", "--bits", ""], ["3", "4", "5", "6", "8", "none"]),
        (["cache", ""], ["info", "clear"]),
        (["cache", "c"], ["clear"]),
        (["config", "s"], ["set"]),
        (["config", "set", "m"], ["model"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["ask", "--json", "--json"], ["--jsonl"]),  # the other is given already
        (["ask", "--seed", ""], []),
        (["show", "qvq", ""], []),  # one model is enough
    ],
)
def test_what_stands_in_the_metavar_is_offered(
    offered: Callable[..., Found], words: list[str], expected: list[str]
) -> None:
    assert values(offered(*words)) == expected


def test_an_option_that_may_come_again_is_offered_again(offered: Callable[..., Found]) -> None:
    assert "--image" in values(offered("ask", "--image", "a.png", "--im"))


def test_models_are_the_cards_names_and_what_is_in_the_cache(
    offered: Callable[..., Found], tmp_path: Path, world: Build
) -> None:
    repo = tmp_path / "hub" / "models--some--thing-4bit"
    (repo / "snapshots").mkdir(parents=True)
    environ = {"HF_HUB_CACHE": str(tmp_path / "hub")}
    names = values(complete(["show", ""], open_world(world(environ=environ).env)))
    assert {card.name for card in registry.cards()} <= set(names)
    assert "some/thing-4bit" in names
    assert isinstance(offered("ask", "-m", "./"), Folders)


def test_runs_are_offered_by_the_ids_that_are_listed(world: Build) -> None:
    w = world(["**Final Answer**", "\n\n", "two"])
    assert w.run("ask", "-m", "tiny", str(ROOT / "examples" / "sum.png"), "Why?") == 0
    listed = world()
    assert listed.run("log", "list") == 0
    found = complete(["log", "show", ""], open_world(world().env))
    assert len(values(found)) == 1
    assert values(found)[0] in listed.out
    assert values(complete(["log", "rm", values(found)[0][:2]], open_world(world().env))) == values(
        found
    )


def test_images_are_files_with_an_images_ending(offered: Callable[..., Found]) -> None:
    images = offered("ask", "-i", "")
    assert isinstance(images, Files)
    assert {".png", ".jpeg", ".heic", ".pdf"} <= set(images.extensions)
    assert offered("ask", "") == offered("ask", "a.png", "b") == offered("fit", "-i", "x") == images
    assert offered("ask", "-o", "") == Files()
    assert offered("ask", "--schema", "") == Files((".json",))
    assert offered("import", "") == Files((".tar",))


def test_a_broken_config_or_card_does_not_take_the_names_away(world: Build, tmp_path: Path) -> None:
    home = tmp_path / "qvq"
    (home / "models").mkdir(parents=True)
    (home / "config.toml").write_text("model = [")
    (home / "models" / "mine.toml").write_text("name = [")
    assert "tiny" in values(complete(["show", "t"], open_world(world().env)))


def test_a_name_with_a_control_in_it_is_not_offered(
    world: Build, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a b.png", "a\n.png", "a\x1b[2J.png", "a.txt", "A.PNG", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "album").mkdir()
    w = world()
    assert w.run("completion", "bash", "--", "ask", "") == 0
    assert w.out.splitlines() == ["files", "A.PNG", "a b.png", "album/"]
    w = world()
    assert w.run("completion", "bash", "--", "ask", f"{tmp_path}/a") == 0
    assert w.out.splitlines() == ["files", f"{tmp_path}/a b.png", f"{tmp_path}/album/"]
    w = world()
    assert w.run("completion", "bash", "--", "ask", "~/A") == 0  # the test's home is here
    assert w.out.splitlines() == ["files", "~/A.PNG"]


def test_completing_loads_nothing_heavy() -> None:
    modules = loaded_after(
        "from qvq_mlx.cli.main import main\nfrom qvq_mlx.cli.world import real_env\n"
        "assert main(['completion', 'zsh', '--', 'ask', '-m', ''], real_env()) == 0"
    )
    assert not {name for name in HEAVY if name in modules}


@pytest.fixture
def place(tmp_path: Path, monkeypatch) -> Path:
    """A folder with pictures, and a `qvq` on the path."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    program = binaries / "qvq"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m qvq_mlx "$@"\n')
    program.chmod(0o755)
    folder = tmp_path / "place"
    (folder / "album").mkdir(parents=True)
    for name in ("my photo.png", "notes.txt", "zebra.jpg", "album/one.png"):
        (folder / name).touch()
    monkeypatch.setenv("PATH", f"{binaries}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.chdir(folder)
    return folder


def test_the_script_of_zsh_is_whole_and_reads_every_answer(world: Build) -> None:
    """So much is known where no zsh is: its parts, its ends, and the answers that it reads."""
    w = world()
    assert w.run("completion", "zsh") == 0
    script = w.out
    assert script.startswith("#compdef qvq\n")  # compinit looks for it in the first line alone
    assert script.count("{") == script.count("}")
    code = re.sub(r"(?m)^#.*$", "", script)
    words = re.findall(r"\b(?:if|fi|case|esac|do|done)\b", code)
    for begins, ends in (("if", "fi"), ("case", "esac"), ("do", "done")):
        assert words.count(begins) == words.count(ends), begins
    assert script.rstrip().endswith("compdef _qvq qvq\nfi")
    assert '"${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}"' in script
    read = re.search(r"case \$kind in(.*?)esac", script, re.DOTALL)
    assert read is not None
    kinds = re.findall(r"(?m)^ +([a-z*]+)\)", read[1])
    for words_typed in (["mod"], ["ask", "a"], ["ask", "-m", "./"], ["import", ""]):
        answered = world()
        assert answered.run("completion", "zsh", "--", *words_typed) == 0
        kind = answered.out.splitlines()[0]
        assert any(fnmatch(kind, one) for one in kinds), (words_typed, kind)


CASES = {
    "qvq compl": "qvq completion ",
    "qvq ask --thinking=f": "qvq ask --thinking=full ",
    "qvq ask -m tiny-": "qvq ask -m tiny-draft ",
    "qvq ze": "qvq zebra.jpg ",
    "qvq ask my": "qvq ask my\\ photo.png ",
    "qvq ask al": "qvq ask album/",
    "qvq ask album/o": "qvq ask album/one.png ",
    "qvq ask not": "qvq ask not",  # no picture; zsh offers other files where nothing else fits
}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_tab_completes(place: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    script = place.parent / "script"
    done = subprocess.run(["qvq", "completion", shell], capture_output=True, check=True)
    script.write_bytes(done.stdout)
    lines = [line for line in CASES if shell != "zsh" or line != "qvq ask not"]
    completed = _fish(script, lines) if shell == "fish" else _pressed(shell, script, lines)
    assert completed == {line: CASES[line] for line in lines}


def _fish(script: Path, lines: list[str]) -> dict[str, str]:
    """Fish says by itself what it would offer; it quotes, and ends a word, when it is taken."""
    asks = "".join(f"complete -C {line!r}; echo ==; " for line in lines)
    done = subprocess.run(
        ["fish", "-c", f"source {script}; {asks}"], capture_output=True, text=True, check=True
    )
    found = {}
    for line, answer in zip(lines, done.stdout.split("==\n"), strict=False):
        offers = [row.split("\t")[0] for row in answer.splitlines()]
        begun, word = line.rsplit(" ", 1)
        taken = offers[0].replace(" ", "\\ ") + " " * (offers[0][-1] != "/") if offers else word
        found[line] = f"{begun} {taken}"
    return found


def _pressed(shell: str, script: Path, lines: list[str]) -> dict[str, str]:
    """The command lines after Tab in an interactive shell, which shows them when Tab is done."""
    child, terminal = pty.fork()
    if child == 0:
        start = ["bash", "--norc", "--noprofile"] if shell == "bash" else ["zsh", "-f"]
        os.execvp(shell, [*start, "-i"])
    try:
        os.write(terminal, _SETUP[shell].format(script=script).encode())
        os.write(terminal, b"echo ready''now\n")
        _until(terminal, b"readynow")
        found = {}
        for line in lines:
            os.write(terminal, line.encode() + b"\x18")
            seen = _until(terminal, b"]]")
            found[line] = seen.rpartition(b"[[")[2].partition(b"]]")[0].decode()
            os.write(terminal, b"\x15")
        return found
    finally:
        os.close(terminal)
        with suppress(ProcessLookupError):
            os.kill(child, 9)
        os.waitpid(child, 0)


_SETUP = {
    "bash": """PS1='> '; source {script}; show() {{ printf '[[%s]]\\n' "$READLINE_LINE"; }}
bind -x '"\\C-g": show'; bind '"\\C-x": "\\C-i\\C-g"'
""",
    "zsh": """PS1='> '; autoload -Uz compinit; compinit -D; unsetopt zle_bracketed_paste
source {script}; show() {{ zle expand-or-complete; print -r -- "[[$BUFFER]]" }}
zle -N show; bindkey '^X' show
""",
}


def _until(terminal: int, what: bytes) -> bytes:
    seen = b""
    deadline = time.monotonic() + CEILING_S
    while what not in seen:
        left = deadline - time.monotonic()
        assert left > 0, f"{what!r} did not come: {seen!r}"
        if select.select([terminal], [], [], left)[0]:
            seen += os.read(terminal, 4096)
    return seen
