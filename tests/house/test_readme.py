"""README is short, its commands run, and what it says they print is what they print.

Each indented line is looked at: it runs here in this process with the embedded model, or stands in
`NOT_HERE` with the reason. Nothing else may stand there.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES, ROOT, World

README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_LINES = 150
NOT_HERE = {
    "git clone URL qvq && cd qvq": "a network",
    "qvq doctor": "tests/doctor",
    "make demo": "an environment of its own; the workflow runs it",
    "make test": "this suite",
    "uv tool install .": "a network; tests/house/test_wheel.py installs the wheel (slow)",
    "uv tool install --overrides packaging/slim.txt .": "a network; make test-slim",
    "git pull && uv tool install --force .": "a network",
    "uv tool uninstall qvq-mlx": "what is not installed so",
    "qvq pull qvq": "41 GB; tests/store pull from a Hub of their own",
    'qvq screen "What does this error mean?"': "macOS; tests/images/test_sources.py",
    'qvq report.pdf --page 2-4 "Which of these tables disagree?"': "the reader's own file",
    'qvq photo.jpg "Outline every dog as a box, in JSON." --boxes --annotate dogs.png': "the same",
    "qvq chat photo.jpg": "a terminal; tests/chat/test_chat.py",
    "qvq serve": "it never ends; tests/serve",
    'QVQ_HOST=http://studio:8080 qvq photo.jpg "What is this?"': "another machine; tests/remote",
    "qvq mcp": "it never ends; tests/serve/mcp",
    "from qvq_mlx import answer": "tests/library; examples/library.py is run there",
    'print(answer("photo.jpg", "What is this?").answer)': "the same",
}
LINES = [line[4:] for line in README.splitlines() if line.startswith("    ")]
COMMANDS = [re.sub(r" {2,}#.*", "", line).removeprefix("$ ").rstrip() for line in LINES]
RUNS = [command for command in COMMANDS if command.startswith("qvq ") and command not in NOT_HERE]
OUTPUTS = {
    line[2:]: following
    for line, following in zip(LINES, [*LINES[1:], "$"], strict=True)
    if line.startswith("$ ") and not following.startswith("$")
}


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES


def test_each_line_of_code_is_run_or_says_why_not() -> None:
    outputs = set(OUTPUTS.values())
    left = [one for one in COMMANDS if one and one not in (*RUNS, *NOT_HERE) and one not in outputs]
    assert left == []
    assert set(NOT_HERE) <= set(COMMANDS), "a reason for a line that is gone"


def test_the_commands_do_what_it_says(
    world: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, in a folder with the examples, as a reader types them."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    assert len(OUTPUTS) >= 5
    for command in RUNS:
        typed, _, field = command.partition(" | jq .")
        there = world(environ={"QVQ_MODEL": "tiny"})
        code = there.run(*shlex.split(typed)[1:])
        assert code == 0, (command, there.err)
        if command in OUTPUTS:
            printed = json.dumps(json.loads(there.out)[field]) if field else there.out.rstrip("\n")
            assert printed == OUTPUTS[command], command
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 4
