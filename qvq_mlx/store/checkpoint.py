"""Reads the JSON files of a checkpoint.

Law: whatever a file holds, the outcome is an object or a BrokenModelError of one line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.core.remedies import RunProgram


def read_json(path: Path, *, missing_ok: bool = False) -> dict[str, Any]:
    """The object in a checkpoint's file; {} where it may be missing and is.

    Raises BrokenModelError where it is missing, unreadable, or no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if missing_ok:
            return {}
        raise BrokenModelError(
            f"{path.name} is missing in {path.parent}", RunProgram(("ls", "-l", str(path.parent)))
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenModelError(
            f"{path} cannot be read: {error}", RunProgram(("python3", "-m", "json.tool", str(path)))
        ) from error
    if not isinstance(value, dict):
        raise BrokenModelError(
            f"{path} holds no JSON object", RunProgram(("head", "-c", "200", str(path)))
        )
    return value
