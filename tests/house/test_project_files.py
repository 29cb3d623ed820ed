"""What a project keeps beside its code says what is so."""

from __future__ import annotations

import re
import tomllib

import qvq_mlx
from tests.conftest import ROOT

WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_the_citation_names_this_version() -> None:
    assert f"\nversion: {qvq_mlx.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_workflow_runs_targets_that_make_has_on_the_versions_that_are_promised() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"run: make ([a-z-]+)", WORKFLOW)) <= targets
    promised = re.findall(r"Python :: (3\.\d+)\"", (ROOT / "pyproject.toml").read_text())
    assert re.findall(r'"(3\.\d+)"', WORKFLOW.partition("matrix:")[2].partition("]")[0]) == promised


def test_every_dependency_has_a_line_in_the_design() -> None:
    """Of the program and of its extra; what only a developer installs is not a user's cost."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        re.split(r"[\[~><=; ]", one)[0]
        for one in (*project["dependencies"], *project["optional-dependencies"]["eval"])
    }
    page = (ROOT / "docs" / "design.md").read_text()
    table = page.partition("## Dependencies")[2].partition("**A slim install")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == wanted
