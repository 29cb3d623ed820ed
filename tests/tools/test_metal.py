"""The report for a Mac: its lines are those of docs/metal.md, and it ends in a count."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.waiting import CEILING_S
from tools.metal import __main__ as report
from tools.metal import by_hand, true_shapes
from tools.metal.checks import CHECKS, summary_of
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


def test_a_minute_by_hand_keeps_what_a_person_said() -> None:
    ran: list[object] = []
    answers = iter(["", "yes", "", "no, the screen is torn", "", "", "", "y"])
    with pytest.raises(AssertionError, match=r"^Did both keys act.* no, the screen is torn$"):
        by_hand.walked(ran.append, lambda _: next(answers))
    assert len(ran) == len(by_hand.STEPS)
    assert by_hand.walked(ran.append, lambda _: "").startswith("4 of 4: ")


def test_the_suites_summary_is_its_last_line() -> None:
    assert re.match(r"\d+ passed", summary_of(("tests/house/test_security.py",), CEILING_S))
    with pytest.raises(AssertionError, match="no tests ran|not found|ERROR"):
        summary_of(("tests/nothing.py",), CEILING_S)


def test_swap_is_read_as_sysctl_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a Mac said it: https://github.com/walles/px/issues/80."""
    said = "total = 4096.00M  used = 2743.50M  free = 1352.50M  (encrypted)\n"
    monkeypatch.setattr(true_shapes.sys, "platform", "darwin")
    monkeypatch.setattr(
        true_shapes.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=said)
    )
    assert true_shapes._swap_bytes() == round(2743.5 * 2**20)


@pytest.mark.long
@pytest.mark.slow
def test_the_report_of_this_machine_has_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main() == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"PASS \d+ FAIL 0 SKIP \d+", last)
