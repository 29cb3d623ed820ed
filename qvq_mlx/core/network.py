"""Network events of this process, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Network:
    """Network events from the start of this process to the end of the report.

    `events` are Python's audit events `socket.*`, null where nobody watched; `modules` are those of
    `looked_for` that are loaded. Not seen: a library that reaches the system's sockets from C.
    """

    events: tuple[str, ...] | None = None
    modules: tuple[str, ...] = ()
    looked_for: tuple[str, ...] = ()
