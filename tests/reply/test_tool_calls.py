"""Calls of a client's tools: found however the text is cut, and text where they are none."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qvq_mlx.reply import tool_calls
from qvq_mlx.reply.tool_calls import ToolCall, ToolScan, read, trailing_calls

SCHEMAS = {
    "lookup": {
        "properties": {
            "word": {"type": "string"},
            "count": {"type": "integer"},
            "deep": {"type": ["boolean", "null"]},
            "tags": {"type": "array"},
            "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "mode": {"enum": ["1", "2"]},
        }
    }
}
JSON_CALL = '<tool_call>\n{"name": "lookup", "arguments": {"word": "cat"}}\n</tool_call>'
CODER_CALL = (
    "<tool_call>\n<function=lookup>\n<parameter=word>\ncat\n</parameter>\n</function>\n</tool_call>"
)
CALL = ToolCall("lookup", '{"word": "cat"}')


def scanned(text: str, size: int, most: int = 99, *, is_whole: bool = True) -> list[str | ToolCall]:
    """The pieces of a text that comes in parts, texts beside each other as one."""

    def pieces() -> Iterator[str | ToolCall]:
        scan = ToolScan(SCHEMAS, most)
        for at in range(0, len(text), size):
            yield from scan.feed(text[at : at + size])
        yield from scan.end(is_whole=is_whole)

    found: list[str | ToolCall] = []
    for piece in pieces():
        if isinstance(piece, str) and found and isinstance(found[-1], str):
            found[-1] += piece
        else:
            found.append(piece)
    return found


@pytest.mark.parametrize("call", [JSON_CALL, CODER_CALL], ids=["json", "coder"])
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_text_and_calls_stand_apart(call: str, size: int) -> None:
    text = f"I look.\n\n{call}\n{call}\nand"
    assert scanned(text, size) == ["I look.", CALL, CALL, "\nand"]


@pytest.mark.parametrize("call", [JSON_CALL, CODER_CALL], ids=["json", "coder"])
def test_a_call_without_its_close_tag_is_one_where_the_model_ended(call: str) -> None:
    cut = call.removesuffix("</tool_call>")
    assert scanned(cut, 4) == [CALL]
    assert scanned(cut, 4, is_whole=False) == [cut]
    assert scanned(f"{cut[:-14]}", 4) == [cut[:-14]]


def test_no_more_calls_are_taken_than_are_wanted() -> None:
    assert scanned(f"{JSON_CALL}{JSON_CALL} more", 5, most=1) == [CALL]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "neither JSON"),
        ("lookup(word='cat')", "neither JSON"),
        ("[1]", "no object"),
        ('{"name": "lookup", "arguments": [1]}', "no object"),
        ('{"name": "lookup", "arguments": "cat"}', "no JSON"),
        ('{"name": "lookup", "arguments": {"x": NaN}}', "neither JSON"),
        ('{"name": "lookup", "arguments": {"x": "\\ud800"}}', "surrogate"),
        ('{"name": "other", "arguments": {}}', "no tool called 'other'"),
        ('{"name": ["lookup"], "arguments": {}}', "no tool called"),
        ("[" * 100_000, "neither JSON"),
        ("<function=other></function>", "no tool called 'other'"),
        ("<function=lookup><parameter=word>cat", "does not end"),
        ("<function=lookup>cat</function>", "between its parameters"),
    ],
)
def test_what_is_no_call_stays_text_and_says_why(body: str, why: str) -> None:
    found = read(body, SCHEMAS)
    assert isinstance(found, str)
    assert why in found
    text = f"<tool_call>{body}</tool_call>"
    scan = ToolScan(SCHEMAS)
    assert [*scan.feed(text), *scan.end(is_whole=True)] == [text]
    assert len(scan.problems) == 1


def test_a_call_that_is_too_long_is_text_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_calls, "LONGEST_CALL_CHARS", 40)
    text = f"a<tool_call>{'b' * 60}</tool_call>{JSON_CALL}"
    for size in (1, 9, 1000):
        assert scanned(text, size) == [text]


@pytest.mark.parametrize(
    ("key", "said", "value"),
    [
        ("word", "7", "7"),
        ("word", "\n a <b> \n", " a <b> "),
        ("word", "a</parameter>b", "a</parameter>b"),
        ("count", "\n7\n", 7),
        ("count", "seven", "seven"),
        ("deep", "True", True),
        ("deep", "false", False),
        ("deep", "None", None),
        ("tags", '["a", 1]', ["a", 1]),
        ("maybe", "null", None),
        ("maybe", "7", "7"),
        ("mode", "1", "1"),
        ("unknown", "7", 7),
        ("unknown", "true story", "true story"),
    ],
)
def test_the_schema_says_what_a_parameter_of_the_coder_form_is(
    key: str, said: str, value: object
) -> None:
    call = read(f"<function=lookup><parameter={key}>{said}</parameter></function>", SCHEMAS)
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments) == {key: value}


def test_the_calls_that_a_text_ends_with() -> None:
    text = f"{JSON_CALL} No.\n{JSON_CALL}\n{CODER_CALL}\n"
    assert trailing_calls(text, ToolScan(SCHEMAS)) == [CALL, CALL]
    assert trailing_calls(text + "Done.", ToolScan(SCHEMAS)) == []


WORDS = [JSON_CALL, CODER_CALL, "<tool_call>", "</tool_call>", "<tool", " ", "\n", "a", "<"]


@example(["a", "\n", " " * 70, JSON_CALL, " "], 1)
@given(st.lists(st.sampled_from(WORDS), max_size=8), st.integers(1, 9))
def test_what_is_found_does_not_depend_on_how_the_text_was_cut(words: list[str], size: int) -> None:
    text = "".join(words)
    assert scanned(text, size) == scanned(text, len(text) + 1)
