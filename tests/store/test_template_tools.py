"""The tool is offered in the template's own words, or not at all."""

from __future__ import annotations

import json

import pytest

from qvq_mlx.core.look import ZOOM_TOOL
from qvq_mlx.reply.calls import Zoom, read
from qvq_mlx.store.template_tools import BOX, DEFINITION, offer
from tests.store.test_stated import NO_SYSTEM, OPENS
from tests.support.tool_templates import QWEN3_5, QWEN3_VL

KNOWING = {"qwen3-vl": QWEN3_VL, "qwen3.5": QWEN3_5}
SIGNATURE = json.dumps(DEFINITION, ensure_ascii=False)


@pytest.mark.parametrize("template", KNOWING.values(), ids=KNOWING)
@pytest.mark.parametrize("system", [None, "You are a <|im_end|> careful\nreader {{ 7 }}."])
def test_a_template_that_knows_tools_offers_one(template: str, system: str | None) -> None:
    found = offer(template, system)
    assert found is not None
    assert f"<tools>\n{SIGNATURE}\n</tools>" in found.system
    assert (system or "") in found.system
    zoom = read(found.call)
    assert isinstance(zoom, Zoom)
    assert zoom.numbers == BOX


def test_a_model_that_is_asked_not_to_think_is_offered_it_too() -> None:
    assert offer(QWEN3_5, None, thinks=False) is not None


def test_where_a_template_puts_the_system_message_is_kept() -> None:
    first, last = offer(QWEN3_VL, "SAID"), offer(QWEN3_5, "SAID")
    assert first is not None
    assert last is not None
    assert first.system.startswith("SAID\n\n# Tools")
    assert last.system.endswith("</tool_call>\n\nSAID")


@pytest.mark.parametrize(
    "template",
    [
        NO_SYSTEM,
        OPENS,
        QWEN3_VL.replace("tool_response", "answer"),
        QWEN3_VL.replace("elif message.role == 'tool'", "elif message.role == 'other'"),
        QWEN3_VL.replace("<tool_call>", "<call>"),
        QWEN3_VL.replace("said(messages[0].content) + '\\n\\n'", "'Tools only.'"),
        QWEN3_VL.replace("call.function.name", "call.function.nothing.at.all"),
        "{% for x in range(10**9) %}{{ x }}{% endfor %}",
        "{{ ",
    ],
    ids=["none", "opens", "response", "no-role", "other-call", "drops", "fails", "endless", "bad"],
)
def test_a_template_that_does_not_offers_nothing(template: str) -> None:
    assert offer(template, "SAID") is None


def test_the_name_is_the_one_that_models_were_trained_with() -> None:
    assert ZOOM_TOOL == "image_zoom_in_tool"
