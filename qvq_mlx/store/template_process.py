"""Renders a chat template, in a process of its own: `store/chat_template.py` starts it.

A template is a program of others. It runs in Jinja2's sandbox, within the seconds and bytes that
are set here and by the parent, and with the filters and functions that transformers gives it.

stdin: a line of JSON, {"template": text, "conversations": [{"messages": [...], ...}, ...]};
    what a conversation holds besides are the template's own variables
stdout: JSON, a list with {"text": ...} or {"error": ...} for each conversation
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from datetime import datetime
from typing import NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

_CPU_S = 3
_MEMORY_BYTES = 2**30
_TEXT_CHARACTERS = 2**18


class _Generation(Extension):
    """`{% generation %}`, which marks what a model said for training: the text within it."""

    tags = {"generation"}  # noqa: RUF012 - the base class has it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(value: object, indent: int | None = None, *, ensure_ascii: bool = False) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _now(layout: str) -> str:
    return datetime.now().strftime(layout)


def _rendered(template: jinja2.Template, conversation: dict[str, object]) -> dict[str, str]:
    try:
        text = template.render(conversation, add_generation_prompt=True)
    except Exception as error:  # it is a program: whatever it does wrong
        return {"error": " ".join(str(error).split())[:200] or type(error).__name__}
    if len(text) > _TEXT_CHARACTERS:
        return {"error": f"it writes {len(text):,} characters"}
    return {"text": text}


def main() -> None:
    """Render what stdin asks for."""
    for bound, most in ((resource.RLIMIT_CPU, _CPU_S), (resource.RLIMIT_AS, _MEMORY_BYTES)):
        with contextlib.suppress(OSError, ValueError):  # macOS does not bound the second
            resource.setrlimit(bound, (most, most))
    order = json.loads(sys.stdin.buffer.readline())
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals |= {"raise_exception": _raise_exception, "strftime_now": _now}
    try:
        template = environment.from_string(order["template"])
    except jinja2.TemplateError as error:
        answers = [{"error": " ".join(str(error).split())[:200]}] * len(order["conversations"])
    else:
        answers = [_rendered(template, one) for one in order["conversations"]]
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main()
