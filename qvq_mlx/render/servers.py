"""The servers that run, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from qvq_mlx.core.env import Env
from qvq_mlx.core.sizes import size
from qvq_mlx.records.servers import ServerEntry
from qvq_mlx.render import listing
from qvq_mlx.render.meter import spelled

_HEADS = ("model", "pid", "address", "state", "memory")


def write_servers(env: Env, servers: Sequence[ServerEntry]) -> None:
    """Write a table on stdout; for a person one sentence where it would be empty."""
    if not servers and env.stdout.isatty():
        listing.write_text(env, "no server of yours runs")
        return
    rows = [
        (
            entry.model or "?",
            str(entry.pid),
            entry.address or "?",
            _state(entry),
            "?" if entry.memory_bytes is None else size(entry.memory_bytes),
        )
        for entry in servers
    ]
    listing.write_table(env, _HEADS, rows)


def _state(entry: ServerEntry) -> str:
    """`answers, 2 wait`, `idle for 3 min 0 s of 10 min 0 s`, `not loaded, idle for 2 s`."""
    if not entry.answers:
        return "says nothing"
    if entry.idle_s is None:
        return "answers" + (f", {entry.waiting:,} wait" if entry.waiting else "")
    idle = f"idle for {spelled(entry.idle_s)}"
    if not entry.loaded:
        return f"not loaded, {idle}"
    return idle if entry.keep_s is None else f"{idle} of {spelled(entry.keep_s)}"
