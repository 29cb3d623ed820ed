"""On a Mac nothing has to be compiled: each dependency has a wheel for Apple silicon.

Asked of the package registry by uv, which evaluates the markers for the other platform
(https://docs.astral.sh/uv/reference/cli/#uv-pip-compile); pip evaluates them for its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.network]
OLDEST_MACOS = "14.0"
"""What MLX's oldest wheel wants; README names it."""


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uv")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    binaries = folder / "bin"
    install = [binaries / "pip", "install", "--quiet", "uv"]
    subprocess.run(install, check=True, capture_output=True)
    return binaries / "uv"


def compiled(uv: Path, python: str, macos: str) -> subprocess.CompletedProcess[str]:
    """Resolve the dependencies for a Mac, from wheels alone, as constraints.txt pins them."""
    command = [
        *(str(uv), "pip", "compile", "--quiet", "--no-header", "--no-annotate"),
        *("--python-platform", "aarch64-apple-darwin", "--python-version", python),
        *("--only-binary", ":all:", "-c", "constraints.txt", "pyproject.toml"),
    ]
    environ = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": macos}
    return subprocess.run(
        command, env=environ, cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_every_dependency_has_a_wheel_for_apple_silicon(uv: Path, python: str) -> None:
    done = compiled(uv, python, OLDEST_MACOS)
    assert done.returncode == 0, done.stderr
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", done.stdout, re.MULTILINE))
    assert {"mlx", "mlx-metal", "mlx-vlm", "av", "pillow-heif"} <= pins.keys()
    assert pins["mlx"] == pins["mlx-metal"]


def test_an_older_macos_is_refused_by_mlx(uv: Path) -> None:
    """The test above would fail where a wheel is missing: this one is."""
    done = compiled(uv, "3.12", "13.0")
    assert done.returncode != 0
    assert "mlx" in done.stderr
