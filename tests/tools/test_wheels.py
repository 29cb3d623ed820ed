"""The wheels of a platform are found by pip, for the versions that are pinned."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from tests.support.indexed import HOST, Index
from tools.wheels import linux, mac, pins, wheels

MAC = mac("3.12", 14)
PINS = pins("# pinned\nArray_Lib==1.0\nframe==2.1\ncolour==0.3\nelse-where==9\nnever==1\n")
INDEX = {
    "array-lib": ["array-metal==1.0; platform_system == 'Darwin'", "else-where; extra == 'linux'"],
    "array-metal": [],
    "colour": ["array-lib[linux]; sys_platform == 'linux'"],
    "else-where": [],
    "frame": ["colour>=0.2", "never; python_version < '3.12'", "never; extra == 'more'"],
}


def test_the_requirements_are_followed_for_the_other_platform() -> None:
    on_mac = wheels(MAC, PINS, ["frame", "array-lib"], Index(INDEX))
    assert list(on_mac) == ["array-lib", "array-metal", "colour", "frame"]
    assert on_mac["colour"].version == "0.3"
    assert on_mac["colour"].url == f"{HOST}/packages/colour-0.3-py3-none-any.whl"
    on_linux = wheels(linux("3.12"), PINS, ["frame"], Index(INDEX))
    assert list(on_linux) == ["array-lib", "colour", "else-where", "frame"]


def test_what_is_known_is_not_asked_for_again() -> None:
    first, second = Index(INDEX), Index(INDEX)
    known = wheels(MAC, PINS, ["frame", "array-lib"], first)
    assert first.calls == [["array-lib==1.0", "frame==2.1"], ["array-metal==1.0", "colour==0.3"]]
    assert wheels(MAC, PINS, ["frame"], second, known) == {
        name: known[name] for name in ("colour", "frame")
    }
    assert second.calls == []


def test_a_missing_hash_is_one_clear_error() -> None:
    index = Index(INDEX)
    index.without_hash = {"colour"}
    with pytest.raises(ValueError, match=r"^the index gives no sha256 for colour 0\.3$"):
        wheels(MAC, PINS, ["frame"], index)


def test_a_version_is_pinned_and_fits() -> None:
    with pytest.raises(ValueError, match=r"^other is not pinned in constraints\.txt$"):
        wheels(MAC, PINS, ["other>=1"], Index(INDEX))
    with pytest.raises(ValueError, match=r"pins frame==2\.1; frame<2 is asked for"):
        wheels(MAC, PINS, ["frame<2"], Index(INDEX))


def test_a_report_that_leaves_out_a_package_is_an_error() -> None:
    def silent(pinned: list[str], target: object) -> object:
        return {"install": []}

    with pytest.raises(ValueError, match="leaves out frame"):
        wheels(MAC, PINS, ["frame"], silent)
    with pytest.raises(ValueError, match=r"pip 22\.2"):
        wheels(MAC, PINS, ["frame"], lambda pinned, target: {})


def index_of(folder: Path, tag: str) -> str:
    """Lay an index with one wheel in a folder and return its address."""
    wheel = folder / f"frame-2.1-{tag}.whl"
    said = "Metadata-Version: 2.1\nName: frame\nVersion: 2.1\nRequires-Dist: never; extra == 'x'\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("frame-2.1.dist-info/METADATA", said)
        archive.writestr("frame-2.1.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        archive.writestr("frame-2.1.dist-info/RECORD", "")
    page = folder / "simple" / "frame" / "index.html"
    page.parent.mkdir(parents=True)
    mark = f"#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}"
    page.write_text(f'<!DOCTYPE html><a href="../../{wheel.name}{mark}">{wheel.name}</a>')
    return f"{folder.as_uri()}/simple"


def alone(monkeypatch: pytest.MonkeyPatch, index: str) -> None:
    """Give pip one index and nothing of the machine's configuration."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_INDEX_URL", index)


def test_pip_itself_answers_for_a_mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone(monkeypatch, index_of(tmp_path, "cp312-cp312-macosx_14_0_arm64"))
    found = wheels(MAC, PINS, ["frame>=2"])["frame"]
    assert found.url == f"{tmp_path.as_uri()}/frame-2.1-cp312-cp312-macosx_14_0_arm64.whl"
    assert found.sha256 == hashlib.sha256(next(tmp_path.glob("*.whl")).read_bytes()).hexdigest()
    assert found.wants == ("never; extra == 'x'",)
    with pytest.raises(ValueError, match="ERROR: No matching distribution found for frame==2.1"):
        wheels(mac("3.11", 14), PINS, ["frame"])
