"""`qvq chat`: questions and answers about images, with the model loaded once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.cli import options
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.request import Output, Request

if TYPE_CHECKING:
    from qvq_mlx.core.env import Env


# One parameter per option: typer reads the command line off this signature.
def chat(
    context: typer.Context,
    images: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE]...", hidden=True)] = None,
    model: options.Model = None,
    system: options.System = None,
    budget: options.BudgetText = None,
    max_tokens: options.MaxTokens = None,
    detail: options.Detail = None,
    thinking: options.ViewOfThinking = None,
    draft: options.Draft = "auto",
    no_cache: options.NoCache = False,
    no_save: options.NoSave = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A line per stage.")] = False,
    force: options.Force = False,
    no_wait: options.NoWait = False,
    offline: options.Offline = False,
) -> int:
    """Talk about images: one question after the other, with the model loaded once.

    Needs a terminal. /help lists the commands there, /image adds an image, Ctrl-C stops an
    answer, Ctrl-D leaves. Every question is saved as a run of its own.
    """
    from qvq_mlx.chat.loop import Talk
    from qvq_mlx.core.image_options import Detail, ImageOptions, parse_detail
    from qvq_mlx.guards.budget import parse_budget
    from qvq_mlx.run.choose import model_for
    from qvq_mlx.settings import config  # not before: `qvq --help` reads this module

    env: Env = context.obj
    if not (env.stdin.isatty() and env.stdout.isatty()):
        raise UsageError(
            "qvq chat needs a terminal on stdin and stdout", 'qvq ask IMAGE "question"'
        )
    settings = config.read(env)
    if no_save:
        settings = replace(settings, save=False)
    if offline or settings.offline:
        env.forbid_network()
    base = Request(
        question="",
        images=(),
        model=model_for(env, settings, model),
        system=system,
        max_tokens=max_tokens,
        budget=None if budget is None else parse_budget(budget),
        draft=draft,
        use_cache=not no_cache,
        force=force,
        wait=not no_wait,
        looks=(ImageOptions(detail=Detail.AUTO if detail is None else parse_detail(detail)),),
        offline=offline,
    )
    output = Output(view=thinking or settings.view, verbose=verbose)
    talk = Talk(env, settings, base, output)
    talk.begin(images or [])
    return talk.run()
