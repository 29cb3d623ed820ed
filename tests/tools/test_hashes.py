"""The committed requirements hold the pins by hash, for every platform, and no address."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from tests.support.indexed import Index
from tools.hashes import HASHED, hashed, main, own
from tools.wheels import CONSTRAINTS, linux, mac, pins, wheels

TEXT = HASHED.read_text()
HELD = pins(CONSTRAINTS.read_text())


def entries(text: str) -> dict[str, tuple[Requirement, list[str]]]:
    """The requirements of a file, as pip reads it, with their hashes."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    found = {}
    for line in joined.splitlines():
        wish, *hashes = line.split("--hash=sha256:")
        requirement = Requirement(wish.strip())
        name = requirement.name + "".join(f"[{one}]" for one in sorted(requirement.extras))
        assert name not in found
        found[name] = (requirement, [one.strip() for one in hashes])
    return found


def test_the_committed_file_holds_the_pins() -> None:
    """`make constraints-hashed` writes it anew."""
    found = entries(TEXT)
    for name, (requirement, hashes) in found.items():
        pin = HELD["mlx" if name == "mlx-metal" else requirement.name]
        assert str(requirement.specifier) == f"=={pin}", "run make constraints-hashed"
        assert hashes == sorted(set(hashes)) != []
        assert all(re.fullmatch("[0-9a-f]{64}", one) for one in hashes)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for wish in map(Requirement, project["dependencies"]):
        name = canonicalize_name(wish.name) + "".join(f"[{one}]" for one in wish.extras)
        assert name in found, "run make constraints-hashed"
    assert "mlx-cpu" in found
    assert str(found["mlx-metal"][0].marker) == 'sys_platform == "darwin"'


def test_the_committed_file_holds_no_address() -> None:
    assert "/" not in TEXT
    assert "@" not in TEXT


def test_a_platform_has_its_own_requirements_and_all_hashes() -> None:
    index = Index(
        {
            "native": [
                "on-linux[more]; sys_platform == 'linux'",
                "on-mac; sys_platform == 'darwin'",
            ],
            "on-mac": ["old; python_version < '3.12'"],
            "on-linux": ["new; python_version >= '3.12'"],
            "everywhere": [
                "either; python_version < '3.12'",
                "native[gpu]; sys_platform == 'darwin'",
            ],
            **{name: [] for name in ("old", "new", "either")},
        },
        frozenset({"native"}),
    )
    held = dict.fromkeys(index.packages, "1.0")
    targets = [make(one) for one in ("3.11", "3.12") for make in (lambda v: mac(v, 14), linux)]
    roots = ["native", "everywhere"]
    found = entries(hashed({one: wheels(one, held, roots, index) for one in targets}))
    assert {name: str(wish.marker or "") for name, (wish, _) in found.items()} == {
        "either": 'python_version == "3.11"',
        "everywhere": "",
        "native": "",
        "native[gpu]": 'sys_platform == "darwin"',
        "new": 'sys_platform == "linux" and python_version == "3.12"',
        "old": 'sys_platform == "darwin" and python_version == "3.11"',
        "on-linux": 'sys_platform == "linux"',
        "on-linux[more]": 'sys_platform == "linux"',
        "on-mac": 'sys_platform == "darwin"',
    }
    two = {"native", "native[gpu]"}
    assert {name: len(hashes) for name, (_, hashes) in found.items()} == {
        name: 2 if name in two else 1 for name in found
    }


def test_a_release_is_added_by_its_own_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "qvq_mlx-0.1.0-py3-none-any.whl", tmp_path / "qvq_mlx-0.1.0.tar.gz"]
    for file in files:
        file.write_bytes(file.suffix.encode())
    out = tmp_path / "assets" / "requirements-hashed.txt"
    assert main(["--release", *map(str, files), "--out", str(out)]) == 0
    wish, hashes = entries(out.read_text()).popitem()[1]
    assert str(wish) == "qvq-mlx==0.1.0"
    assert hashes == sorted(hashlib.sha256(one.read_bytes()).hexdigest() for one in files)
    assert out.read_text() == TEXT + own(files)
    files[1] = files[1].rename(tmp_path / "qvq_mlx-0.2.0.tar.gz")
    out.unlink()
    assert main(["--release", *map(str, files), "--out", str(out)]) == 1
    assert capsys.readouterr().err == "no hashes: these are not the files of one release\n"
    assert not out.exists()
