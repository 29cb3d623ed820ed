"""`qvq ask`: one question about some images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.cli import options
from qvq_mlx.cli.arguments import sort
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.image_names import on_disk
from qvq_mlx.core.remedies import Ask
from qvq_mlx.core.request import (
    Origin,
    Output,
    OutputForm,
    Policy,
    PromptOptions,
    Request,
    SamplingOverrides,
    ThinkingView,
)

if TYPE_CHECKING:
    from qvq_mlx.core.card import ModelCard
    from qvq_mlx.run.following import Past
    from qvq_mlx.run.world import World
    from qvq_mlx.settings.config import Settings


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
    page: options.Pages = None,
    detail: options.Details = None,
    crop: options.Crops = None,
    background: options.Background = "white",
    fps: options.Fps = None,
    frames: options.FrameCount = None,
    span: options.Span = None,
    model: options.Model = None,
    system: options.System = None,
    max_tokens: options.MaxTokens = None,
    budget: options.BudgetText = None,
    answer_tokens: options.AnswerTokens = 1024,
    lang: options.Lang = "auto",
    schema: options.Schema = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    min_p: options.MinP = None,
    seed: options.Seed = None,
    vote: options.Votes = None,
    double_check: options.DoubleCheck = False,
    verify: options.Verify = False,
    draft: options.Draft = "auto",
    no_cache: options.NoCache = False,
    thinking: options.ViewOfThinking = None,
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
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    force: options.Force = False,
    no_wait: options.NoWait = False,
    offline: options.Offline = False,
    follow: Annotated[
        bool,
        typer.Option("--continue", "-c", help="A follow-up of the last run; -c ID: of that run."),
    ] = False,
    no_save: options.NoSave = False,
) -> int:
    """Ask one question about one or more images.

    IMAGE is a file, a pattern, an https address, `-` for stdin, `clip` for the clipboard or
    `screen` for a part of the screen; some models take a video too. What looks like one of these is
    an image, whether it exists or not; everything else is the QUESTION. -i and -Q say which is
    which. Text that is piped in follows the question.

    -c goes on from the last run: its pictures, its model and what was said. Where the first
    argument is the id of a run, it goes on from that one. More images may be added.
    """
    from qvq_mlx.cli.groups import image_options_of, limits_of, method_of
    from qvq_mlx.cli.span import parse_frames
    from qvq_mlx.core.image_options import image_options_for
    from qvq_mlx.core.remedies import Field
    from qvq_mlx.run.choose import model_for
    from qvq_mlx.run.outputs import check_outputs, outputs_of
    from qvq_mlx.run.piped import asked
    from qvq_mlx.run.show import run

    world: World = context.obj
    env, settings = world.env, world.settings
    options.exclude("qvq ask", {"-R": no_thinking, "--thinking": thinking is not None})
    options.exclude(
        "qvq ask", {"--json": as_json, "--jsonl": as_jsonl, "-x": boxed, "--boxes": boxes}
    )
    options.exclude("qvq ask", {"-q": quiet, "-v": verbose})
    past, arguments = _past(arguments or [], settings) if follow else (None, arguments or [])
    images, text = _inputs(arguments, image or [], question)
    sent = asked(text, env, stdin_is_image="-" in images)
    plain = image_options_of(page, background, frames=parse_frames(fps, frames, span))
    named = model or (past.model if past else None)
    request = Request(
        question=sent.question,
        images=images,
        model=model_for(env, settings, named, partial(_pull, world)),
        image_options=image_options_for(images, detail or [], crop or [], plain),
        rounds=past.rounds if past else (),
        earlier=past.shown if past else (),
        prompt=PromptOptions(past.system_for(model) if past and system is None else system),
        limits=limits_of(budget, answer_tokens, max_tokens),
        sampling=SamplingOverrides(temperature, top_p, top_k, min_p, seed),
        method=method_of(vote, schema, lang, double_check=double_check or verify),
        policy=Policy(draft, not no_cache, force, not no_wait, offline, not no_save),
        origin=Origin(past.id if past else None, piped_characters=sent.piped_characters),
    )
    form = _form(as_json=as_json, as_jsonl=as_jsonl, boxes=boxes)
    view = ThinkingView.NONE if no_thinking else thinking
    if view is None and env.stdout.isatty() and form is OutputForm.TEXT and not (file or quiet):
        view = settings.view  # the config file speaks of the screen, not of pipes and files
    output = Output(form, view, boxed, file, verbose, quiet, annotate, show)
    outputs = outputs_of(((Field.OUTPUT, file), (Field.ANNOTATE, annotate)))
    check_outputs(outputs, (), env, options.files(schema))
    return run(request, output, env, settings)


def _form(*, as_json: bool, as_jsonl: bool, boxes: bool) -> OutputForm:
    if boxes:
        return OutputForm.BOXES
    if as_json:
        return OutputForm.JSON
    return OutputForm.JSONL if as_jsonl else OutputForm.TEXT


def _past(arguments: list[str], settings: Settings) -> tuple[Past, list[str]]:
    """What `-c` goes on from, and what is left of the arguments. Raises InputError."""
    from qvq_mlx.run.following import past_of, run_of

    earlier, rest = run_of(arguments, settings.history_folder)
    return past_of(earlier, settings.history_folder), rest


def _pull(world: World, card: ModelCard) -> None:
    """Fetch a model that a person said yes to, its licence included."""
    from qvq_mlx.cli.pull import run
    from qvq_mlx.run.pull import Wish

    run(Wish(card.name, yes=True), world)


def _inputs(
    arguments: list[str], images: list[str], question: str | None
) -> tuple[tuple[str, ...], str | None]:
    """The images in the order of the prompt, and the question, if any. Raises UsageError."""
    if question is not None:
        if not question.strip():
            raise UsageError("the question is empty", Ask())
        # the question is named, so everything else is an image
        return (*images, *arguments), question
    found = sort(arguments, on_disk)
    return (*images, *found.images), found.question
