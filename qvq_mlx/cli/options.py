"""Options that several commands share: each is spelt and explained once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.cli.help import FORMER_NAME
from qvq_mlx.core.request import Think, ThinkingView

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def forbid_network(context: typer.Context, offline: bool) -> bool:
    """Refuse every connection as soon as the option is read, so that no command can forget it."""
    world: World = context.obj
    if offline:
        world.forbid_network()
    return offline


def share_out(context: typer.Context, hosts: str | None) -> None:
    """Have the machines of a hostfile run the model, whatever the command is."""
    if hosts is not None:
        context.obj.share_out(hosts)


def quantise(context: typer.Context, bits: int | None) -> int | None:
    """Keep less of each token in the cache, whatever the command is. Raises UsageError."""
    if bits is not None:
        context.obj.quantise(bits)
    return bits


Hosts = Annotated[
    str | None,
    typer.Option(
        "--hosts", metavar="FILE", callback=share_out, help="Split the model: MLX's hostfile."
    ),
]
KVBits = Annotated[
    int | None,
    typer.Option(
        "--kv-bits", metavar="8|4", callback=quantise, help="Of the cache: long thinking fits."
    ),
]
_OF_THE_ENGINE = {"hosts": Hosts, "kv_bits": KVBits}


def with_engine(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options of the engine, which act where they are read."""
    sees = signature(function, eval_str=True)
    added = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in _OF_THE_ENGINE.items()
    ]

    @wraps(function)
    def command(**given: object) -> int:
        return function(**{name: it for name, it in given.items() if name not in _OF_THE_ENGINE})

    vars(command)["__signature__"] = sees.replace(parameters=[*sees.parameters.values(), *added])
    return command


Model = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME", help="A model's name, folder or repository."),
]
NamedModel = Annotated[
    str | None, typer.Argument(metavar="[MODEL]", help="Name, folder or repository.")
]
System = Annotated[
    str | None, typer.Option("--system", metavar="TEXT", help="Another system prompt; '' for none.")
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", min=1, metavar="N", help="Of thinking and answer.")
]
BudgetText = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="low|medium|high|N|none",
        help="Tokens of thinking, then the answer is asked for.",
    ),
]
ThinkOrNot = Annotated[
    Think | None, typer.Option("--think", help="Of models with the choice: think first, or not.")
]
AnswerTokens = Annotated[
    int, typer.Option("--answer-tokens", min=1, metavar="N", help="Tokens of the answer after it.")
]
Lang = Annotated[
    str,
    typer.Option(
        "--lang",
        metavar="auto|off|en|zh|...",
        help="Hold the answer to a language; auto: say where it leaves the question's.",
    ),
]
Schema = Annotated[
    str | None,
    typer.Option(
        "--schema",
        metavar="FILE|JSON",
        help="Think freely, then answer in JSON that satisfies this schema.",
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option("--temp", min=0.0, metavar="T", help="0 always takes the likeliest token."),
]
TopP = Annotated[
    float | None, typer.Option("--top-p", min=0.0, max=1.0, metavar="P", help="1: off.")
]
TopK = Annotated[int | None, typer.Option("--top-k", min=0, metavar="K", help="0: off.")]
MinP = Annotated[
    float | None, typer.Option("--min-p", min=0.0, max=1.0, metavar="P", help="0: off.")
]
Penalty = Annotated[
    str | None,
    typer.Option("--penalty", metavar="repetition=R,presence=P", help="Words said before cost."),
]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, metavar="N", help="Same seed, same text.")
]
Votes = Annotated[
    int | None,
    typer.Option(
        "--vote",
        min=2,
        max=16,
        metavar="N",
        help="Experimental: N samples, and the answer that most of them give.",
    ),
]
Look = Annotated[
    str, typer.Option("--look", metavar="auto|off|N", help="Look closer at N regions of the image.")
]
DoubleCheck = Annotated[
    bool,
    typer.Option(
        *("--double-check", FORMER_NAME),
        help="Experimental: look at the image again and check the answer.",
    ),
]
Parallel = Annotated[
    str, typer.Option("--parallel", metavar="N|auto", help="Answer so many at a time.")
]
Draft = Annotated[
    str,
    typer.Option(
        "--draft",
        metavar="auto|none|lookup|mtp|NAME",
        help="Who guesses tokens ahead; the text stays the same.",
    ),
]
ViewOfThinking = Annotated[
    ThinkingView | None, typer.Option("--thinking", help="How much of the thinking is shown.")
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Neither read nor keep what an image cost before.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="A line per stage, on stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors only on stderr.")]
Force = Annotated[bool, typer.Option("--force", help="Run a model that does not fit in memory.")]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Fail where another qvq has a big model loaded.")
]
NoServer = Annotated[
    bool, typer.Option("--no-server", help="Load the model here, whoever serves it already.")
]
Offline = Annotated[
    bool, typer.Option("--offline", callback=forbid_network, help="Refuse any network connection.")
]
Pages = Annotated[
    str | None,
    typer.Option(
        "--page", metavar="N[-M],...", help="Pages of a PDF or TIFF, frames of an animation."
    ),
]
_DETAIL = (
    "Image tokens: 256, about 1,280, 2,560, the model's own maximum, a number, or at least and at"
    " most so many"
)
_CROP = "Show this part only, in pixels or in percent (10%,10%,50%,50%)"
Details = Annotated[
    list[str] | None,
    typer.Option(
        "--detail",
        metavar="low|auto|high|max|N|N-M",
        help=f"{_DETAIL}; once, or once per image.",
    ),
]
Crops = Annotated[
    list[str] | None,
    typer.Option(
        "--crop",
        metavar="X,Y,W,H",
        help=f"{_CROP}; once, or once per image.",
    ),
]
Background = Annotated[
    str, typer.Option("--background", metavar="COLOUR", help="Under what is transparent.")
]
Fps = Annotated[
    float | None, typer.Option("--fps", metavar="F", help="Of a video: frames a second (2).")
]
FrameCount = Annotated[
    int | None, typer.Option("--frames", min=1, metavar="N", help="Of a video: frames in all.")
]
Span = Annotated[
    str | None, typer.Option("--span", metavar="3s-12s|0:03-0:12", help="Of a video: this part.")
]
RetryErrors = Annotated[
    bool, typer.Option("--retry-errors", help="Ask again what could not be asked before.")
]
NoSave = Annotated[
    bool, typer.Option("--no-save", help="Keep nothing of it: no history, no cache.")
]

