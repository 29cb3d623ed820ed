"""`qvq log`: the runs that are saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.cli.last import (
    ANNOTATE,
    ANSWER,
    AS_JSON,
    AS_JSONL,
    BOXED,
    BOXES,
    THINKING,
    wanted_form,
)

if TYPE_CHECKING:
    from qvq_mlx.run.world import World

log = typer.Typer(
    help="List, show, search, erase and repeat the runs that are saved.",
    rich_markup_mode=None,
    no_args_is_help=False,
    add_completion=False,
)

_COUNT = Annotated[int, typer.Option("-n", min=0, metavar="N", help="At most N; 0: all.")]
_ID = Annotated[str | None, typer.Argument(metavar="[ID]", help="Its beginning is enough.")]
_IDS = Annotated[list[str], typer.Argument(metavar="ID...", help="The beginning is enough.")]
_RUN_IDS = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Without one: all runs.")
]


@log.callback(invoke_without_command=True)
def root(context: typer.Context) -> None:
    """List, show, search, erase and repeat the runs that are saved.

    Every question is one file that only you can read. QVQ_SAVE=0 keeps none.
    """
    if context.invoked_subcommand is None:
        list_(context)


@log.command("list")
def list_(
    context: typer.Context,
    count: _COUNT = 20,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="NAME", help="Only where its name holds this."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="AGE", help="Only the last 7d, 12h, 4w; 7 is 7d."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List the saved runs, the newest first."""
    from qvq_mlx.cli.past import list_saved

    list_saved(context.obj, count, model, since, as_json=as_json)


@log.command("show")
def show(
    context: typer.Context,
    run: _ID = None,
    answer: ANSWER = False,
    thinking: THINKING = False,
    as_json: AS_JSON = False,
    as_jsonl: AS_JSONL = False,
    boxed: BOXED = False,
    boxes: BOXES = False,
    annotate: ANNOTATE = None,
    play: Annotated[
        bool | None,
        typer.Option("--play/--no-play", help="With keys: expand, search, page. As a rule yes."),
    ] = None,
) -> None:
    """Show a run again, the last one without an ID.

    On a terminal with keys: t shows the thinking, / searches, space turns the page, q leaves.
    """
    from qvq_mlx.cli.past import draw, show_run

    form = wanted_form(answer, thinking, as_json, as_jsonl, boxed, boxes)
    if annotate is None:
        show_run(context.obj, run, form, play=play)
    else:
        draw(context.obj, run, form, annotate)


@log.command("search")
def search(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="WORDS", help="All have to be there.")],
    count: _COUNT = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Find runs by words in the question, the answer or the thinking."""
    from qvq_mlx.cli.past import search_saved

    search_saved(context.obj, words, count, as_json=as_json)


@log.command("rm")
def rm(context: typer.Context, runs: _IDS) -> None:
    """Erase runs."""
    from qvq_mlx.history import find_file
    from qvq_mlx.run.erase import erase

    world: World = context.obj
    folder = world.settings.history_folder
    erase([find_file(folder, run) for run in runs], world.settings, world.env)


@log.command("prune")
def prune(
    context: typer.Context,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="AGE", help="30d, 12h, 4w; 30 is 30d.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option("--keep", min=0, metavar="N", help="All but the newest N.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be erased.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Erase old runs."""
    from qvq_mlx.cli.past import age_of
    from qvq_mlx.cli.spelling import typed
    from qvq_mlx.core.errors import UsageError
    from qvq_mlx.core.remedies import Typed
    from qvq_mlx.run.erase import prune as run

    world: World = context.obj
    if (older_than is None) == (keep is None):
        raise UsageError(
            "prune takes either --older-than or --keep",
            Typed("qvq log prune --older-than 30d --dry-run"),
        )
    which = ("--keep", str(keep)) if older_than is None else ("--older-than", older_than)
    bound = (keep or 0) if older_than is None else age_of(older_than, "--older-than")
    remedy = typed("qvq", "log", "prune", *which, "--yes")
    run(bound, world.settings, world.env, dry_run=dry_run, yes=yes, remedy=remedy)


@log.command("export")
def export(
    context: typer.Context,
    runs: _RUN_IDS = None,
    file: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write there, not to stdout."),
    ] = None,
    as_markdown: Annotated[bool, typer.Option("--md", help="Markdown, for people.")] = False,
) -> None:
    """Write runs into one file: an object per line as qvq ask --json prints it, or Markdown."""
    from qvq_mlx.run.saved_export import export_runs

    world: World = context.obj
    export_runs(world.env, world.settings.history_folder, runs or [], file, as_markdown=as_markdown)


@log.command("path")
def path(context: typer.Context, run: _ID = None) -> None:
    """Print where the runs lie, or where one of them does."""
    from qvq_mlx.history import find_file

    world: World = context.obj
    folder = world.settings.history_folder
    world.env.stdout.write(f"{folder if run is None else find_file(folder, run).path}\n")


@log.command("rerun")
def rerun(
    context: typer.Context,
    run: _ID = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="NAME", help="Ask this one instead.")
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Ask about the images as they are now.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Both runs as one JSON object.")] = False,
) -> int:
    """Ask the same again, and show both answers. In a pipe: the new one."""
    from qvq_mlx.cli.spelling import typed
    from qvq_mlx.core.errors import ImageChangedError
    from qvq_mlx.run.rerun import ask_again, request_again
    from qvq_mlx.run.saved import find

    world: World = context.obj
    folder = world.settings.history_folder
    earlier = find(folder, run, world.env)
    request = request_again(earlier, folder, model, changed=changed)
    try:
        return ask_again(earlier, request, world.env, world.settings, as_json=as_json)
    except ImageChangedError as error:
        # the same facts; what helps is to say that they may differ
        raise ImageChangedError(
            error.parts, typed("qvq", "log", "rerun", earlier.id, "--changed")
        ) from error
