"""`qvq doctor`: what is the matter, for a person and for a bug report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.cli import options

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def doctor(
    context: typer.Context,
    offline: options.Offline = False,
    hosts: Annotated[
        Path | None, typer.Option("--hosts", metavar="FILE", help="Look at those machines, too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> int:
    """Say what works here and what does not.

    Looks at the machine, the installation, the models and the settings, and asks the embedded
    model one question. Each line is a fact with a verdict: ok, warning or problem. The home
    folder is written ~, so that the report can be shown to others. --offline reports what was
    tried on the network; --hosts whether the machines of MLX's hostfile can split a model.
    Exit code 0 without a problem; else that of a run that meets the first one: 2 settings,
    4 a model, 1 the installation or a wrong answer.
    """
    from qvq_mlx.doctor import examined  # all of it only now: `qvq --help` reads this module
    from qvq_mlx.render import listing
    from qvq_mlx.render.report import write_report
    from qvq_mlx.render.working import Working

    options.exclude("qvq doctor", {"--offline": offline, "--hosts": hosts is not None})
    world: World = context.obj
    env = world.env
    status = Working(env)
    try:
        status.show("looking around, and asking the embedded model")
        record = examined(env, world.network if offline else None, hosts)
    finally:
        status.close()
    if as_json:
        listing.write_json(env, record)
    else:
        write_report(env, record)
    return record.exit_code
