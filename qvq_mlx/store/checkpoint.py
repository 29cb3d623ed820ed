"""Reads the JSON files of a checkpoint.

Law: whatever a file holds, the outcome is an object or a BrokenModelError of one line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.system import reading

INDEX = "model.safetensors.index.json"
INDEX_BYTES = 2**25
"""The largest published one, of 36,000 tensors, has 4 MB."""
_CONFIG_BYTES = 2**22
_MAX_BYTES = {INDEX: INDEX_BYTES}


def read_json(path: Path, *, missing_ok: bool = False) -> dict[str, Any]:
    """The object in a checkpoint's file; {} where it may be missing and is.

    Raises BrokenModelError where it is missing, unreadable, or no object.
    """
    try:
        value = reading.read_json(path, _MAX_BYTES.get(path.name, _CONFIG_BYTES))
    except FileNotFoundError:
        if missing_ok:
            return {}
        raise BrokenModelError(
            f"{path.name} is missing in {path.parent}", RunProgram(("ls", "-l", str(path.parent)))
        ) from None
    except (OSError, ValueError) as error:
        raise BrokenModelError(
            f"{path} cannot be read: {reading.why(error)}",
            RunProgram(("python3", "-m", "json.tool", str(path))),
        ) from error
    if not isinstance(value, dict):
        raise BrokenModelError(
            f"{path} holds no JSON object", RunProgram(("head", "-c", "200", str(path)))
        )
    return value
