"""The run of an evaluation: questions to a batch, its records to the judge, results to the folder.

Law: a question is answered and on the disk before the next one begins; whatever ends the run, the
next one goes on there, and the results are those of a run that nothing ended. Every judgement is
made from the record on the disk.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from qvq_mlx.batch import Batch, Began, Ended
from qvq_mlx.batch.items import Item
from qvq_mlx.batch.keys import model_identity
from qvq_mlx.batch.ledger import is_error, open_ledger
from qvq_mlx.core.env import Env
from qvq_mlx.core.events import Event
from qvq_mlx.core.plan import Resolved
from qvq_mlx.core.request import Budget, Request
from qvq_mlx.core.tokens import Control
from qvq_mlx.evaluate import datasets
from qvq_mlx.evaluate.choice import Choice
from qvq_mlx.evaluate.folder import RunFolder, RunRecord, Setting, asked, file_hashes
from qvq_mlx.evaluate.gold import Score
from qvq_mlx.evaluate.judge import Judge
from qvq_mlx.evaluate.question import Outline
from qvq_mlx.evaluate.result import VERSION, Answered, Result, answered, result_of
from qvq_mlx.evaluate.statistics import stratified
from qvq_mlx.evaluate.tally import Prepared, Tally
from qvq_mlx.run.plan import resolve
from qvq_mlx.run.signals import Interrupts, ending, handled
from qvq_mlx.settings.config import Settings
from qvq_mlx.system.awake import awake


class RunScreen(Protocol):
    """A screen that follows an evaluation."""

    def began(self, number: int, images: tuple[str, ...]) -> None:
        """Question `number`, counted from 1, is taken up; its name stands for the images'."""

    def saw(self, event: Event) -> None:
        """The question's run yielded this."""

    def ended(self, number: int, outcome: str, *, answered: bool, took_s: float) -> None:
        """The question is done."""

    def noted(self, note: str) -> None:
        """Show the score so far."""

    def skipped(self, number: int) -> None:
        """The question was done before."""

    def close(self) -> None:
        """Nothing more comes, also where an exception ended the run."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The results under one thinking budget, in the data set's order, and the seconds they took."""

    budget_tokens: int | None
    results: tuple[Result, ...]
    seconds: float


class Evaluation:
    """An evaluation of one model on one choice of questions, in a folder of its own."""

    def __init__(
        self,
        choice: Choice,
        data: Path,
        request: Request,
        budgets: Sequence[Budget | None],
        place: RunFolder,
        env: Env,
        settings: Settings,
    ) -> None:
        """Raises a QvqError where nothing could be asked. Writes the setting and the pictures."""
        self._env, self._settings, self._choice = env, settings, choice
        self._request, self._place, self._data = request, place, data
        self._scores: dict[tuple[str, str], Score] = {}
        self._batches = {
            resolve(asked_so, settings).budget_tokens: Batch(asked_so, env, settings)
            for asked_so in _with_budgets(request, budgets)
        }
        self._budgets = tuple(sorted(self._batches, key=_size, reverse=True))
        self.questions = tuple(self._prepared())

    def run(self, screen: Callable[[], RunScreen]) -> list[Evaluated]:
        """Ask and judge all that is not done, the largest budget first.

        `screen` is called for each budget. Raises the QvqError that ended the run.
        """
        found: list[Evaluated] = []
        answers: dict[str, tuple[Answered, int | None]] = {}
        with Judge() as judge:
            for budget_tokens in self._budgets:
                kept = {
                    name: pair
                    for name, pair in answers.items()
                    if budget_tokens is not None and pair[0].is_within(budget_tokens)
                }
                fresh, seconds = self._asked(budget_tokens, kept, judge, screen())
                answers = kept | {name: (said, budget_tokens) for name, said in fresh.items()}
                found.append(self._judged(budget_tokens, answers, judge, seconds))
        return found

    def _prepared(self) -> Iterator[Prepared]:
        """Draw the sample, keep its pictures, and claim the folder for this setting."""
        choice, kind = self._choice, self._choice.benchmark
        files = datasets.files_of(kind, self._data, choice.split)
        outlines = datasets.outlines(kind, files, self._data)
        wanted = {outline.id for outline in drawn(outlines, choice.sample, choice.seed)}
        prepared, listed = [], []
        for question in datasets.questions(kind, files, self._data, wanted, choice.prompts):
            images = self._place.keep_pictures(question)
            item = Item(images, question.prompt, question.id)
            prepared.append(Prepared(item, question.gold, question.strata))
            listed.append(asked(question))
        resolved = resolve(self._request, self._settings)
        setting = Setting(
            benchmark=kind,
            split=choice.split,
            prompts=choice.prompts,
            sample=choice.sample,
            seed=choice.seed,
            budgets=self._budgets,
            files=file_hashes(files, self._data),
            questions=tuple(listed),
            model=resolved.card.name,
            model_identity=model_identity(resolved),
            request=_stated(self._request, resolved),
        )
        began = self._env.now().isoformat()
        record = RunRecord(VERSION, setting, versions(), self._env.machine(), began)
        self._place.claim(record)
        return iter(prepared)

    def _asked(
        self,
        budget_tokens: int | None,
        kept: dict[str, tuple[Answered, int | None]],
        judge: Judge,
        screen: RunScreen,
    ) -> tuple[dict[str, Answered], float]:
        """Ask the questions that `kept` has no answer for; return their records and seconds."""
        work = self._batches[budget_tokens]
        open_questions = [one for one in self.questions if one.item.id not in kept]
        path = self._place.answers(budget_tokens, several=len(self._budgets) > 1)
        ledger = open_ledger(path, lambda record: self._choice.retry_errors and is_error(record))
        scored = partial(self._score, judge)
        tally = Tally(scored, {str(one.item.id): one for one in self.questions})
        control = Control()
        interrupts = Interrupts(control, can_conclude=False)
        try:
            tally.add(map(answered, ledger.records()))
            screen.noted(tally.text)
            with handled(interrupts), awake(self._env.environ):
                items = [one.item for one in open_questions]
                _followed(work.ask_all(items, ledger, control), tally, screen)
            records = list(ledger.records())
        finally:
            screen.close()
            ledger.close()
        found = {one.id: one for one in map(answered, records)}
        if control.stopping and len(found) < len(open_questions):
            text = f"stopped; {len(found):,} of {len(open_questions):,} questions are done"
            raise ending(interrupts.ended_by, text, None)
        return found, sum(map(_seconds, records))

    def _score(self, judge: Judge, question: Prepared, said: Answered) -> Score:
        """Judge an answer, once."""
        key = said.id, said.answer or ""
        if key not in self._scores:
            self._scores[key] = judge.score(question.gold, said.answer or "")
        return self._scores[key]

    def _judged(
        self,
        budget_tokens: int | None,
        answers: dict[str, tuple[Answered, int | None]],
        judge: Judge,
        seconds: float,
    ) -> Evaluated:
        """Judge every answer, and write the results in the data set's order."""
        results = []
        for one in self.questions:
            said, asked_with = answers[str(one.item.id)]
            results.append(result_of(said, one.strata, self._score(judge, one, said), asked_with))
        path = self._place.scores(budget_tokens, several=len(self._budgets) > 1)
        self._place.write_results(path, results)
        return Evaluated(budget_tokens, tuple(results), seconds)


