"""What a Mac's system is like, stood in for on this one.

No /proc (https://developer.apple.com/library/archive/documentation/MacOSX/Conceptual/BSD_File_System:
macOS mounts none), a temporary folder on another volume than the home, names of pictures whose é is
two characters (https://developer.apple.com/support/apple-file-system/Apple-File-System-Reference.pdf:
names keep the form in which they were made), and a PATH of cron's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES, World
from tests.support.pdfs import nested_forms, pdf

Build = Callable[..., World]
NFC, NFD = (unicodedata.normalize(form, "café-1.png") for form in ("NFC", "NFD"))
MOUNT = "mount -t tmpfs none /proc && exec "


def may_unmount() -> bool:
    """Root of a mount namespace may take /proc away from itself."""
    tool = shutil.which("unshare")
    if tool is None:
        return False
    return not subprocess.run([tool, "-m", "true"], capture_output=True, check=False).returncode


def without_proc(*command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    words = ["unshare", "-m", "sh", "-c", MOUNT + '"$@"', "sh", *command]
    environ = {**os.environ, "PATH": f"/usr/bin:/bin:{os.environ['PATH']}"}
    return subprocess.run(words, input=stdin, capture_output=True, check=False, env=environ)


@pytest.mark.skipif(not may_unmount(), reason="nobody but root may do without /proc")
def test_without_proc_it_answers_and_a_pdf_is_bounded(tmp_path: Path) -> None:
    environ = f"QVQ_HOME={tmp_path}"
    qvq = ("env", environ, sys.executable, "-m", "qvq_mlx", "ask", "-m", "tiny", "-x", "-q")
    done = without_proc(*qvq, str(EXAMPLES / "sum.png"), "What is the result?")
    assert (done.stdout, done.stderr, done.returncode) == (b"29\n", b"", 0)
    # an output that is open already, and a PDF whose pages take all memory
    script = (
        "import io, sys\nfrom qvq_mlx import images\nfrom qvq_mlx.images import pdf\n"
        "from qvq_mlx.core.card import VisionLimits\npdf.MAX_MEMORY_BYTES = 100 * 2**20\n"
        "try: images.read('-', VisionLimits(), images.ImageSources(sys.stdin.buffer))\n"
        "except Exception as error: print(error)\n"
    )
    done = without_proc(sys.executable, "-c", script, stdin=nested_forms(9))
    assert done.stdout == b"-: page 1 takes more than 100 MiB of memory\n", done.stderr


def test_the_temporary_folder_may_be_on_another_volume(
    world: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename from one volume to another is an error: nothing is made there and moved here."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one volume here")
    with tempfile.TemporaryDirectory(dir=other) as temporary:
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        monkeypatch.chdir(tmp_path)
        page = tmp_path / "page.pdf"
        page.write_bytes(pdf(b"1 0 0 rg 0 0 50 50 re f"))
        picture = str(EXAMPLES / "sum.png")
        for words in (
            ("ask", "-m", "tiny", picture, "How many?", "-o", "answer.txt"),
            ("ask", "-m", "tiny", str(page), "How many?"),
            (
                "batch",
                picture,
                "-m",
                "tiny",
                "-Q",
                "How many?",
                "-o",
                "out.jsonl",
                "--csv",
                "o.csv",
            ),
            ("log", "export", "-o", "runs.jsonl"),
            ("config", "set", "lang", "en"),
            ("erase", "-y"),
        ):
            there = world(["\\boxed{3}"])
            assert there.run(*words) == 0, (words, there.err)
        assert (tmp_path / "answer.txt").read_text() == "\\boxed{3}\n"
        assert os.listdir(temporary) == []  # noqa: PTH208


def test_names_in_either_form_are_one_picture(
    world: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert NFC != NFD
    folder = tmp_path / "there"
    folder.mkdir()
    shutil.copy(EXAMPLES / "sum.png", folder / NFD)
    monkeypatch.chdir(folder)
    for pattern in ("café-*.png", unicodedata.normalize("NFD", "café-?.png")):
        there = world(["29"])
        assert there.run("ask", "-m", "tiny", pattern, "What is it?", "--json") == 0, there.err
    assert world(["29"]).run("ask", "-c", "And now?") == 0  # the saved name is the disk's own
    there = world(["29"])
    assert there.run("batch", ".", "-m", "tiny", "-Q", "What is it?", "-o", "out.jsonl") == 0
    there = world([])
    assert there.run("batch", ".", "-m", "tiny", "-Q", "What is it?", "-o", "out.jsonl") == 0
    assert len((folder / "out.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("path", ["/usr/bin:/bin", ""])
def test_crons_path_is_enough(tmp_path: Path, path: str) -> None:
    """man 5 crontab on macOS: PATH is /usr/bin:/bin."""
    done = subprocess.run(
        [sys.executable, "-m", "qvq_mlx", "fit", "tiny", "--json"],
        capture_output=True, env={"PATH": path, "QVQ_HOME": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
