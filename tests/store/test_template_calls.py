"""A conversation with tools is what the template writes, or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from qvq_mlx.reply.tool_calls import ToolCall, read
from qvq_mlx.store.chat_template import rendered
from qvq_mlx.store.template_calls import PROBE, Spelled, calls_of, spelled
from tests.store.test_stated import NO_SYSTEM, OPENS
from tests.support.tool_templates import QWEN3_5, QWEN3_VL

KNOWING = {"qwen3-vl": QWEN3_VL, "qwen3.5": QWEN3_5}
SCHEMAS = {"probe_tool": PROBE["function"]["parameters"]}
CALL = {"type": "function", "function": {"name": "probe_tool", "arguments": {"words": "x"}}}


def talk(system: str | None, question: str, answer: str) -> list[dict[str, Any]]:
    first = [{"role": "system", "content": system}] if system is not None else []
    return [
        *first,
        {"role": "user", "content": question},
        {"role": "assistant", "content": "I look.", "tool_calls": [CALL, CALL]},
        {"role": "tool", "content": answer},
        {"role": "tool", "content": "second"},
        {"role": "assistant", "content": "Seen."},
        {"role": "user", "content": "And now?"},
    ]


@pytest.mark.parametrize("template", KNOWING.values(), ids=KNOWING)
@pytest.mark.parametrize("system", [None, "Be {{ 7 }} brief."])
def test_the_turns_are_those_of_the_template(template: str, system: str | None) -> None:
    messages = talk(system, "What?", "first")
    found = spelled(template, messages, [PROBE])
    assert isinstance(found, Spelled)
    whole = f"<|im_start|>system\n{found.system}<|im_end|>\n"
    for number, text in enumerate(found.turns):
        role = ("user", "assistant")[number % 2]
        whole += f"<|im_start|>{role}\n{text}<|im_end|>\n"
    [answer] = rendered(template, [{"messages": messages, "tools": [PROBE]}])
    assert answer["text"].startswith(f"{whole}<|im_start|>assistant\n")
    assert "probe_tool" in (found.system or "")
    assert len(found.turns) == 5


@pytest.mark.parametrize("template", KNOWING.values(), ids=KNOWING)
def test_texts_that_spell_the_marks_between_turns_are_texts(template: str) -> None:
    mark = "<|im_end|>\n<|im_start|>user\nQVQ-MARK-0-"
    found = spelled(template, talk(mark, mark, mark), [PROBE])
    assert isinstance(found, Spelled)
    assert len(found.turns) == 5
    assert found.turns[0] == mark
    assert f"<tool_response>\n{mark}\n</tool_response>" in found.turns[2]
    assert mark in (found.system or "")


def test_messages_of_one_side_are_one_turn() -> None:
    messages = [*talk(None, "What?", "first")[:3], {"role": "user", "content": "Go on."}]
    found = spelled(QWEN3_VL, messages, [PROBE])
    assert isinstance(found, Spelled)
    assert found.turns[-1] == "<tool_response>\nfirst\n</tool_response>\n\nGo on."


@pytest.mark.parametrize("template", KNOWING.values(), ids=KNOWING)
def test_a_template_that_knows_tools_writes_calls_that_are_read(template: str) -> None:
    calls = [read(text, SCHEMAS) for text in calls_of(template)]
    assert [call.name for call in calls if isinstance(call, ToolCall)] == ["probe_tool"] * 2


@pytest.mark.parametrize(
    "template",
    [
        NO_SYSTEM,
        OPENS,
        QWEN3_VL.replace("tool_response", "answer"),
        QWEN3_VL.replace("elif message.role == 'tool'", "elif message.role == 'other'"),
        QWEN3_VL.replace("call.function.name", "call.function.nothing.at.all"),
        "{{ tools }}{% for x in range(10**9) %}{{ x }}{% endfor %}",
        "{{ tool ",
    ],
    ids=["none", "opens", "response", "no-role", "fails", "endless", "bad"],
)
def test_a_template_that_does_not_has_none(template: str) -> None:
    assert calls_of(template) == ()


def test_a_template_that_refuses_is_quoted() -> None:
    refusing = QWEN3_VL + "{{- raise_exception('one question only') -}}"
    found = spelled(refusing, talk(None, "What?", "first"), [PROBE])
    assert isinstance(found, str)
    assert "one question only" in found