def versions() -> tuple[tuple[str, str], ...]:
    """Return what is installed, as far as a result can depend on it."""
    from importlib import metadata
    from platform import platform, python_version

    from qvq_mlx import __version__

    found = [("qvq", __version__), ("python", python_version()), ("system", platform())]
    for name in ("mlx", "mlx-vlm", "tokenizers", "pillow", "math-verify", "sympy"):
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append((name, "missing"))
    return tuple(found)


def _followed(steps: Iterator[Began | Event | Ended], tally: Tally, screen: RunScreen) -> None:
    """Show a batch while it runs, and judge each answer as it comes."""
    for step in steps:
        if isinstance(step, Began):
            screen.began(step.number, (str(step.item.id).replace("/", " "),))
        elif not isinstance(step, Ended):
            screen.saw(step)
        elif step.record is None:
            screen.skipped(step.number)
        else:
            said = answered(asdict(step.record))
            outcome = tally.take(said)
            screen.noted(tally.text)
            whole = said.answer is not None
            screen.ended(step.number, outcome, answered=whole, took_s=step.seconds)


def _stated(request: Request, resolved: Resolved) -> str:
    """Return what the text depends on besides the questions, the model and the budgets."""
    facts = {
        "system": resolved.system,
        "placement": request.prompt.placement,
        "image_options": [asdict(options) for options in request.image_options],
        "max_tokens": resolved.max_tokens,
        "answer_tokens": request.limits.answer_tokens,
        "sampling": asdict(resolved.sampling),
        "method": asdict(request.method),
    }
    return json.dumps(facts, sort_keys=True, ensure_ascii=False)


def drawn(outlines: list[Outline], sample: int | None, seed: int) -> list[Outline]:
    """Return a stratified sample of the questions, in their order; all of them for None."""
    if sample is None:
        return outlines
    return stratified(
        outlines, lambda outline: outline.strata, lambda outline: outline.id, sample, seed
    )


def _with_budgets(request: Request, budgets: Sequence[Budget | None]) -> list[Request]:
    """Return the request under each budget; None leaves the card's own."""
    return [
        replace(request, limits=replace(request.limits, budget=budget))
        for budget in budgets or (None,)
    ]


def _size(budget_tokens: int | None) -> float:
    return math.inf if budget_tokens is None else budget_tokens


def _seconds(record: dict[str, object]) -> float:
    stats = answered(record).stats
    return stats.first_token_s + stats.decode_s if stats else 0.0
