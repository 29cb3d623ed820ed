"""Reads the schema that an answer is held to: a file, or the JSON itself."""

from __future__ import annotations

import json
from pathlib import Path

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Ask, AskAgain, Field, RunProgram, Show
from qvq_mlx.run.schema_words import meant_by, unknown_word
from qvq_mlx.system.reading import parse_json

_WRAPPER = {"name", "strict", "schema", "description"}
_LEAVE_OUT = Ask()


def read_schema(given: str) -> str:
    """The text of a JSON schema, taken out of an API's wrapper; each word of it is known.

    Raises UsageError.
    """
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
    return json.dumps(_checked(_unwrapped(schema), where or Field.SCHEMA))


def check_enforced(schema: str) -> None:
    """Raise UsageError for a schema, as `read_schema` gives it, that no answer can be held to."""
    from qvq_mlx.engine.grammar import problem_with

    if problem := problem_with(schema):
        raise UsageError(
            (Field.SCHEMA, f" cannot be enforced: {problem}"),
            AskAgain(((Field.SCHEMA, '{"type": "object"}'),)),
        )


def _unwrapped(schema: object) -> object:
    """The schema within what APIs wrap around it: `{"name": ..., "strict": ..., "schema": ...}`."""
    if isinstance(schema, dict) and schema.get("type") == "json_schema":
        schema = schema.get("json_schema", schema)
    if isinstance(schema, dict) and "schema" in schema and not schema.keys() - _WRAPPER:
        return schema["schema"]
    return schema


def _checked(schema: object, where: str) -> dict[str, object]:
    """A schema whose words are all known. Raises UsageError."""
    if schema is True:
        raise UsageError((where, " is true, which any answer satisfies: leave it out"), _LEAVE_OUT)
    if schema is False:
        raise UsageError((where, " is false, which no answer satisfies"), _LEAVE_OUT)
    if not isinstance(schema, dict):
        raise UsageError((where, " is no JSON schema: it is no object"), Show.ASK_HELP)
    try:
        unknown = unknown_word(schema)
    except ValueError as error:
        raise UsageError((where, f" cannot be enforced: {error}"), Show.ASK_HELP) from error
    if unknown is None:
        return schema
    word, path = unknown
    near = meant_by(word)
    meant = f"; {near!r} is" if near else ""
    at = f" in {path[:80]}" if path else ""
    said = f": {word[:40]!r}{at} is no word of JSON Schema and would hold nothing{meant}"
    raise UsageError((where, said), Show.ASK_HELP)
