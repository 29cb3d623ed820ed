"""A Homebrew formula is made of what pip answers; it holds each wheel by address and hash."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.indexed import HOST, Index, digest
from tools import formula as tool
from tools.formula import MACOS, formula, main, released
from tools.wheels import CONSTRAINTS, Wheel, mac, pins, wheels

PAGE = "https://project.example/qvq"
NAME = "qvq_mlx-0.1.0-py3-none-any.whl"
URL = f"{PAGE}/releases/download/v0.1.0/{NAME}"
RELEASE = Wheel("qvq-mlx", "0.1.0", URL, "a" * 64)
PINS = pins(CONSTRAINTS.read_text())
INDEX = Index(
    {"rich": ["pygments>=2"], "pygments": [], "mlx": ["mlx-metal==0.32.4"], "mlx-metal": []},
    frozenset({"mlx", "mlx-metal"}),
)
FOUND = {key: wheels(mac("3.12", key), PINS, ["rich", "mlx"], INDEX) for key in MACOS}
TEXT = formula(FOUND, RELEASE, PAGE)


def blocks(text: str) -> dict[str, str]:
    return dict(
        re.findall(r'^  resource "([^"]+)" do\n(.*?)^  end$', text, re.MULTILINE | re.DOTALL)
    )


def test_each_wheel_is_a_resource_of_the_pinned_version() -> None:
    found = blocks(TEXT)
    assert list(found) == ["mlx", "mlx-metal", "pygments", "rich"]
    pure = f"rich-{PINS['rich']}-py3-none-any.whl"
    assert found["rich"] == (
        f'    url "{HOST}/packages/{pure}", using: :nounzip\n    sha256 "{digest(pure)}"\n'
    )
    for name, block in found.items():
        versions = set(re.findall(r"/[\w.]+-([\d.]+)-", block))
        assert versions == {PINS["mlx" if name == "mlx-metal" else name]}


def test_a_newer_macos_takes_the_wheel_that_was_built_for_it() -> None:
    block = blocks(TEXT)["mlx"]
    assert re.findall(r"on_(\S+(?: :\w+)?) do\n +url \S+macosx_(\d+)_0_arm64", block) == [
        ("sonoma :or_older", "14"),
        ("sequoia", "15"),
        ("tahoe :or_newer", "26"),
    ]
    assert len(set(re.findall(r'sha256 "([0-9a-f]{64})"', block))) == 3


def test_the_release_itself_is_what_the_caller_says() -> None:
    assert f'  homepage "{PAGE}"\n  url "{URL}", using: :nounzip\n' in TEXT
    assert f'  version "0.1.0"\n  sha256 "{"a" * 64}"\n' in TEXT
    assert set(re.findall(r"https://[^/]+", TEXT)) == {HOST, "https://project.example"}


def test_it_is_ruby() -> None:
    """Where there is no ruby, each `do`, `def` and `class` has its `end`, and text is closed."""
    if shutil.which("ruby"):
        subprocess.run(["ruby", "-c"], input=TEXT.encode(), check=True, capture_output=True)
    lines = [line for line in TEXT.splitlines() if not line.startswith("#")]
    opened = [line for line in lines if re.search(r"(^\s*(class|def)\s)|(\sdo(\s\|\w+\|)?$)", line)]
    assert len(opened) == sum(line.strip() == "end" for line in lines)
    for line in lines:
        without = re.sub(r'"(?:[^"\\#]|#\{[^}]*\})*"', "", line)
        assert '"' not in without, line
        assert all(without.count(a) == without.count(b) for a, b in ("()", "[]", "{}")), line


@pytest.mark.parametrize(
    "url",
    [
        "file:///opt/index/rich-1.whl",
        "http://index.example/rich-1.whl",
        "https://me:secret@index.example/rich-1.whl",
        'https://index.example/rich-1.whl"; system "true',
        "https://index.example/#{exit}.whl",
    ],
)
def test_an_address_is_plain_https(url: str) -> None:
    found = {key: dict(one) for key, one in FOUND.items()}
    for one in found.values():
        one["rich"] = replace(one["rich"], url=url)
    with pytest.raises(ValueError, match="a formula takes a plain https address") as caught:
        formula(found, RELEASE, PAGE)
    assert "secret" not in str(caught.value)


def test_the_hash_of_the_release_is_that_of_its_file(tmp_path: Path) -> None:
    wheel = tmp_path / NAME
    wheel.write_bytes(b"wheel")
    found = released(URL, wheel)
    assert (found.version, found.url) == ("0.1.0", URL)
    assert found.sha256 == hashlib.sha256(b"wheel").hexdigest()
    with pytest.raises(ValueError, match="is not the released wheel"):
        released(URL.replace("0.1.0", "0.2.0"), wheel)


def test_what_is_in_the_way_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "build" / "qvq.rb"
    assert main(["--url", f"{PAGE}/qvq_mlx-0.1.0.tar.gz", "--out", str(out)]) == 1
    assert capsys.readouterr().err.startswith(
        "no formula: qvq_mlx-0.1.0.tar.gz is not the released"
    )
    wheel = tmp_path / NAME
    wheel.write_bytes(b"wheel")
    index = Index(INDEX.packages)
    index.without_hash = {"pygments"}
    monkeypatch.setattr(tool, "wheels", lambda *given, known: wheels(*given, index, known))
    monkeypatch.setattr(tool, "wanted", lambda: ["rich"])
    given = ["--url", URL, "--wheel", str(wheel), "--out", str(out)]
    assert main(given) == 1
    said = f"no formula: the index gives no sha256 for pygments {PINS['pygments']}\n"
    assert capsys.readouterr().err == said
    assert not out.exists()
    index.without_hash = set()
    assert main(given) == 0
    assert list(blocks(out.read_text())) == ["pygments", "rich"]


def test_no_formula_is_kept() -> None:
    assert not list((ROOT / "packaging").rglob("*.rb"))
