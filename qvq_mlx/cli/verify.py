"""`qvq verify`: rehash what is on this disk, and name the command that repairs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.core.env import Env
    from qvq_mlx.store.download import Damaged
    from qvq_mlx.store.layout import RepoFolder


def verify(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A name or a repository; else all.")
    ] = None,
) -> None:
    """Rehash downloaded models, offline, and name what is damaged."""
    from qvq_mlx.cli.places import present
    from qvq_mlx.core.errors import DamagedError
    from qvq_mlx.render.clean import clean_line
    from qvq_mlx.run.signals import stoppable
    from qvq_mlx.settings import config
    from qvq_mlx.store import layout

    env: Env = context.obj
    if model is None:
        folders = layout.repo_folders(config.read(env).hub_cache)
    else:
        folders = (present(model, env)[1],)
    repairs: list[str] = []
    with stoppable("nothing was changed", f"qvq verify {model or ''}".rstrip()):
        for folder in folders:
            repairs += _one(folder, env)
    if not folders:
        env.stdout.write("no model is in the cache\n")
    if not repairs:
        return
    for command in repairs[:-1]:
        env.stdout.write(f"  repair: {clean_line(command)}\n")
    count = "1 repair is" if len(repairs) == 1 else f"{len(repairs)} repairs are"
    raise DamagedError(f"{count} needed", repairs[-1])


def _one(folder: RepoFolder, env: Env) -> list[str]:
    """The commands that repair one model; none where all is well."""
    from qvq_mlx.core.sizes import size
    from qvq_mlx.render.clean import clean_line
    from qvq_mlx.render.transfers import Transfers
    from qvq_mlx.store.download import Damaged, Verified
    from qvq_mlx.store.verify import total_bytes, verify

    total = total_bytes(folder)
    screen = Transfers(env, total)
    damaged: list[Damaged] = []
    whole = 0
    try:
        screen.begin()
        for event in verify(folder):
            screen.feed(event)
            if isinstance(event, Damaged):
                damaged.append(event)
            whole += isinstance(event, Verified)
    finally:
        screen.close()
    files = f"{whole} file" if whole == 1 else f"{whole} files"
    tail = f"; {len(damaged)} not" if damaged else ""
    env.stdout.write(f"{clean_line(folder.repo)}: {files} whole{tail} · {size(total)} read\n")
    for found in damaged:
        line = f"{found.path} {found.reason} (revision {found.commit[:12]})"
        env.stdout.write(f"  {clean_line(line)}\n")
    repairs = [_repair(folder, found) for found in damaged]
    return repairs or _incomplete(folder, env)


def _repair(folder: RepoFolder, found: Damaged) -> str:
    """The command that fetches just that file of just that revision."""
    from shlex import quote

    command = f"qvq pull {folder.repo} --repair {quote(found.path)}"
    if found.commit == folder.references().get("main"):
        return command
    return f"{command} --revision {found.commit}"


def _incomplete(folder: RepoFolder, env: Env) -> list[str]:
    """Every link is right; whether all that the model needs is linked is another question."""
    from qvq_mlx.core.card import ModelCard
    from qvq_mlx.core.errors import ModelError
    from qvq_mlx.render.clean import clean_line
    from qvq_mlx.store import local

    card = ModelCard(folder.repo, "", "", "", repo=folder.repo)
    try:
        local.snapshot(card, folder.hub_cache)
    except ModelError as error:
        env.stdout.write(f"  {clean_line(error.message)}\n")
        return [f"qvq pull {folder.repo}"]
    return []
