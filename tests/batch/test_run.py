"""How a batch ended, as values: no command line, no screen."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from qvq_mlx.batch import Batch
from qvq_mlx.batch.items import Item
from qvq_mlx.batch.run import BatchScreen, Counts, Target, failure, outcomes, run
from qvq_mlx.core.errors import ExitCode
from qvq_mlx.core.events import Event
from qvq_mlx.core.request import Request
from qvq_mlx.settings import config
from tests.conftest import EXAMPLES, World

WHOLE = Counts(total=4, answered=4, unanswered=0, errors=0)
FILE = Path("out.jsonl")


def test_a_batch_with_an_answer_to_everything_has_not_failed() -> None:
    assert failure(WHOLE, FILE) is None
    assert failure(replace(WHOLE, stopped=True), FILE) is None  # it came after the last item
    assert outcomes(replace(WHOLE, before=3)) == (("answered", 4), ("of these done before", 3))
    assert outcomes(Counts(4, 1, 0, 1)) == (("answered", 1), ("error", 1), ("not asked", 2))


@pytest.mark.parametrize(
    ("counts", "said", "code"),
    [
        (
            Counts(4, answered=1, unanswered=2, errors=1),
            "3 of 4 items have no answer: 2 ended without one, 1 could not be asked",
            ExitCode.NO_ANSWER,
        ),
        (
            Counts(4, answered=1, unanswered=0, errors=0, stopped=True),
            "stopped; 1 of 4 items are done",
            ExitCode.INTERRUPTED,
        ),
        (
            Counts(4, 1, 0, 0, stopped=True, ended_by=signal.SIGTERM),
            "stopped; 1 of 4 items are done (SIGTERM)",
            ExitCode.TERMINATED,
        ),
    ],
)
def test_what_is_missing_is_an_error_as_a_value(counts: Counts, said: str, code: ExitCode) -> None:
    error = failure(counts, FILE)
    assert error is not None
    assert (error.message, error.exit_code) == (said, code)


@dataclass
class Seen:
    """A screen that writes down what it is told."""

    steps: list[tuple[object, ...]] = field(default_factory=list)

    def began(self, number: int, images: tuple[str, ...]) -> None:
        self.steps.append(("began", number, images))

    def saw(self, event: Event) -> None:
        if self.steps[-1] != ("saw",):
            self.steps.append(("saw",))

    def ended(self, number: int, outcome: str, *, answered: bool, took_s: float) -> None:
        self.steps.append(("ended", number, outcome, answered))

    def skipped(self, number: int) -> None:
        self.steps.append(("skipped", number))

    def close(self) -> None:
        self.steps.append(("close",))


def test_a_batch_runs_without_a_command_line(world: Callable[..., World], tmp_path: Path) -> None:
    w = world(words=["**Final Answer**", "\n\n", "two"])
    shapes = str(EXAMPLES / "shapes.png")
    items = [Item((shapes,), "How many?"), Item((str(tmp_path / "gone.png"),), "How many?")]
    out, table = tmp_path / "out.jsonl", tmp_path / "out.csv"
    work = Batch(Request("", (), "tiny"), w.env, config.read(w.env))
    first, second = Seen(), Seen()
    screen: BatchScreen = first
    counts = run(work, items, Target(out, table), w.env, screen)
    assert counts == Counts(total=2, answered=1, unanswered=0, errors=1)
    assert first.steps[:3] == [
        ("began", 1, (shapes,)),
        ("saw",),
        ("ended", 1, "two", True),
    ]
    assert first.steps[-1] == ("close",)
    assert len(out.read_text().splitlines()) == len(table.read_text().splitlines()) - 1 == 2
    again = run(work, items, Target(out), w.env, second)
    assert again == replace(counts, before=2)
    assert second.steps == [("skipped", 1), ("skipped", 2), ("close",)]
    assert (w.out, w.err) == ("", "")
