"""Fields and errors that OpenAI's two interfaces share; Anthropic's takes some of them."""

from __future__ import annotations

import json

from qvq_mlx.serve.asked import Role
from qvq_mlx.serve.fields import Fields, RequestError, checked_text
from qvq_mlx.serve.wire import Json, Refusal

ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
}


def error_body(refusal: Refusal) -> Json:
    """An error as OpenAI's clients read it."""
    kind = "invalid_request_error" if refusal.status < 500 else "server_error"
    if refusal.status == 429:
        kind = "rate_limit_error"
    return {
        "error": {
            "message": refusal.message,
            "type": kind,
            "param": refusal.param,
            "code": refusal.code,
        }
    }


def refuse_tools(body: Fields) -> None:
    """Raise RequestError where tools are to be called: no reply is read for calls of tools."""
    body.only("tools", [])
    body.only("functions", [])
    body.only("tool_choice", "none", "auto")
    body.only("function_call", "none", "auto")
    body.ignore("parallel_tool_calls")


def schema_of(body: Fields, name: str) -> str:
    """The schema of `response_format`, or of the `format` of a response; '' for none."""
    form = body.record(name)
    if form is None:
        return ""
    kind = form.one_of("type", ("text", "json_object", "json_schema"))
    if kind is None:
        raise RequestError(f"{form.path('type')} is missing", form.path("type"))
    schema: object = {"type": "object"} if kind == "json_object" else None
    if kind == "json_schema":
        inner = form.record("json_schema") or form
        inner.text("name")
        inner.text("description")
        inner.flag("strict")
        schema = inner.take("schema")
        if not isinstance(schema, dict):
            raise RequestError(f"{inner.path('schema')} has to be an object", inner.path("schema"))
        inner.close()
    form.close()
    return json.dumps(schema) if schema is not None else ""


def stop_of(body: Fields, name: str = "stop") -> tuple[str, ...]:
    """Up to four texts at which the answer ends."""
    value = body.take(name)
    if value is None:
        return ()
    texts = value if isinstance(value, list) else [value]
    found = tuple(checked_text(text, body.path(name)) for text in texts)
    if len(found) > 4 or not all(found):
        raise RequestError(f"{body.path(name)} has to be up to 4 texts, none empty", name)
    return found
