"""`qvq ask`: one question about some images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.cli.arguments import on_disk, sort
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.request import Output, OutputForm, Request, SamplingOverrides, ThinkingView

if TYPE_CHECKING:
    from qvq_mlx.core.card import ModelCard
    from qvq_mlx.core.env import Env


# One parameter per option: typer reads the command line off this signature.
def ask(
    context: typer.Context,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE]... QUESTION", hidden=True),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option("--image", "-i", metavar="FILE", help="An image, whatever its name."),
    ] = None,
    question: Annotated[
        str | None,
        typer.Option("--question", "-Q", metavar="TEXT", help="The question, whatever it spells."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="NAME", help="A model's name, folder or repository."),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option("--system", metavar="TEXT", help="Another system prompt; '' sends none."),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", min=1, metavar="N", help="Thinking and answer together."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="low|medium|high|N|none",
            help="Tokens of thinking, then the answer is asked for.",
        ),
    ] = None,
    answer_tokens: Annotated[
        int,
        typer.Option(
            "--answer-tokens", min=1, metavar="N", help="Tokens for the answer after that."
        ),
    ] = 1024,
    lang: Annotated[
        str,
        typer.Option(
            "--lang",
            metavar="auto|off|en|zh|...",
            help="Hold the answer to a language; auto: the question's.",
        ),
    ] = "auto",
    schema: Annotated[
        str | None,
        typer.Option(
            "--schema",
            metavar="FILE|JSON",
            help="Think freely, then answer in JSON that satisfies this schema.",
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option("--temp", min=0.0, metavar="T", help="0 always takes the likeliest token."),
    ] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", min=0.0, max=1.0, metavar="P", help="1: off.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", min=0, metavar="K", help="0: off.")
    ] = None,
    min_p: Annotated[
        float | None, typer.Option("--min-p", min=0.0, max=1.0, metavar="P", help="0: off.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, metavar="N", help="Same seed, same text.")
    ] = None,
    vote: Annotated[
        int | None,
        typer.Option(
            "--vote",
            min=2,
            max=16,
            metavar="N",
            help="Experimental: N samples, and the answer that most of them give.",
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Experimental: look at the image again and check the answer."
        ),
    ] = False,
    draft: Annotated[
        str,
        typer.Option(
            "--draft",
            metavar="auto|none|lookup|NAME",
            help="Who guesses tokens ahead; the text stays the same.",
        ),
    ] = "auto",
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither read nor keep what an image cost before.")
    ] = False,
    no_save: Annotated[
        bool, typer.Option("--no-save", help="Leave nothing of this run in the history.")
    ] = False,
    thinking: Annotated[
        ThinkingView | None,
        typer.Option("--thinking", help="How much of the thinking is shown."),
    ] = None,
    no_thinking: Annotated[
        bool, typer.Option("-R", help="Show none of it (--thinking none).")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout at the end.")
    ] = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="One JSON object per event, as it happens.")
    ] = False,
    boxed: Annotated[
        bool, typer.Option("-x", help="Only the last boxed value, else the answer.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write there, not to stdout."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="A line per stage, on stderr.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only on stderr.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Run a model that does not fit in memory.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Fail where another qvq has a big model loaded.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Refuse every network connection.")
    ] = False,
) -> int:
    """Ask one question about one or more images.

    IMAGE is a file, or `-` for one from stdin. What looks like a file is an image, whether it
    exists or not; everything else is the QUESTION. -i and -Q say which is which.
    """
    from qvq_mlx import config  # not before: `qvq --help` reads this module
    from qvq_mlx.cli.choose import model_for
    from qvq_mlx.cli.run import run
    from qvq_mlx.cli.schema import read_schema
    from qvq_mlx.guards.budget import parse_budget
    from qvq_mlx.guards.language import parse_lang

    env: Env = context.obj
    settings = config.read(env)
    settings = replace(settings, save=settings.save and not no_save)
    _exclude({"-R": no_thinking, "--thinking": thinking is not None})
    _exclude({"--json": as_json, "--jsonl": as_jsonl, "-x": boxed})
    _exclude({"-q": quiet, "-v": verbose})
    if offline:
        env.forbid_network()
    images, text = _inputs(arguments or [], image or [], question)
    request = Request(
        question=text,
        images=images,
        model=model_for(env, settings, model, partial(_pull, env)),
        system=system,
        max_tokens=max_tokens,
        sampling=SamplingOverrides(temperature, top_p, top_k, min_p, seed),
        lang=parse_lang(lang),
        schema="" if schema is None else read_schema(schema),
        draft=draft,
        use_cache=not no_cache,
        force=force,
        wait=not no_wait,
        budget=None if budget is None else parse_budget(budget),
        answer_tokens=answer_tokens,
        votes=vote or 1,
        verify=verify,
    )
    form = OutputForm.JSON if as_json else OutputForm.JSONL if as_jsonl else OutputForm.TEXT
    view = ThinkingView.NONE if no_thinking else thinking
    if view is None and env.stdout.isatty() and form is OutputForm.TEXT and not (file or quiet):
        view = settings.view  # the config file speaks of the screen, not of pipes and files
    output = Output(form, view, boxed, file, verbose, quiet)
    return run(request, output, env, settings)


def _pull(env: Env, card: ModelCard) -> None:
    """Fetch a model that a person said yes to, its licence included."""
    from qvq_mlx.cli.pull import Wish, run

    run(Wish(card.name, yes=True), env)


def _inputs(
    arguments: list[str], images: list[str], question: str | None
) -> tuple[tuple[str, ...], str]:
    """The images in the order of the prompt, and the question. Raises UsageError."""
    if question is not None:
        if not question.strip():
            raise UsageError("the question is empty", 'qvq ask IMAGE "question"')
        # the question is named, so everything else is an image
        return (*images, *arguments), question
    found = sort(arguments, on_disk)
    if found.question is None:
        raise UsageError("no question is given", 'qvq ask IMAGE "question"')
    return (*images, *found.images), found.question


def _exclude(options: dict[str, bool]) -> None:
    """Refuse options that contradict each other, by name."""
    given = [name for name, is_given in options.items() if is_given]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} exclude each other", "qvq ask --help")
