"""Values of `ps` with --json: the servers that run.

Law: as in `models`. Null is "not known", of a server that does not answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from qvq_mlx.records.runs import VERSION


@dataclass(frozen=True, slots=True)
class ServerEntry:
    """One server. Where it `answers` it told the rest; `pid` and `memory_bytes` the system knows.

    `qvq` is the version that it runs; another one lends nothing. `loaded`: the model is in memory,
    and goes after `keep_s` idle seconds; null: it stays. `idle_s` counts since the last question
    ended, or since the start; null while one runs. `waiting` questions have not had their turn.
    """

    pid: int
    answers: bool
    memory_bytes: int | None
    qvq: str | None = None
    model: str | None = None
    address: str | None = None
    loaded: bool | None = None
    waiting: int | None = None
    idle_s: float | None = None
    keep_s: float | None = None


@dataclass(frozen=True, slots=True)
class ServersRecord:
    """`qvq ps --json`: this user's servers, the newest first."""

    servers: tuple[ServerEntry, ...]
    version: int = VERSION
