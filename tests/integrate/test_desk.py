"""The Finder, Shortcuts and Raycast get qvq and lose it again, with stand-ins for macOS's tools.

What macOS does with the files is not known here (docs/metal.md); that they are property lists with
the documented keys is, and that the scripts in them ask and show. osascript's windows:
https://ss64.com/mac/osascript.html.
"""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, World

Build = Callable[..., World]
SCRIPTS = ROOT / "extras" / "mac"
OSASCRIPT = """#!/bin/sh
printf '%s\\n' "$@" >> {log}
case "$*" in *"What do you want"*) printf '%s\\n' "-How many?";; esac
"""
QVQ = """#!/bin/sh
printf '%s\\n' "$@" > {log}
if [ "$2" = -Q ] && [ "$4" = /broken.png ]; then echo "error[image]: broken" >&2; exit 2; fi
echo a notice >&2; echo "-5"
"""
SIGN = """#!/bin/sh
# shortcuts sign -m MODE -i INPUT -o OUTPUT: https://support.apple.com/guide/shortcuts-mac/apd455c82f02
[ "$1 $2 $3 $4 $6" = "sign -m anyone -i -o" ] && cp "$5" "$7"
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH of stand-ins; a path with a quote and a space in it, as a home may have."""
    folder = tmp_path / "it's a bin"
    folder.mkdir()
    texts = {"osascript": OSASCRIPT, "qvq": QVQ, "shortcuts": SIGN, "open": "#!/bin/sh\n"}
    texts["pbs"] = "#!/bin/sh\nexit 1\n"
    for name, text in texts.items():
        (folder / name).write_text(text.format(log=f'"{tmp_path / name}.log"'))
        (folder / name).chmod(0o755)
    return folder


