"""`qvq chat`: questions and answers about images, with the model loaded once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.cli import options
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Ask
from qvq_mlx.core.request import Limits, Output, Policy, PromptOptions, Request

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def chat(
    context: typer.Context,
    images: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE]...", hidden=True)] = None,
    model: options.Model = None,
    system: options.System = None,
    budget: options.BudgetText = None,
    think: options.ThinkOrNot = None,
    max_tokens: options.MaxTokens = None,
    detail: options.Detail = None,
    thinking: options.ViewOfThinking = None,
    draft: options.Draft = "auto",
    no_cache: options.NoCache = False,
    no_save: options.NoSave = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A line per stage.")] = False,
    force: options.Force = False,
    no_wait: options.NoWait = False,
    no_server: options.NoServer = False,
    offline: options.Offline = False,
) -> int:
    """Talk about images, question by question, the model loaded once.

    Needs a terminal. /help lists the commands there, /image adds an image, Ctrl-C stops an
    answer, Ctrl-D leaves. Every question is saved as a run of its own.
    """
    from qvq_mlx.chat.loop import Talk
    from qvq_mlx.run.choose import addressed
    from qvq_mlx.run.groups import image_options_of

    world: World = context.obj
    env = world.env
    if not (env.stdin.isatty() and env.stdout.isatty()):
        raise UsageError("qvq chat needs a terminal on stdin and stdout", Ask())
    settings = world.settings
    base = Request(
        question="",
        images=(),
        model=model or "",
        image_options=(image_options_of(detail=detail),),
        prompt=PromptOptions(system),
        limits=world.limits(budget, Limits().answer_tokens, max_tokens, think),
        method=world.method(),
        policy=Policy(draft, not no_cache, force, not no_wait, offline, not no_save, not no_server),
    )
    output = Output(view=thinking or settings.view, verbose=verbose)
    talk = Talk(env, settings, addressed(env, settings, base), output)
    talk.begin(images or [])
    return talk.run()
