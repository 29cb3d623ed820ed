"""`qvq batch`: many pictures, many questions, one load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.cli import options
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import AskMany
from qvq_mlx.core.request import Policy, PromptOptions, Request, SamplingOverrides

if TYPE_CHECKING:
    from qvq_mlx.run.world import World

_HINT = 'qvq batch IMAGE... -Q "question" -o out.jsonl'


# One parameter per option: typer reads the command line off this signature.
def batch(
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...", help="Images, and folders of images."),
    ] = None,
    questions: Annotated[
        list[str] | None,
        typer.Option("--question", "-Q", metavar="TEXT", help="May be given several times."),
    ] = None,
    items: Annotated[
        str | None,
        typer.Option(
            "--items", metavar="FILE", help='JSON Lines: {"image": …, "question": …}; - is stdin.'
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Append there; what is done is kept."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="In the end, the same records as a table."),
    ] = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Ask again what could not be asked before.")
    ] = False,
    page: options.Pages = None,
    detail: options.Detail = None,
    crop: options.Crop = None,
    background: options.Background = "white",
    model: options.Model = None,
    system: options.System = None,
    max_tokens: options.MaxTokens = None,
    budget: options.BudgetText = None,
    answer_tokens: options.AnswerTokens = 1024,
    lang: options.Lang = "auto",
    schema: options.Schema = None,
    temperature: options.Temperature = None,
    seed: options.Seed = None,
    vote: options.Votes = None,
    draft: options.Draft = "auto",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="A line per item, on stderr.")
    ] = False,
    quiet: options.Quiet = False,
    force: options.Force = False,
    no_wait: options.NoWait = False,
    offline: options.Offline = False,
) -> int:
    """Ask the same questions about many images, or each its own, with one load.

    The output has one JSON object per question and image. Run the same command again, and it goes
    on where it was ended, by whatever. Exit code 0 where every item has an answer.
    """
    from qvq_mlx.batch import Batch
    from qvq_mlx.batch.items import read_items
    from qvq_mlx.batch.run import Target, failure, run, summary
    from qvq_mlx.cli.groups import image_options_of, limits_of, method_of
    from qvq_mlx.core.remedies import Field
    from qvq_mlx.render.batched import BatchProgress
    from qvq_mlx.run.choose import model_for
    from qvq_mlx.run.outputs import check_outputs, outputs_of

    world: World = context.obj
    env, settings = world.env, world.settings
    options.exclude("qvq batch", {"-q": quiet, "-v": verbose})
    for name, given in (("--retry-errors", retry_errors), ("--csv", table is not None)):
        if given and file is None:
            raise UsageError(f"{name} needs the file of -o", AskMany())
    outputs = outputs_of(((Field.OUTPUT, file), (Field.CSV, table)))
    check_outputs(outputs, (), env, options.files(items, schema))
    found = read_items(env, paths or [], questions or [], items)
    request = Request(
        question="",
        images=(),
        model=model_for(env, settings, model),
        image_options=(image_options_of(page, background, detail=detail, crop=crop),),
        prompt=PromptOptions(system),
        limits=limits_of(budget, answer_tokens, max_tokens),
        sampling=SamplingOverrides(temperature=temperature, seed=seed),
        method=method_of(vote, schema, lang),
        policy=Policy(draft=draft, force=force, wait=not no_wait, offline=offline),
    )
    lines = verbose or (file is None and env.stdout.isatty())
    screen = BatchProgress(env, len(found), quiet=quiet, lines=lines)
    target = Target(file, table, retry_errors)
    counts = run(Batch(request, env, settings), found, target, env, screen)
    if file is not None:
        screen.summed_up(summary(counts, file))
    if (error := failure(counts, file)) is not None:
        raise error
    return 0
