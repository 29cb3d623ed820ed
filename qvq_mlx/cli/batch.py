"""`qvq batch`: many pictures, many questions, one load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.batch.items import read_items
from qvq_mlx.cli import options
from qvq_mlx.core.request import Policy, PromptOptions, Request, SamplingOverrides
from qvq_mlx.run.choose import addressed
from qvq_mlx.run.groups import files_of, image_options_of, in_flight_of

if TYPE_CHECKING:
    from qvq_mlx.run.world import World

Paths = Annotated[
    list[str] | None, typer.Argument(metavar="[PATH]...", help="Images, and folders of images.")
]
Questions = Annotated[
    list[str] | None,
    typer.Option("--question", "-Q", metavar="TEXT", help="May be given several times."),
]
Items = Annotated[
    str | None,
    typer.Option(
        "--items", metavar="FILE", help='JSON Lines: {"image": …, "question": …}; - is stdin.'
    ),
]
Records = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Append there; what is done is kept."),
]
Table = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="In the end, the same records as a table."),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="In the end, a line of counts and of what folders hold besides."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="A line per item, on stderr.")]


def batch(
    context: typer.Context,
    paths: Paths = None,
    questions: Questions = None,
    items: Items = None,
    file: Records = None,
    table: Table = None,
    retry_errors: options.RetryErrors = False,
    page: options.Pages = None,
    detail: options.Detail = None,
    crop: options.Crop = None,
    background: options.Background = "white",
    model: options.Model = None,
    system: options.System = None,
    max_tokens: options.MaxTokens = None,
    budget: options.BudgetText = None,
    think: options.ThinkOrNot = None,
    answer_tokens: options.AnswerTokens = 1024,
    lang: options.Lang = "auto",
    schema: options.Schema = None,
    temperature: options.Temperature = None,
    seed: options.Seed = None,
    vote: options.Votes = None,
    draft: options.Draft = "auto",
    parallel: options.Parallel = "1",
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: options.Quiet = False,
    force: options.Force = False,
    no_wait: options.NoWait = False,
    no_server: options.NoServer = False,
    offline: options.Offline = False,
) -> int:
    """Ask about many images, one by one, the model loaded once.

    The same questions about all, or each its own; one JSON object per question and image. Run it
    again, and it goes on where it was ended, by whatever. Exit code 0: every item has an answer.
    """
    from qvq_mlx.batch import Batch
    from qvq_mlx.batch.command import Shown, carry_out, target_of

    world: World = context.obj
    options.exclude("qvq batch", {"-q": quiet, "-v": verbose})
    target = target_of(file, table, files_of(items, schema), world.env, retry=retry_errors)
    request = Request(
        question="",
        images=(),
        model=model or "",
        image_options=(image_options_of(page, background, detail=detail, crop=crop),),
        prompt=PromptOptions(system),
        limits=world.limits(budget, answer_tokens, max_tokens, think),
        sampling=SamplingOverrides(temperature=temperature, seed=seed),
        method=world.method(vote, schema, lang, look="off"),
        policy=Policy(
            draft, True, force, not no_wait, offline, True, not no_server, in_flight_of(parallel)
        ),
    )
    work = Batch(addressed(world.env, world.settings, request), world.env, world.settings)
    found = read_items(world.env, paths or [], questions or [], items, videos=work.takes_video)
    return carry_out(world, work, found, target, Shown(quiet, verbose, as_json))
