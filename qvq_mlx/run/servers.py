"""Lists the servers of this user that run, and ends one."""

from __future__ import annotations

from collections.abc import Sequence

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import BusyError, NoServerError, UnknownModelError
from qvq_mlx.core.remedies import RunProgram, Show
from qvq_mlx.records.servers import ServerEntry, ServersRecord
from qvq_mlx.render import listing
from qvq_mlx.render.clean import clean_line
from qvq_mlx.render.servers import write_servers
from qvq_mlx.settings.config import Settings
from qvq_mlx.store import registry
from qvq_mlx.warm.places import folder_for
from qvq_mlx.warm.servers import ended, running


def list_servers(env: Env, settings: Settings, *, as_json: bool) -> None:
    """Print what runs."""
    found = running(folder_for(settings.cache_folder))
    if as_json:
        listing.write_json(env, ServersRecord(found))
    else:
        write_servers(env, found)


def stop_server(named: str | None, env: Env, settings: Settings) -> None:
    """End the server of that model or process id, and wait until it has; None: the only one.

    Raises NoServerError where there is none or several, BusyError where it does not end.
    """
    folder = folder_for(settings.cache_folder)
    entry = _meant(named, running(folder), settings)
    if not ended(folder, entry.pid):
        raise BusyError(f"{_called(entry)} has not ended", RunProgram(("kill", str(entry.pid))))
    env.stdout.write(f"{clean_line(_called(entry))} has ended\n")


def _meant(named: str | None, servers: Sequence[ServerEntry], settings: Settings) -> ServerEntry:
    if not servers:
        raise NoServerError("no server of yours runs")
    found = servers
    if named is not None:
        try:
            names = {named, registry.find(named, settings.cards_folder).name}
        except UnknownModelError:
            names = {named}
        found = [entry for entry in servers if names & {str(entry.pid), entry.model}]
        if not found:
            raise NoServerError(f"no server of yours is {named[:80]!r}", Show.SERVERS)
    if len(found) > 1:
        several = ", ".join(map(_called, found))
        raise NoServerError(f"several servers run: {several}", Show.SERVERS)
    return found[0]


def _called(entry: ServerEntry) -> str:
    return f"{entry.model or 'a server'} (pid {entry.pid})"
