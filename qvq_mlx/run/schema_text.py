"""Reads the schema that an answer is held to: a file, or the JSON itself."""

from __future__ import annotations

import json
from pathlib import Path

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Field, RunProgram, Show
from qvq_mlx.system.reading import parse_json


def read_schema(given: str) -> str:
    """The text of a JSON schema. Raises UsageError."""
    text, where = given, ""
    if not given.lstrip().startswith(("{", "true", "false")):
        try:
            text, where = Path(given).expanduser().read_text(encoding="utf-8"), given
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise UsageError(
                (Field.SCHEMA, f" {given} cannot be read: {reason}"), RunProgram(("ls", "-l"))
            ) from error
    try:
        schema = parse_json(text)
    except ValueError as error:
        raise UsageError((where or Field.SCHEMA, f" is no JSON: {error}"), Show.ASK_HELP) from error
    if not isinstance(schema, dict | bool):
        said = " is no JSON schema: it is no object"
        raise UsageError((where or Field.SCHEMA, said), Show.ASK_HELP)
    return json.dumps(schema)
