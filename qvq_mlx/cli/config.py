"""`qvq config`: the settings in force, and the file that they are kept in."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Typed

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


class Action(StrEnum):
    """The actions of `qvq config`."""

    GET = "get"
    SET = "set"
    UNSET = "unset"
    PATH = "path"
    LIST = "list"


_OPERANDS = {
    Action.GET: ("KEY",),
    Action.SET: ("KEY", "VALUE"),
    Action.UNSET: ("KEY",),
    Action.PATH: (),
    Action.LIST: (),
}


def config(
    context: typer.Context,
    action: Annotated[Action, typer.Argument(help="What to do.")] = Action.LIST,
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="A setting.")] = None,
    value: Annotated[str | None, typer.Argument(metavar="[VALUE]", help="For set.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="list, as one JSON object.")] = False,
) -> None:
    """Show or change the settings: get, set, unset, path, list.

    Defaults < config file < environment (QVQ_MODEL, ...) < flags. get and list show what is in
    force; set and unset change the file.
    """
    world: World = context.obj
    from qvq_mlx.run import configure

    env = world.env
    given = tuple(operand for operand in (key, value) if operand is not None)
    usage = " ".join(("qvq config", action, *_OPERANDS[action]))
    if len(given) != len(_OPERANDS[action]):
        raise UsageError(
            f"{action} takes {' and '.join(_OPERANDS[action]) or 'nothing more'}", Typed(usage)
        )
    if as_json and action is not Action.LIST:
        raise UsageError(
            f"--json goes with list, not with {action}", Typed("qvq config list --json")
        )
    match action:
        case Action.GET:
            configure.get(env, given[0])
        case Action.SET:
            if given[0] == "model":
                configure.check_model(world, given[1])
            configure.set_key(env, given[0], given[1])
        case Action.UNSET:
            configure.set_key(env, given[0], None)
        case Action.PATH:
            from qvq_mlx.render.clean import shown
            from qvq_mlx.settings import config as settings

            env.stdout.write(shown(str(settings.path_of(env)), env.stdout) + "\n")
        case Action.LIST:
            configure.show_all(env, as_json=as_json)
