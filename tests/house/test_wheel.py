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
