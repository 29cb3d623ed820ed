"""The score so far, for the person who watches an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from qvq_mlx.batch.items import Item
from qvq_mlx.evaluate.gold import Gold, Score, Verdict
from qvq_mlx.evaluate.question import Strata
from qvq_mlx.evaluate.result import Answered
from qvq_mlx.evaluate.statistics import wilson

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question on its way to the model."""

    item: Item
    gold: Gold
    strata: Strata


class Tally:
    """The score so far. An answer is judged when it comes, for the person who watches."""

    def __init__(
        self, scored: Callable[[Prepared, Answered], Score], questions: Mapping[str, Prepared]
    ) -> None:
        self._scored = scored
        self._questions = questions
        self._correct = self._total = 0

    @property
    def text(self) -> str:
        """Return `35.2 % right (31 to 39)`; empty before the first answer."""
        if not self._total:
            return ""
        interval = wilson(self._correct, self._total)
        share = 100 * self._correct / self._total
        return f"{share:.1f} % right ({100 * interval.low:.0f} to {100 * interval.high:.0f})"

    def add(self, records: Iterable[Answered]) -> None:
        """Count what an earlier run answered."""
        for said in records:
            if said.id in self._questions:
                self.take(said)

    def take(self, said: Answered) -> str:
        """Count an answer; return it and its verdict in one line."""
        score = self._scored(self._questions[said.id], said)
        self._total += 1
        self._correct += score.canonical.verdict is Verdict.CORRECT
        found = score.canonical.found or "no answer"
        return (
            f"{said.id}: {' '.join(found.split())[:_SHOWN_CHARACTERS]} ({score.canonical.verdict})"
        )
