"""Lay out `--help`: commands and options in groups, no description cut, examples.

typer asks for subclasses here; they change how help is laid out and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click.core import Context
    from typer._click.formatting import HelpFormatter

_Entry = TypeVar("_Entry")

COMMAND_GROUPS = {
    "Ask": {
        "ask": "Ask one question about one or more images",
        "chat": "Talk about images, question by question, the model loaded once",
        "batch": "Ask about many images, one by one, the model loaded once",
    },
    "Runs": {
        "last": "Print the answer of the last run, or its thinking",
        "log": "List, show, search, erase and repeat the runs that are saved",
        "erase": "Erase every trace of every run: history, pictures, prefixes",
    },
    "Models": {
        "models": "List the models that qvq knows, and which of them fit here",
        "list": "List the models on this disk: size, revision, state, place",
        "show": "Show a model's card, shape and licence, and whether it fits here",
        "licence": "Show a model's licence: its duties, and where the text lies",
        "fit": "Say whether a model fits in memory, and what fits instead",
        "pull": "Download a model, or go on with a download that stopped",
        "verify": "Rehash models and data sets, offline, and name what is damaged",
        "rm": "Delete a downloaded model, or a data set that was pulled",
        "prune": "Delete what no model needs: old revisions, stale partial files",
        "export": "Write a downloaded model into one file, with its hashes",
        "import": "Put an exported model into the cache, every hash checked",
        "convert": "Convert a checkpoint from transformers to MLX",
    },
    "Data": {
        "split": "Split a saved output into thinking and answer, and find loops",
        "schema": "Print the JSON Schema of what qvq prints as JSON",
        "eval": "Measure a model on a benchmark, judged by rules alone",
    },
    "Serve": {
        "serve": "Serve a model over HTTP: OpenAI's API, Anthropic's, and a page",
        "ps": "List your servers that run: model, address, memory, idle time",
        "stop": "End a server of yours that runs, and wait until it has",
        "mcp": "Let an agent look at pictures: an MCP server on stdin and stdout",
    },
    "Machine": {
        "doctor": "Say what works here and what does not",
        "bench": "Measure how fast a model is here, stage by stage",
        "config": "Show or change the settings: get, set, unset, path, list",
        "integrate": "Put qvq into the Finder's menu, Shortcuts or Raycast",
        "cache": "Show or empty the cache of image prefixes",
        "completion": "Print a script that completes commands, options and names",
        "man": "Show the manual page; as plain text in a pipe",
    },
}
"""The commands as the help of the program lists them, so that it need not import them."""
FORMER_NAME = "--verify"
"""The name that `--double-check` had, and that no help shows: `qvq verify` is about files."""
_EXAMPLES = (
    'qvq -m tiny shapes.png "How many red circles are there?"',
    'qvq ask photo.jpg "What is this?"',
    "qvq help ask",
)
OPTION_GROUPS = {
    "Most used": (
        *("--model", "--continue", "--budget", "--detail", "--thinking", "--json", "-x"),
        *("--output", "--quiet", "--help"),
    ),
    "Pictures": (
        *("--image", "--page", "--crop", "--background", "--fps", "--frames", "--span"),
        *("--annotate", "--show", "--boxes"),
    ),
    "Thinking": ("-R", "--think", "--max-tokens", "--vote", "--look", "--double-check"),
    "Answer": ("--question", "--answer-tokens", "--lang", "--schema"),
    "Output": ("--jsonl", "--verbose", "--no-save"),
    "Model": (
        *("--system", "--temp", "--top-p", "--top-k", "--min-p", "--penalty", "--seed"),
        *("--offline",),
    ),
    "Speed": (
        *("--draft", "--no-cache", "--force", "--no-wait", "--no-server", "--hosts"),
        *("--kv-bits",),
    ),
}


class GroupedCommands(TyperGroup):
    """The program: its commands in groups."""

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the options of the program itself, and below them the commands."""
        records = filter(None, (one.get_help_record(ctx) for one in self.get_params(ctx)))
        with formatter.section(_head("Options", ctx)):
            formatter.write_dl([*records])
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the groups, and the examples below them."""
        column = max(len(command) for group in COMMAND_GROUPS.values() for command in group)
        for name, group in COMMAND_GROUPS.items():
            with formatter.section(_head(name, ctx)):
                formatter.write_dl([(one.ljust(column), does) for one, does in group.items()])
        with formatter.section(_head("Examples", ctx)):
            for example in _EXAMPLES:
                formatter.write(f"  {example}\n")


class GroupedOptions(TyperCommand):
    """A command with many options: those that people use first, then the others by subject."""

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the groups."""
        left = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                names, does = record
                left[max(parameter.opts, key=len)] = names.replace(f", {FORMER_NAME}", ""), does
        groups = {name: _taken(left, names) for name, names in OPTION_GROUPS.items()}
        for name, found in {**groups, "More": [*left.items()]}.items():
            if found:
                with formatter.section(_head(name, ctx)):
                    formatter.write_dl([record for _, record in found], col_max=26)


def _head(name: str, ctx: Context) -> str:
    """The head of a group; the documents are made without a world, the program's own help too."""
    from qvq_mlx.render.accent import accented

    env = getattr(ctx.obj, "env", ctx.obj)
    return accented(name, env) if env is not None else name


def _taken(left: dict[str, _Entry], names: Iterable[str]) -> list[tuple[str, _Entry]]:
    """Take these out of `left`, those that are there."""
    return [(name, left.pop(name)) for name in names if name in left]