def ran(script: str, tools: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The script as Automator and Shortcuts run it: sh, with the files as arguments."""
    command = ["sh", "-c", script, "sh", *arguments]
    environ = {"PATH": f"{tools}:{os.environ['PATH']}"}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def script_of(home: Path) -> str:
    contents = home / "Library" / "Services" / "Ask qvq.workflow" / "Contents"
    document = plistlib.loads((contents / "document.wflow").read_bytes())
    [step] = document["actions"]
    assert step["action"]["ActionParameters"]["inputMethod"] == 1  # the files are arguments
    assert document["workflowMetaData"]["workflowTypeIdentifier"].endswith(".servicesMenu")
    script: str = step["action"]["ActionParameters"]["COMMAND_STRING"]
    return script


def test_the_finder_asks_and_shows(world: Build, tools: Path, tmp_path: Path) -> None:
    there = world(environ={"PATH": str(tools)})
    assert there.run("integrate", "finder") == 0, there.err
    assert "Quick Actions, Ask qvq" in there.out
    contents = tmp_path / "Library" / "Services" / "Ask qvq.workflow" / "Contents"
    [service] = plistlib.loads((contents / "Info.plist").read_bytes())["NSServices"]
    assert service["NSMessage"] == "runWorkflowAsService"
    assert service["NSSendFileTypes"] == ["public.image", "com.adobe.pdf"]
    done = ran(script_of(tmp_path), tools, "/a picture.png", "/b.png")
    assert (done.stdout, done.stderr, done.returncode) == ("-5\n", "", 0)
    asked = (tmp_path / "qvq.log").read_text().splitlines()
    assert asked == ["ask", "-Q", "-How many?", "/a picture.png", "/b.png"]
    # the answer is osascript's last argument, behind a title that is no option
    assert (tmp_path / "osascript.log").read_text().splitlines()[-2:] == ["qvq", "-5"]


def test_an_error_is_shown_and_not_an_answer(world: Build, tools: Path, tmp_path: Path) -> None:
    assert world(environ={"PATH": str(tools)}).run("integrate", "finder") == 0
    done = ran(script_of(tmp_path), tools, "/broken.png")
    assert done.returncode == 2
    shown = (tmp_path / "osascript.log").read_text().splitlines()
    assert shown[-2:] == ["qvq: no answer", "error[image]: broken"]
    (tools / "osascript").write_text("#!/bin/sh\nexit 1\n")  # Cancel
    (tmp_path / "qvq.log").unlink()
    assert ran(script_of(tmp_path), tools, "/a.png").returncode == 0
    assert not (tmp_path / "qvq.log").exists()


def test_a_shortcut_is_signed_and_opened(world: Build, tools: Path, tmp_path: Path) -> None:
    there = world(environ={"PATH": f"{tools}:/bin:/usr/bin"})
    assert there.run("integrate", "shortcuts") == 0, there.err
    kept = tmp_path / "qvq" / "Ask qvq.shortcut"
    [action] = plistlib.loads(kept.read_bytes())["WFWorkflowActions"]
    assert action["WFWorkflowActionIdentifier"] == "is.workflow.actions.runshellscript"
    parameters = action["WFWorkflowActionParameters"]
    assert parameters["InputMode"] == "as arguments"
    assert ran(parameters["Script"], tools, "/a.png").stdout == "-5\n"
    assert there.run("integrate", "shortcuts", "--remove") == 0
    assert not kept.exists()
    assert "delete Ask qvq there" in there.out
    (tools / "shortcuts").write_text("#!/bin/sh\necho 'not signed in' >&2; exit 1\n")
    assert there.run("integrate", "shortcuts") == 2
    assert "macOS does not sign the shortcut: not signed in" in there.err


def test_raycast_gets_a_script_command(world: Build, tools: Path, tmp_path: Path) -> None:
    there = world(environ={"PATH": str(tools)})
    assert there.run("integrate", "raycast") == 0, there.err
    script = tmp_path / "qvq" / "raycast" / "ask-qvq.sh"
    done = subprocess.run([script, "clip", "How many?"], capture_output=True, text=True, check=True)
    assert done.stdout == "-5\n"
    assert (tmp_path / "qvq.log").read_text().splitlines() == ["ask", "clip", "-Q", "How many?"]
    assert there.run("integrate", "raycast") == 0  # again, after an upgrade
    assert there.run("integrate", "raycast", "--remove") == 0
    assert not script.exists()
    assert there.run("integrate", "raycast", "--remove") == 0
    assert "is not there" in there.out


@pytest.mark.parametrize("place", ["finder", "raycast"])
def test_what_is_anothers_stays(world: Build, tools: Path, tmp_path: Path, place: str) -> None:
    there = world(environ={"PATH": str(tools)})
    other = {
        "finder": tmp_path
        / "Library"
        / "Services"
        / "Ask qvq.workflow"
        / "Contents"
        / "Info.plist",
        "raycast": tmp_path / "qvq" / "raycast" / "ask-qvq.sh",
    }[place]
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    for words in ((), ("--remove",)):
        assert there.run("integrate", place, *words) == 2
        assert "was not made by qvq, and stays as it is" in there.err
    assert other.read_text() == "mine"


def test_elsewhere_than_on_a_mac_it_says_so(world: Build, tmp_path: Path, tools: Path) -> None:
    (tools / "osascript").unlink()
    there = world(environ={"PATH": str(tools)})
    assert there.run("integrate", "finder") == 2
    assert "finder is a part of macOS, and its osascript is not here" in there.err
    assert not (tmp_path / "Library").exists()


@pytest.mark.parametrize("name", ["picture.sh", "raycast.sh"])
def test_a_script_is_a_script(name: str) -> None:
    """Read by sh, by bash's own parser and, where it is here, by shellcheck."""
    text = (SCRIPTS / name).read_text()
    assert text.count("QVQ=qvq\n") == 1
    for shell in (["sh", "-n"], ["bash", "-n"]):
        subprocess.run([*shell, SCRIPTS / name], check=True)
    if tool := shutil.which("shellcheck"):
        subprocess.run([tool, SCRIPTS / name], check=True)
