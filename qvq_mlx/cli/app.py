"""The commands, and which of them `qvq IMAGE QUESTION` means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from qvq_mlx.cli import (
    ask,
    batch,
    cache,
    chat,
    completion,
    config,
    convert,
    doctor,
    export,
    fit,
    import_,
    json_schema,
    last,
    licence,
    log,
    models,
    pull,
    rm,
    show,
    split,
    verify,
)
from qvq_mlx.cli import list as list_
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.image_names import is_image
from qvq_mlx.core.remedies import Ask

app = typer.Typer(
    name="qvq",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and exit.")
    ] = False,
) -> None:
    """Ask a visual-reasoning model about an image, on your own machine.

    qvq IMAGE "question" is short for qvq ask IMAGE "question".
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise UsageError("no command is given", Ask())


app.command("ask", help=ask.HELP)(ask.ask)
app.command("batch")(batch.batch)
app.command("chat")(chat.chat)
app.command("last")(last.last)
app.add_typer(log.log, name="log")
app.command("models")(models.models)
app.command("list")(list_.list_models)
app.command("show")(show.show)
app.command("licence")(licence.licence)
app.command("fit")(fit.fit)
app.command("pull")(pull.pull)
app.command("verify")(verify.verify)
app.command("rm")(rm.rm)
app.command("prune")(rm.prune)
app.command("export")(export.export)
app.command("import")(import_.import_)
app.command("convert")(convert.convert)
app.command("split")(split.split)
app.add_typer(cache.cache, name="cache")
app.command("config")(config.config)
app.command("doctor")(doctor.doctor)
app.command("completion")(completion.completion)
app.command("schema")(json_schema.schema)

COMMANDS = (
    *("ask", "chat", "batch", "last", "log"),
    *("models", "list", "show", "licence", "fit"),
    *("pull", "verify", "rm", "prune", "export", "import", "convert"),
    *("split", "cache", "config", "doctor"),
    *("completion", "schema"),
)

_ROOT_OPTIONS = ("-h", "--help", "-V", "--version")


def with_command(argv: Sequence[str], exists: Callable[[str], bool]) -> list[str]:
    """`argv` with `ask` in front where an image or a question, not a command, was meant."""
    if not argv or argv[0] in COMMANDS:
        return list(argv)
    first = argv[0]
    is_option_of_ask = first.startswith("-") and first not in _ROOT_OPTIONS
    is_question = any(character.isspace() for character in first)
    if is_option_of_ask or is_question or any(is_image(argument, exists) for argument in argv):
        return ["ask", *argv]
    return list(argv)
