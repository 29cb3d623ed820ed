"""Every command that a page shows is one: its words are read by the program's own parser.

Lines of code and code in a sentence alike; what README shows is run by test_readme.py, and what a
page shows as a block is run here with the embedded model where this machine has what it needs.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import typer
from PIL import Image
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from qvq_mlx.cli.app import COMMANDS, app_with, with_command
from qvq_mlx.core.errors import UsageError
from tests.conftest import EXAMPLES, ROOT, World

PAGES = sorted(
    path
    for pattern in ("docs/*.md", "extras/*/*.md", "models/*/*.md", "packaging/**/*.md", "*.md")
    for path in ROOT.glob(pattern)
    # generated from the parser itself; and what was so when it was written
    if path.name not in {"commands.md", "json.md", "log.md", "CHANGELOG.md"}
)
PROGRAM = get_command(app_with())
NOT_HERE = {
    "mcp": "it never ends; tests/serve/test_mcp.py",
    "serve": "it never ends; tests/serve",
    "stop": "a server that runs; tests/warm/test_servers.py",
    "chat": "a terminal; tests/chat/test_chat.py",
    "pull": "a network; tests/store/test_pull.py",
    "verify": "a damaged model; tests/store/test_verify.py",
    "export": "a model that was pulled; tests/store",
    "import": "a model that was pulled; tests/store",
    "eval": "a data set that was pulled; tests/evaluate",
    "rm": "a model that was pulled; tests/store",
    "convert": "a model of transformers'; tests/engine",
    "doctor": "it judges the machine; tests/doctor",
    "bench": "a model that computes; tests/bench",
    "integrate": "macOS; tests/integrate",
}
BEFORE = {"do", "then", "time", "nohup"}
ELSEWHERE = {
    *("clip.mp4", "clip.mov", "clip.webm"),  # films: tests/images/test_video.py
    *("qwen2.5-vl-7b", "erase"),  # a model of 6 GB; an answer at the terminal
    *("MODEL", "ID", "3f2a", "photo.jpg", "IMAGE"),  # the reader's own
}


def commands_in(line: str) -> Iterator[list[str]]:
    """The words behind each `qvq` of a line of shell, without comments and redirections."""
    inner = re.findall(r"\$\((qvq [^)]*)\)", line)
    for text in inner or [re.sub(r"(?<=\S) {2,}.*", "", line)]:
        lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        lexer.commenters = "#"
        segment: list[str] = []
        for word in [*lexer, ";"]:
            if not re.fullmatch(r"[();<>|&]+", word):
                segment.append(word)
                continue
            while segment and (segment[0] in BEFORE or re.match(r"[A-Z_]+=", segment[0])):
                del segment[0]
            if segment[:1] == ["qvq"]:
                yield [one.removesuffix("...") for one in segment[1:] if one not in {"…", "..."}]
            segment = []


def blocks(page: Path) -> Iterator[str]:
    """The lines of code of a page, in order; screens that the program wrote are none."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"<!-- screens:begin -->.*<!-- screens:end -->", "", text, flags=re.DOTALL)
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip().removeprefix("$ ")


def in_sentences(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8").replace("\\|", "|")
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"(?<!`)`(qvq [^`]+)`", re.sub(r"\n(?=\S)", " ", text))


def fault_of(words: list[str]) -> str:
    """What the parser says of a command; '' for nothing. A word that is missing is no fault."""
    if words[0] == "IMAGE":
        words = ["ask", *words]
    if words[0].startswith("-") and set(words) & set(COMMANDS):
        return f"{words[0]} stands before the command"
    context = PROGRAM.make_context("qvq", ["models"], resilient_parsing=True)
    context.obj = MagicMock()
    command = PROGRAM
    if words[0] == "help":  # `help COMMAND` is its --help
        return "" if set(words[1:]) <= set(COMMANDS) else f"no command {words[1]}"
    try:
        rest = with_command(words, lambda _: False)
        while isinstance(command, TyperGroup) and rest:
            name, found, rest = command.resolve_command(context, rest)
            if found is None:
                return f"no command {name}"
            command = found
        if not isinstance(command, TyperGroup):
            command.make_context(words[0], rest, parent=context)
    except (TyperException, UsageError) as error:
        said = error.format_message() if isinstance(error, TyperException) else error.message
        return "" if said.startswith("Missing") else said
    except typer.Exit:  # --help, --version
        pass
    return ""


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_its_commands_are_commands(page: Path) -> None:
    lines = [line for line in blocks(page) if re.search(r"\bqvq [\w.-]", line)]
    lines = [line for line in lines if not re.match(r"[\w./]*: |usage:", line, re.IGNORECASE)]
    wrong = []
    for line in [*lines, *in_sentences(page)]:
        found = [fault_of(words) for words in commands_in(line) if words]
        wrong += [f"{line}: {fault}" for fault in found if fault]
    assert wrong == []


def test_a_slip_is_found() -> None:
    assert "-v" in fault_of(["-v", "ask", "photo.jpg"])
    assert fault_of(["ask", "photo.jpg", "--no-such"])
    assert fault_of(["log", "lst"])
    assert not fault_of(["log", "prune", "--keep", "0", "-y"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the pages speak of."""
    there = tmp_path / "there"
    (there / "photos").mkdir(parents=True)
    shutil.copytree(EXAMPLES, there / "examples")
    for name in ("shapes.png", "shot.png", "other.png", "photos/p31.png", "before.png"):
        shutil.copy(EXAMPLES / "shapes.png", there / name)
    pages = [Image.new("RGB", (200, 280), "white") for _ in range(8)]
    pages[0].save(there / "report.pdf", save_all=True, append_images=pages[1:])
    frames = [Image.new("RGB", (64, 64), (n, 0, 0)) for n in range(32)]
    frames[0].save(there / "animation.gif", save_all=True, append_images=frames[1:])
    (there / "questions.jsonl").write_text('{"image": "shapes.png", "question": "How many?"}\n')
    (there / "question.txt").write_text("How many?")
    (there / "build.log").write_text("error: no rule")
    (there / "list").write_text("shapes.png\n")
    hosts = [{"ssh": name, "ips": ["192.0.2.1"]} for name in ("one.local", "two.local")]
    (there / "hosts.json").write_text(json.dumps(hosts))
    monkeypatch.chdir(there)
    return there


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "README.md" or page.parent != ROOT]
)
def test_its_blocks_run(page: Path, folder: Path, world: Callable[..., World]) -> None:
    """In order, as a reader types them, with the embedded model."""
    ran = []
    for line in blocks(page):
        if not re.match(r"(?:cat \S+ \| )?qvq |while |eval ", line):
            continue
        for words in commands_in(line):
            if not words or words[0] in NOT_HERE or ELSEWHERE & set(words) or "< " in line:
                continue  # what comes through stdin: tests/run/test_piped.py
            words = [word.replace("$f", "shapes.png") for word in words]
            words = [one for word in words for one in (_expanded(folder, word))]
            there = world(["\\boxed{3}"], environ={"QVQ_MODEL": "tiny"})
            assert there.run(*words) in {0, 3}, (line, there.err)
            ran.append(line)
    expected = {"batch.md", "chat.md", "images.md", "scripts.md", "first-hour.md", "history.md"}
    assert ran or page.name not in expected


def _expanded(folder: Path, word: str) -> list[str]:
    """A pattern as a shell expands it."""
    if "*" not in word:
        return [word]
    return sorted(path.name for path in folder.glob(word)) or [word]
