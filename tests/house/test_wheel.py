"""The built wheel, in an environment that holds nothing else, answers a question."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES, ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_carries_cards_and_the_embedded_model(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "qvq_mlx/models/qvq-tiny.toml" in names
    assert "qvq_mlx/models/qvq-tiny/model.safetensors" in names
    assert "qvq_mlx/models/qvq-tiny-draft/model.safetensors" in names
    assert "qvq_mlx/schema/result.schema.json" in names
    assert "qvq_mlx/qvq.1" in names  # uv tool install links no manual page: qvq man shows this one
    assert [name for name in names if name.endswith(".data/data/share/man/man1/qvq.1")]
    assert not [name for name in names if name.startswith(("tests/", "tools/", "models/"))]


def test_the_wheel_carries_each_script_and_nothing_of_ours(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"qvq_mlx/integrations/{name}.sh" for name in ("picture", "raycast")} <= names
    assert "qvq_mlx/py.typed" in names
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "qvq_mlx").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == code
    kinds = {Path(name).suffix for name in names if ".dist-info" not in name}
    assert kinds <= {
        ".py",
        ".typed",
        ".toml",
        ".json",
        ".safetensors",
        ".md",
        ".sh",
        ".1",
        ".html",
        ".txt",
    }
    assert sum(one.file_size for one in zipfile.ZipFile(wheel).infolist()) < 20 * 2**20


def test_a_consumers_project_is_typed(wheel: Path, tmp_path: Path) -> None:
    """`mypy --strict` on the examples, where the wheel is installed and this checkout is not."""
    home, here = tmp_path / "env", Path(sys.prefix)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    (site,) = home.glob("lib/python3*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    others = [path for path in map(Path, sys.path) if path.name == "site-packages"]
    assert others, here
    (site / "others.pth").write_text("".join(f"{path}\n" for path in others))
    for example in EXAMPLES.glob("*.py"):
        (tmp_path / example.name).write_bytes(example.read_bytes())
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from qvq_mlx import answer\n\nfound: int = answer(3.5, 'What?')\n")
    command = [
        *(sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull),
        *("--python-executable", str(home / "bin" / "python"), "--cache-dir", str(tmp_path / "c")),
    ]
    done = subprocess.run(
        [*command, *(path.name for path in tmp_path.glob("*.py") if path != wrong)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    told = subprocess.run(
        [*command, wrong.name], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert 'incompatible type "float"' in told.stdout  # the types are there
    assert "Incompatible types in assignment" in told.stdout


@pytest.mark.long
@pytest.mark.network
def test_the_wheel_asks_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    binaries = tmp_path / "env" / "bin"
    install = [binaries / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(install, check=True, capture_output=True, cwd=tmp_path)
    done = subprocess.run(
        [
            binaries / "qvq", "ask", "-m", "tiny", "--offline", "-x",
            EXAMPLES / "shapes.png", "How many red circles are there?",
        ],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "QVQ_HOME": str(tmp_path / "qvq")},
    )  # fmt: skip
    assert done.stdout == "3\n"
    assert done.stderr == ""
