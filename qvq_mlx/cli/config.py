"""`qvq config`: the settings in force, and the file that they are kept in."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Show, Typed

if TYPE_CHECKING:
    from qvq_mlx.core.env import Env
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
            _get(env, given[0])
        case Action.SET:
            if given[0] == "model":
                _check_model(world, given[1])
            _set(env, given[0], given[1])
        case Action.UNSET:
            _set(env, given[0], None)
        case Action.PATH:
            from qvq_mlx.render.clean import shown
            from qvq_mlx.settings import config as settings

            env.stdout.write(shown(str(settings.path_of(env)), env.stdout) + "\n")
        case Action.LIST:
            _list(env, as_json)


def _get(env: Env, key: str) -> None:
    from qvq_mlx.core.errors import ConfigError
    from qvq_mlx.render.clean import shown
    from qvq_mlx.settings import config as settings

    found = {setting.key: setting for setting in settings.described(env)}
    if key not in found:
        raise ConfigError(f"unknown key {key!r}; known: {', '.join(found)}", Show.SETTINGS)
    if (value := found[key].value) is not None:
        env.stdout.write(shown(value, env.stdout) + "\n")


def _check_model(world: World, name: str) -> None:
    """Raise a ModelError where no model is called so, be it here or to be fetched."""
    from qvq_mlx.settings import config as settings
    from qvq_mlx.store import registry

    settings.checked("model", name)
    registry.find(name, world.settings_or_defaults.cards_folder)


def _set(env: Env, key: str, text: str | None) -> None:
    from qvq_mlx.settings import config as settings

    settings.store(env, key, None if text is None else settings.checked(key, text))
    if text is None and key not in settings.KEYS:
        return
    source = next(s.source for s in settings.described(env) if s.key == key)
    if source.startswith("QVQ_") and env.stderr.isatty():
        env.stderr.write(f"note: {source} is set and goes before the file\n")


def _list(env: Env, as_json: bool) -> None:
    from qvq_mlx.records.models import ConfigRecord
    from qvq_mlx.render import listing
    from qvq_mlx.settings import config as settings

    found = settings.described(env)
    if as_json:
        listing.write_json(env, ConfigRecord(found))
        return
    rows = [(s.key, "" if s.value is None else s.value, s.source) for s in found]
    listing.write_table(env, ("key", "value", "from"), rows)
