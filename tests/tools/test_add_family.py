"""A made-up family is a list of places that have to answer."""

from __future__ import annotations

import subprocess
import sys

import pytest

from qvq_mlx.families.family import Family, Vision
from tests.conftest import ROOT


@pytest.mark.slow
def test_every_place_that_has_to_answer_is_named() -> None:
    """12 s of CPU where mypy has no cache."""
    command = [sys.executable, "-m", "tools.add_family"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    for place in ("qvq_mlx/families/__init__.py:", "tools/families/tiny_models.py:"):
        assert place in done.stdout.partition("Type errors of its two classes")[0]
    left_open = Family.__abstractmethods__ - {"vision"}
    for question in [f"Family.{name}" for name in left_open]:
        assert f": {question}\n" in done.stdout
    for question in [f"Vision.{name}" for name in Vision.__abstractmethods__]:
        assert f": {question}\n" in done.stdout
