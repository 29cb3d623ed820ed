"""`qvq ask`: one question about some images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.cli import options
from qvq_mlx.cli.arguments import sort
from qvq_mlx.cli.slips import WITHOUT_COMMAND, check_slip
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.image_names import on_disk
from qvq_mlx.core.remedies import Ask
from qvq_mlx.core.request import Output, OutputForm, Policy, ThinkingView
from qvq_mlx.run.groups import files_of, frames_of, reading, sampling_of
from qvq_mlx.run.question import Given, Sources, ask_as_typed

if TYPE_CHECKING:
    from qvq_mlx.core.card import ModelCard
    from qvq_mlx.run.world import World

HELP = """Ask one question about one or more images.

IMAGE is a file, a pattern, an https address, `-` for stdin, `clip` for the clipboard or
`screen` for a part of the screen; some models take a video too. What looks like one of these is
an image, whether it exists or not; everything else is the QUESTION. -i and -Q say which is
which. Text that is piped in follows the question.

-c goes on from the last run: its pictures, its model and what was said. Where the first
argument is the id of a run, it goes on from that one. More images may be added.
"""


Short = Annotated[str, typer.Option(WITHOUT_COMMAND, hidden=True)]


# One parameter per option: typer reads the command line off this signature.
def ask(
    context: typer.Context,
    arguments: options.Arguments = None,
    image: options.Images = None,
    question: options.Question = None,
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
    think: options.ThinkOrNot = None,
    answer_tokens: options.AnswerTokens = 1024,
    lang: options.Lang = "auto",
    schema: options.Schema = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    min_p: options.MinP = None,
    penalty: options.Penalty = None,
    seed: options.Seed = None,
    vote: options.Votes = None,
    look: options.Look = "auto",
    double_check: options.DoubleCheck = False,
    draft: options.Draft = "auto",
    no_cache: options.NoCache = False,
    thinking: options.ViewOfThinking = None,
    no_thinking: options.NoThinking = False,
    as_json: options.Json = False,
    as_jsonl: options.Jsonl = False,
    boxed: options.Boxed = False,
    boxes: options.Boxes = False,
    annotate: options.Annotate = None,
    show: options.ShowImage = False,
    file: options.OutputFile = None,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    force: options.Force = False,
    no_wait: options.NoWait = False,
    no_server: options.NoServer = False,
    offline: options.Offline = False,
    follow: options.Follow = False,
    no_save: options.NoSave = False,
    short: Short = "",
) -> int:
    """Ask one question; `HELP` is what people read."""
    see, form = _see(thinking, no_thinking, quiet, verbose), _form(as_json, as_jsonl, boxed, boxes)
    output = Output(form, see, boxed, file, verbose, quiet, annotate, show)
    sources = Sources(arguments or [], image or [], question, follow, files_of(schema), short)
    read = reading(page, background, detail, crop, frames_of(fps, frames, span), context.obj.detail)
    method = context.obj.method(vote, schema, lang, double_check=double_check, look=look)
    policy = Policy(draft, not no_cache, force, not no_wait, offline, not no_save, not no_server)
    how = (sampling_of(temperature, top_p, top_k, min_p, seed, penalty), method, policy)
    given = Given(model, system, context.obj.limits(budget, answer_tokens, max_tokens, think), *how)
    return ask_as_typed(context.obj, sources, given, read, output, _inputs, _pull)


def _inputs(sources: Sources, arguments: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """The images in the order of the prompt, and the question, if any. Raises UsageError."""
    if sources.question is not None:
        if not sources.question.strip():
            raise UsageError("the question is empty", Ask())
        # the question is named, so everything else is an image
        return (*sources.images, *arguments), sources.question
    if sources.short:
        from qvq_mlx.cli.app import COMMANDS

        check_slip(arguments, sources.short, COMMANDS, on_disk)
    found = sort(arguments, on_disk)
    return (*sources.images, *found.images), found.question


def _form(*given: bool) -> OutputForm:
    names = ("--json", "--jsonl", "-x", "--boxes")
    options.exclude("qvq ask", dict(zip(names, given, strict=True)))
    forms = (OutputForm.JSON, OutputForm.JSONL, OutputForm.TEXT, OutputForm.BOXES)
    return forms[given.index(True)] if True in given else OutputForm.TEXT


def _see(thinking: ThinkingView | None, *given: bool) -> ThinkingView | None:
    """The view of the thinking; `given` are `-R`, `-q` and `-v`."""
    none, quiet, verbose = given
    options.exclude("qvq ask", {"-q": quiet, "-v": verbose})
    options.exclude("qvq ask", {"-R": none, "--thinking": thinking is not None})
    return ThinkingView.NONE if none else thinking


def _pull(world: World, card: ModelCard) -> None:
    """Fetch a model that a person said yes to, its licence included."""
    from qvq_mlx.cli.pull import run
    from qvq_mlx.run.pull import Wish

    run(Wish(card.name, yes=True), world)
