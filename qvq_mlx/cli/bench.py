"""`qvq bench`: how fast a model is on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from qvq_mlx.cli import options

Rounds = Annotated[int, typer.Option(metavar="N", help="Each test so often: mean and deviation.")]
Minutes = Annotated[int, typer.Option(metavar="M", help="Write for so long: what heat does.")]


def bench(
    context: typer.Context,
    model: options.NamedModel = None,
    rounds: Rounds = 3,
    minutes: Minutes = 0,
    as_json: options.Json = False,
    force: options.Force = False,
    no_wait: options.NoWait = False,
) -> None:
    """Measure how fast a model is here, stage by stage.

    pp512 and tg128 as in llama-bench, several questions at a time, drafts, pictures, each beside
    the roof that the machine sets. docs/bench.md says what each test is.
    """
    from qvq_mlx.bench.command import Wish, bench

    bench(Wish(model, rounds, minutes, force, not no_wait), context.obj, as_json=as_json)
