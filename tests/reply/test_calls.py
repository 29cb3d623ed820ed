"""Calls of the zoom-in tool: found however the text is cut, and read in both spellings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx.reply.calls import LONGEST_CALL_CHARS, CallScan, Malformed, Zoom, read
from tests.support.tool_templates import coder_call, json_call

BOX = [100, 200, 300, 400]
SPELT = {"json": json_call(BOX, 1), "coder": coder_call(BOX, 1)}


def scanned(text: str, cuts: list[int]) -> tuple[str, str | None]:
    scan, shown, last = CallScan("</think>"), "", 0
    for cut in [*sorted(cuts), len(text)]:
        shown += scan.feed(text[last:cut])
        last = max(last, cut)
    return shown + scan.rest(), scan.call


@pytest.mark.parametrize("call", SPELT.values(), ids=SPELT)
def test_both_spellings_say_the_same(call: str) -> None:
    shown, found = scanned(f"I look closer.\n{call}", [])
    assert shown == "I look closer.\n"
    assert found is not None
    assert read(found) == Zoom((100, 200, 300, 400), "the sum", 1)


@given(
    text=st.lists(
        st.sampled_from(
            [*SPELT.values(), "</think>", "\n\n", "<tool_call>", "</tool_call>", "<", "a", "</thi"]
        ),
        max_size=6,
    ).map("".join),
    cuts=st.lists(st.integers(0, 300), max_size=8),
)
def test_how_a_text_is_cut_changes_nothing(text: str, cuts: list[int]) -> None:
    cuts = [min(cut, len(text)) for cut in cuts]
    assert scanned(text, cuts) == scanned(text, []) == scanned(text, list(range(len(text))))


@given(text=st.text("<>/tool_callthink \n", max_size=80))
def test_what_is_no_call_is_shown(text: str) -> None:
    shown, call = scanned(text, [3, 9])
    assert call is not None or shown == text


def test_the_close_tag_right_before_a_call_is_not_shown() -> None:
    assert scanned(f"So.\n</think>\n\n{SPELT['json']}", list(range(40)))[0] == "So.\n"
    assert scanned(f"</think> I look. {SPELT['json']}", [])[0] == "</think> I look. "
    assert scanned("So.</think>\n\nSeven.", [5, 12])[0] == "So.</think>\n\nSeven."


def test_a_call_without_an_end_is_text() -> None:
    text = "<tool_call>" + "x" * 2 * LONGEST_CALL_CHARS
    scan = CallScan()
    assert len(scan.feed(text)) == len(text), "nothing waits for ever"
    assert scanned(text + SPELT["json"], [5])[0] == text


def test_space_without_end_is_not_held_back() -> None:
    scan = CallScan("</think>")
    assert scan.feed("</think>" + "\n" * 100) != ""


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("", "neither JSON"),
        ("{", "neither JSON"),
        ("[" * 100_000, "neither JSON"),
        ("[1]", "no object"),
        ('{"name": "other", "arguments": {}}', "'other'"),
        ('{"name": "image_zoom_in_tool"}', "no arguments"),
        ('{"name": "image_zoom_in_tool", "arguments": "x"}', "no arguments"),
        (json_call([1, 2, 3])[11:-12], "four numbers"),
        (json_call([1, 2, 3, "4"])[11:-12], "four numbers"),
        (json_call([1, 2, 3, True])[11:-12], "four numbers"),
        (json_call([1, 2, 3, float("nan")])[11:-12], "four numbers"),
        (json_call([1, 2, 3, 1e400])[11:-12], "four numbers"),
        (json_call([1, 2, 3, 10**400])[11:-12], "four numbers"),
        (json_call(BOX, "first")[11:-12], "img_idx"),
        (json_call(BOX, -1)[11:-12], "img_idx"),
        (json_call(BOX, 0.5)[11:-12], "img_idx"),
        ("<function=image_zoom_in_tool>", "four numbers"),
        ("<function=image_zoom_in_tool><parameter=bbox_2d>[1, 2</parameter>", "four numbers"),
    ],
)
def test_a_malformed_call_has_a_reason(call: str, said: str) -> None:
    found = read(call)
    assert isinstance(found, Malformed)
    assert said in found.reason
    assert "\n" not in found.reason


def test_arguments_as_a_text_are_read() -> None:
    call = '{"name": "image_zoom_in_tool", "arguments": "{\\"bbox_2d\\": [1, 2, 3, 4]}"}'
    assert read(call) == Zoom((1, 2, 3, 4))
