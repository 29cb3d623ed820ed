"""`qvq ask`: one question about some images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.cli.arguments import on_disk, sort
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.look import Look, Pages, parse_pages
from qvq_mlx.core.request import Output, OutputForm, Request, SamplingOverrides, ThinkingView

if TYPE_CHECKING:
    from qvq_mlx.chat.following import Past
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
    page: Annotated[
        str | None,
        typer.Option(
            "--page", metavar="N[-M],...", help="Pages of a PDF or TIFF, frames of an animation."
        ),
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
    fps: Annotated[
        float | None,
        typer.Option("--fps", metavar="F", help="Of a video: frames a second (2)."),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option("--frames", min=1, metavar="N", help="Of a video: frames in all."),
    ] = None,
    span: Annotated[
        str | None,
        typer.Option("--span", metavar="3s-12s|0:03-0:12", help="Of a video: this part only."),
    ] = None,
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
    boxes: Annotated[
        bool,
        typer.Option("--boxes", help="JSON: boxes and points, in the images' own pixels."),
    ] = False,
    annotate: Annotated[
        Path | None,
        typer.Option("--annotate", metavar="OUT.png", help="Draw them on the image, as this file."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Show the image with them in the terminal.")
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
    detail: Annotated[
        list[str] | None,
        typer.Option(
            "--detail",
            metavar="low|auto|high|max|N",
            help="Image tokens: 256, about 1,280, 2,560, the model's own maximum, or a number;"
            " once, or once per image.",
        ),
    ] = None,
    crop: Annotated[
        list[str] | None,
        typer.Option(
            "--crop",
            metavar="X,Y,W,H",
            help="Show this part only, in pixels or in percent (10%,10%,50%,50%);"
            " once, or once per image.",
        ),
    ] = None,
    background: Annotated[
        str,
        typer.Option("--background", metavar="COLOUR", help="Under what is transparent."),
    ] = "white",
    offline: Annotated[
        bool, typer.Option("--offline", help="Refuse every network connection.")
    ] = False,
    follow: Annotated[
        bool,
        typer.Option("--continue", "-c", help="A follow-up of the last run; -c ID: of that run."),
    ] = False,
    no_save: Annotated[
        bool, typer.Option("--no-save", help="Keep nothing of this run in the history.")
    ] = False,
) -> int:
    """Ask one question about one or more images.

    IMAGE is a file, a pattern, an https address, `-` for stdin, `clip` for the clipboard or
    `screen` for a part of the screen; some models take a video too. What looks like one of these is
    an image, whether it exists or not; everything else is the QUESTION. -i and -Q say which is
    which. Text that is piped in follows the question.

    -c goes on from the last run: its pictures, its model and what was said. Where the first
    argument is the id of a run, it goes on from that one. More images may be added.
    """
    from qvq_mlx import config  # not before: `qvq --help` reads this module
    from qvq_mlx.cli.choose import model_for
    from qvq_mlx.cli.piped import asked
    from qvq_mlx.cli.run import run
    from qvq_mlx.cli.schema import read_schema
    from qvq_mlx.cli.span import parse_frames
    from qvq_mlx.core.look import looks_for
    from qvq_mlx.guards.budget import parse_budget
    from qvq_mlx.guards.language import parse_lang

    env: Env = context.obj
    settings = config.read(env)
    _exclude({"-R": no_thinking, "--thinking": thinking is not None})
    _exclude({"--json": as_json, "--jsonl": as_jsonl, "-x": boxed, "--boxes": boxes})
    _exclude({"-q": quiet, "-v": verbose})
    if offline or settings.offline:
        env.forbid_network()
    if no_save:
        settings = replace(settings, save=False)
    past: Past | None = None
    if follow:
        from qvq_mlx.chat.following import past_of, run_of

        earlier, arguments = run_of(arguments or [], settings.history_folder)
        past = past_of(earlier, settings.history_folder)
    images, text = _inputs(arguments or [], image or [], question)
    sent = asked(text, env, stdin_is_image="-" in images)
    plain = Look(
        pages=Pages() if page is None else parse_pages(page),
        background=background,
        frames=parse_frames(fps, frames, span),
    )
    request = Request(
        question=sent.question,
        images=images,
        model=model_for(
            env, settings, model or (past.model if past else None), partial(_pull, env)
        ),
        system=past.system_for(model) if past and system is None else system,
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
        rounds=past.rounds if past else (),
        earlier=past.shown if past else (),
        follows=past.id if past else None,
        piped_characters=sent.piped_characters,
        looks=looks_for(images, detail or [], crop or [], plain),
        offline=offline,
    )
    form = OutputForm.JSON if as_json else OutputForm.JSONL if as_jsonl else OutputForm.TEXT
    form = OutputForm.BOXES if boxes else form
    view = ThinkingView.NONE if no_thinking else thinking
    if view is None and env.stdout.isatty() and form is OutputForm.TEXT and not (file or quiet):
        view = settings.view  # the config file speaks of the screen, not of pipes and files
    output = Output(form, view, boxed, file, verbose, quiet, annotate, show)
    return run(request, output, env, settings)


def _pull(env: Env, card: ModelCard) -> None:
    """Fetch a model that a person said yes to, its licence included."""
    from qvq_mlx.cli.pull import Wish, run

    run(Wish(card.name, yes=True), env)


def _inputs(
    arguments: list[str], images: list[str], question: str | None
) -> tuple[tuple[str, ...], str | None]:
    """The images in the order of the prompt, and the question, if any. Raises UsageError."""
    if question is not None:
        if not question.strip():
            raise UsageError("the question is empty", 'qvq ask IMAGE "question"')
        # the question is named, so everything else is an image
        return (*images, *arguments), question
    found = sort(arguments, on_disk)
    return (*images, *found.images), found.question


def _exclude(options: dict[str, bool]) -> None:
    """Refuse options that contradict each other, by name."""
    given = [name for name, is_given in options.items() if is_given]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} exclude each other", "qvq ask --help")
