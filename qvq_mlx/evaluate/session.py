"""An evaluation from its choice to its report: what a front end calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from qvq_mlx.core.card import Thinking
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import InputError, UsageError
from qvq_mlx.core.remedies import EvaluateModel, Field
from qvq_mlx.core.request import Budget, Request
from qvq_mlx.evaluate import datasets
from qvq_mlx.evaluate.choice import Choice
from qvq_mlx.evaluate.curve import as_png, curve_of
from qvq_mlx.evaluate.elsewhere import answers_in
from qvq_mlx.evaluate.folder import RunFolder, RunRecord, Setting, asked, file_hashes
from qvq_mlx.evaluate.judge import Judge, check_installed
from qvq_mlx.evaluate.markdown import as_bars, as_markdown
from qvq_mlx.evaluate.pull import pulled_folder
from qvq_mlx.evaluate.report import Report, compared, reported
from qvq_mlx.evaluate.result import VERSION, Result, result_of
from qvq_mlx.evaluate.run import Evaluation, RunScreen, versions
from qvq_mlx.run.choose import model_for
from qvq_mlx.run.outputs import NamedFile, check_outputs, checkpoint_files
from qvq_mlx.run.plan import resolve
from qvq_mlx.run.split import thinking_style
from qvq_mlx.settings.config import Settings


@dataclass(frozen=True, slots=True)
class Order:
    """An evaluation as it was asked for.

    `folder` is where answers and report go; `against` the folder of another evaluation, to compare
    with. `score`: a file of outputs made elsewhere, judged instead of asking the model; the model
    of `request`, if one is named, says how answer and thinking are told apart in them.
    """

    choice: Choice
    request: Request
    budgets: Sequence[Budget | None]
    folder: Path | None = None
    against: Path | None = None
    score: Path | None = None


def carry_out(
    order: Order, env: Env, settings: Settings, screen: Callable[[int], RunScreen]
) -> tuple[Report, str]:
    """Evaluate, or judge what was made elsewhere; return the report and its curve as text.

    `screen` makes what shows a run over so many questions. Raises the QvqError that ended the run.
    """
    check_installed()
    choice = order.choice
    data = choice.folder.expanduser() if choice.folder else None
    folder = data or pulled_folder(choice.benchmark, settings.hub_cache)
    choice = replace(choice, folder=folder)
    place = RunFolder(order.folder.expanduser()) if order.folder else None
    if order.score is not None:
        if place is not None:
            _check_outputs(order, place, [*_files_in(folder), order.score.expanduser()], env)
        thinking = thinking_style(order.request.model or "qvq")
        return _scored(choice, order.score.expanduser(), thinking, place, env)
    if place is None:
        missing = (Field.OUTPUT, " is missing: the folder for answers and report")
        raise UsageError(missing, EvaluateModel(choice.benchmark))
    request = replace(order.request, model=model_for(env, settings, order.request.model or None))
    read = [*_files_in(folder), *checkpoint_files(resolve(request, settings))]
    if order.against is not None:
        read += _files_in(order.against.expanduser())
    _check_outputs(order, place, read, env)
    other = None if order.against is None else _other_results(order.against.expanduser())
    work = Evaluation(choice, folder, request, order.budgets, place, env, settings)
    evaluated = work.run(lambda: screen(len(work.questions)))
    first = evaluated[0].results
    comparison = None
    if other is not None:
        comparison = compared(str(order.against), other, str(order.folder), first)
    parts = [(one.budget_tokens, one.results, one.seconds) for one in evaluated]
    report = reported(place.record(), parts, comparison)
    return report, _written(place, report, first)


def as_text(report: Report, curve: str = "") -> str:
    """Return the report as Markdown, and below it the curve where there is one."""
    return as_markdown(report) + (f"\n{curve}" if curve else "")


def as_json(report: Report) -> str:
    """Return the report as one JSON object; of the questions their number alone."""
    document = asdict(report)
    document["run"]["setting"]["questions"] = len(report.run.setting.questions)
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _check_outputs(order: Order, place: RunFolder, read: Sequence[Path], env: Env) -> None:
    """Raise UsageError where a file that is read would be replaced."""
    written = place.written(scored_only=order.score is not None)
    check_outputs([NamedFile(Field.OUTPUT, path) for path in written], (), env, read)


def _files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _scored(
    choice: Choice, file: Path, thinking: Thinking, place: RunFolder | None, env: Env
) -> tuple[Report, str]:
    """Judge outputs made elsewhere; write results and report where there is a place for them.

    Raises InputError for an answer to a question that the data set does not have.
    """
    assert choice.folder is not None, "carry_out() found one"
    answers = answers_in(file, thinking)
    kind = choice.benchmark
    files = datasets.files_of(kind, choice.folder, choice.split)
    results: list[Result] = []
    listed = []
    with Judge() as judge:
        found = datasets.questions(kind, files, choice.folder, answers.keys(), choice.prompts)
        for question in found:
            said = answers[question.id]
            outcome = judge.score(question.gold, said.answer or "")
            results.append(result_of(said, question.strata, outcome, None))
            listed.append(asked(question))
    unknown = answers.keys() - {result.id for result in results}
    if unknown:
        raise InputError(f"{file}: {kind} has no question {min(unknown)!r} in its {choice.split}")
    setting = Setting(
        benchmark=kind,
        split=choice.split,
        prompts=choice.prompts,
        sample=None,
        seed=0,
        budgets=(None,),
        files=file_hashes(files, choice.folder),
        questions=tuple(listed),
        model=file.name,
        model_identity="made elsewhere",
        request="{}",
    )
    run = RunRecord(VERSION, setting, versions(), env.machine(), env.now().isoformat())
    report = reported(run, [(None, results, 0.0)])
    if place is None:
        return report, ""
    place.claim(run)
    place.write_results(place.scores(None, several=False), results)
    return report, _written(place, report, results)


def _written(place: RunFolder, report: Report, results: Sequence[Result]) -> str:
    """Write the report in its three forms; return its curve as lines of text."""
    axis, shares = curve_of(report, results)
    setting = report.run.setting
    place.write(place.report, as_markdown(report))
    place.write(place.report_json, as_json(report))
    place.write(place.curve, as_png(setting.benchmark, setting.model, axis, shares))
    return f"{axis}\n{as_bars(shares)}"


def _other_results(folder: Path) -> list[Result]:
    """Return the results of another evaluation, under its largest budget."""
    place = RunFolder(folder)
    budgets = place.record().setting.budgets
    return place.results(place.scores(budgets[0], several=len(budgets) > 1))
