"""Remember which licences were accepted: a question that was answered is not asked again.

Law: what is remembered is the licence of one repository; another licence there asks anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from qvq_mlx.system.files import write_private
from qvq_mlx.system.reading import read_json

_MAX_BYTES = 2**20


def accepted(file: Path, repo: str, licence: str) -> bool:
    """True if this licence of this repository was accepted. A file that is damaged says no."""
    entry = _read(file).get(repo)
    return isinstance(entry, dict) and entry.get("licence") == licence


def accept(file: Path, repo: str, licence: str, date: str) -> None:
    """Remember it. Raises OSError."""
    entries = _read(file) | {repo: {"licence": licence, "accepted": date}}
    write_private(file, (json.dumps(entries, indent=2, ensure_ascii=False) + "\n").encode())


def _read(file: Path) -> dict[str, object]:
    try:
        entries = read_json(file, _MAX_BYTES)
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}
