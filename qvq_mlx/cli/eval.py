"""`qvq eval`: a benchmark over a night, and what its number means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qvq_mlx.cli import options
from qvq_mlx.core.request import Policy, PromptOptions, Request, SamplingOverrides
from qvq_mlx.evaluate.choice import Choice, benchmark_of, budgets_of, prompts_of, split_of
from qvq_mlx.evaluate.command import carry_out
from qvq_mlx.run.groups import image_options_of, in_flight_of, limits_of

Name = Annotated[
    str, typer.Argument(metavar="mmmu|mathvista|mathvision|olympiadbench", help="The benchmark.")
]
Folder = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FOLDER", help="Answers and report; goes on there."),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="The data set; else the one that was pulled."),
]
Split = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help="Another split, such as testmini.")
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", help="A stratified sample of N questions."),
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, metavar="N", help="Of the sample and of the sampling.")
]
Budgets = Annotated[
    str | None,
    typer.Option("--budgets", metavar="N,N,...", help="A curve: accuracy under each budget."),
]
Prompts = Annotated[
    str, typer.Option("--prompts", metavar="official|vlmevalkit", help="Whose prompts.")
]
Against = Annotated[
    Path | None,
    typer.Option("--against", metavar="FOLDER", help="Compare with another evaluation."),
]
Score = Annotated[
    Path | None,
    typer.Option("--score", metavar="FILE", help="Judge outputs that were made elsewhere."),
]
Pull = Annotated[bool, typer.Option("--pull", help="Download the data set, and do nothing else.")]
AsJson = Annotated[bool, typer.Option("--json", help="The report as one JSON object on stdout.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="A line per question, on stderr.")]


def evaluate(
    context: typer.Context,
    name: Name,
    folder: Folder = None,
    data: Data = None,
    split: Split = None,
    limit: Limit = None,
    seed: Seed = 0,
    budget: options.BudgetText = None,
    think: options.ThinkOrNot = None,
    budgets: Budgets = None,
    prompts: Prompts = "official",
    against: Against = None,
    score: Score = None,
    pull: Pull = False,
    retry_errors: options.RetryErrors = False,
    as_json: AsJson = False,
    model: options.Model = None,
    system: options.System = None,
    detail: options.Detail = None,
    max_tokens: options.MaxTokens = None,
    answer_tokens: options.AnswerTokens = 1024,
    temperature: options.Temperature = None,
    vote: options.Votes = None,
    double_check: options.DoubleCheck = False,
    draft: options.Draft = "auto",
    parallel: options.Parallel = "1",
    verbose: Verbose = False,
    quiet: options.Quiet = False,
    force: options.Force = False,
    no_wait: options.NoWait = False,
    offline: options.Offline = False,
) -> None:
    """Measure a model on a benchmark, judged by rules alone.

    Run the same command again, and it goes on where it was ended. stdout gets the report.
    """
    from qvq_mlx.evaluate.session import Order

    options.exclude("qvq eval", {"-q": quiet, "-v": verbose})
    options.exclude("qvq eval", {"--budget": budget is not None, "--budgets": budgets is not None})
    options.exclude("qvq eval", {"--pull": pull, "--score": score is not None})
    kind, style = benchmark_of(name), prompts_of(prompts)
    choice = Choice(kind, data, split_of(kind, split), style, limit, seed, retry_errors)
    request = Request(
        question="",
        images=(),
        model=model or "",
        image_options=(image_options_of(detail=detail),),
        prompt=PromptOptions(system, style.placement, allow_text_only=True),
        limits=limits_of(None, answer_tokens, max_tokens, think),
        sampling=SamplingOverrides(temperature=temperature, seed=seed),
        # the published numbers are of models that saw the picture once
        method=context.obj.method(vote, double_check=double_check, look="off"),
        policy=Policy(
            draft, True, force, not no_wait, offline, server=False, in_flight=in_flight_of(parallel)
        ),
    )
    order = Order(choice, request, budgets_of(budget, budgets), folder, against, score)
    carry_out(order, context.obj, pull=pull, as_json=as_json, quiet=quiet, verbose=verbose)