Detail = Annotated[
    str | None,
    typer.Option(
        "--detail",
        metavar="low|auto|high|max|N|N-M",
        help=f"{_DETAIL}.",
    ),
]
Crop = Annotated[
    str | None,
    typer.Option(
        "--crop",
        metavar="X,Y,W,H",
        help=f"{_CROP}.",
    ),
]


Arguments = Annotated[list[str] | None, typer.Argument(metavar="[IMAGE]... QUESTION", hidden=True)]
Images = Annotated[
    list[str] | None,
    typer.Option("--image", "-i", metavar="FILE", help="An image, whatever its name."),
]
Question = Annotated[
    str | None,
    typer.Option("--question", "-Q", metavar="TEXT", help="The question, whatever it spells."),
]
NoThinking = Annotated[bool, typer.Option("-R", help="Show none of it (--thinking none).")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout at the end.")]
Jsonl = Annotated[bool, typer.Option("--jsonl", help="One JSON object per event, as it happens.")]
Boxed = Annotated[bool, typer.Option("-x", help="Only the last boxed value, else the answer.")]
Boxes = Annotated[
    bool, typer.Option("--boxes", help="JSON: boxes and points, in the images' own pixels.")
]
Annotate = Annotated[
    Path | None,
    typer.Option("--annotate", metavar="OUT.png", help="Draw them on the image, as this file."),
]
ShowImage = Annotated[
    bool, typer.Option("--show", help="Show the image with them in the terminal.")
]
OutputFile = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write there, not to stdout.")
]
Follow = Annotated[
    bool, typer.Option("--continue", "-c", help="A follow-up of the last run; -c ID: of that run.")
]


def exclude(command: str, options: dict[str, bool]) -> None:
    """Refuse options that contradict each other, by name. Raises UsageError."""
    from qvq_mlx.core.errors import UsageError
    from qvq_mlx.core.remedies import Typed

    given = [name for name, is_given in options.items() if is_given]
    if len(given) > 1:
        raise UsageError(
            f"{given[0]} and {given[1]} exclude each other", Typed(f"{command} --help")
        )
