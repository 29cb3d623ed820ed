"""Records of version 1 in the words of version 2, so that what was saved before is still read.

Version 2 calls the second look `double_check` everywhere (it was `verify`, `verification` and
`verify_s`), and how an image is read `options` (it was `look`). Nothing else differs. A record that
is of version 2 already comes back as it is.
"""

from __future__ import annotations

from typing import Any

_REQUEST = {"verify": "double_check"}
_SOURCE = {"look": "options"}
_DONE = {"verification": "double_check"}
_STATS = {"verify_s": "double_check_s"}


def upgraded_request(record: dict[str, Any]) -> dict[str, Any]:
    """The head of a saved run."""
    found = {_REQUEST.get(key, key): value for key, value in record.items()} | {"version": 2}
    sources = record.get("sources")
    if isinstance(sources, list):
        found["sources"] = [_renamed(source, _SOURCE) for source in sources]
    return found


def upgraded_event(record: dict[str, Any]) -> dict[str, Any]:
    """One event of a saved run."""
    match record.get("type"):
        case "progress" if record.get("stage") == "verify":
            return {**record, "stage": "double_check"}
        case "done":
            found = {_DONE.get(key, key): value for key, value in record.items()}
            return {**found, "stats": _renamed(record.get("stats"), _STATS)}
        case _:
            return record


def _renamed(record: object, names: dict[str, str]) -> object:
    if not isinstance(record, dict):
        return record
    return {names.get(key, key): value for key, value in record.items()}
