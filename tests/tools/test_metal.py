"""The report for a Mac: its lines are those of docs/metal.md, and it ends in a count."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.metal import __main__ as report
from tools.metal.checks import CHECKS
from tools.metal.needs import NotHereError

ROOT = Path(__file__).parents[2]


def test_the_page_lists_exactly_the_lines() -> None:
    page = (ROOT / "docs" / "metal.md").read_text()
    table = page.partition("| line | what it shows | on Linux |")[2].partition("\n\n")[0]
    names = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)
    assert names == list(CHECKS)


def test_a_check_passes_fails_or_is_skipped_with_a_reason() -> None:
    def skipped() -> str:
        raise NotHereError("no Metal here")

    def wrong() -> str:
        raise AssertionError("3 of 4\nequal")

    assert report.outcome_of(lambda: "fine") == (report.Outcome.PASS, "fine")
    assert report.outcome_of(skipped) == (report.Outcome.SKIP, "no Metal here")
    assert report.outcome_of(wrong) == (report.Outcome.FAIL, "AssertionError: 3 of 4 equal")


@pytest.mark.slow
def test_the_report_of_this_machine_has_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main() == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"PASS \d+ FAIL 0 SKIP \d+", last)
