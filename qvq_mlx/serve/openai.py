"""Fields and errors that OpenAI's two interfaces share; Anthropic's takes some of them."""

from __future__ import annotations

import json

from qvq_mlx.serve.asked import Role
from qvq_mlx.serve.fields import Fields, RequestError, checked_text
from qvq_mlx.serve.tools import Offer, Tool, choice_of, offer_of, tool_of
from qvq_mlx.serve.wire import Json, Refusal

ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
}
_CHOICES = {"auto": "auto", "none": "none"}


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


def offer_in(body: Fields, *, nested: bool) -> Offer:
    """The tools of a body and its choice of them; `nested`: each is in a field `function`."""
    tools = [_tool(Fields(value, place), nested=nested) for place, value in body.items("tools")]
    choice = choice_of(body.take("tool_choice"), body.path("tool_choice"), _CHOICES)
    body.only("functions", [])
    body.only("function_call", "none", "auto")
    parallel = body.flag("parallel_tool_calls", default=True)
    return offer_of(tools, body.path("tools"), choice, parallel=parallel)


def _tool(fields: Fields, *, nested: bool) -> Tool:
    kind = fields.text("type")
    if kind != "function":
        place = fields.path("type")
        raise RequestError(f"{place} has to be function, and is {str(kind)[:40]!r}", place)
    if not nested:
        return tool_of(fields, "parameters")
    function = fields.record("function")
    if function is None:
        raise RequestError(f"{fields.path('function')} is missing", fields.path("function"))
    fields.ignore("cache_control")
    fields.close()
    return tool_of(function, "parameters")


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
