"""`qvq split`: saved outputs of any family, and what a person and a script get."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx.core.card import ThinkingStyle
from qvq_mlx.core.events import AnswerSource
from qvq_mlx.guards.saved import examine, has_answer, was_cut
from qvq_mlx.store import registry
from qvq_mlx.store.styles import VOICES, voice
from tests.conftest import World

Build = Callable[..., World]
PARAGRAPH = (
    "So I look at the picture again and count the circles from left to right. There is one near"
    " the tree, one beside the house, and one behind the fence, which makes three in all. "
)


def test_stdout_gets_the_answer_and_nothing_else(world: Build, tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    file.write_text("So I count two.\n\n**Final Answer**\n\n\\boxed{2}\n", encoding="utf-8")
    w = world()
    assert w.run("split", str(file)) == 0
    assert (w.out, w.err) == ("\\boxed{2}\n", "")


def test_json_tells_everything(world: Build) -> None:
    text = f"So 红色的圆圈.\n{PARAGRAPH * 4}\n**Final Answer**\n\\boxed{{2}}"
    w = world(stdin=text.encode())
    assert w.run("split", "--json", "-") == 0
    document = json.loads(w.out)
    assert document["thinking"] == text.partition("\n**Final")[0].strip()
    assert document["answer"] == "\\boxed{2}"
    assert document["answer_source"] == "marker"
    assert document["loop"]["period_chars"] == len(PARAGRAPH)
    begin = text.index(PARAGRAPH)
    at = document["loop"]["at_char"]
    assert begin + 2 * len(PARAGRAPH) < at <= begin + 3 * len(PARAGRAPH)
    assert document["scripts"]["thinking"]["han"] == 5


def test_a_person_sees_the_findings(world: Build) -> None:
    w = world(stdin=f"红色的圆圈 {PARAGRAPH * 4}\n**Final Answer**\n2".encode(), err_tty=True)
    assert w.run("split", "-") == 0
    assert w.out == "2\n"
    assert "loop at character" in w.err
    assert "thinking in several scripts: latin" in w.err


@pytest.mark.parametrize("text", ["", " \n\n", "\n**Final Answer**\n"])
def test_nothing_is_never_an_answer(world: Build, text: str) -> None:
    w = world(stdin=text.encode())
    assert w.run("split", "-") == 3
    assert w.out == ""
    w = world(stdin=text.encode())
    assert w.run("split", "--json", "-") == 3
    assert json.loads(w.out)["answer"] is None


def test_a_cut_thinking_is_no_answer(world: Build) -> None:
    w = world(stdin=f"So I need to count. {PARAGRAPH}Then I see that some".encode())
    assert w.run("split", "-") == 3
    assert (w.out, "cut off" in w.err) == ("", True)


def test_bytes_that_are_no_text_do_not_stop_it(world: Build) -> None:
    w = world(stdin=b"\xef\xbb\xbfHm \xff.\n**Final Answer**\n4")
    assert w.run("split", "-") == 0
    assert w.out == "4\n"


def test_a_missing_file_and_an_unknown_model_are_named(world: Build, tmp_path: Path) -> None:
    w = world()
    assert w.run("split", str(tmp_path / "none.txt")) == 6
    assert "none.txt" in w.err
    w = world(stdin=b"x")
    assert w.run("split", "-m", "nonesuch", "-") == 4


def test_no_escape_sequence_reaches_the_terminal(world: Build) -> None:
    w = world(stdin=b"**Final Answer**\n\x1b[31mred\x1b]0;x\x07", tty=True)
    assert w.run("split", "-") == 0
    assert "\x1b" not in w.out


@pytest.mark.parametrize(
    ("model", "text", "thinking", "answer", "source"),
    [
        ("qwq-32b-preview", "Hm.\n**Final Answer**\n4", "Hm.", "4", "marker"),
        ("Qwen/QwQ-32B", "Hm.\n</think>\n\n4", "Hm.", "4", "tag"),
        ("Qwen/QwQ-32B", "<think>\nHm.\n</think>\n\n4", "Hm.", "4", "tag"),
        ("Qwen3-VL-8B-Thinking-4bit", "Hm.</think>4", "Hm.", "4", "tag"),
        ("Kimi-VL-A3B-Thinking-2506", "◁think▷Hm.◁/think▷4", "Hm.", "4", "tag"),
        (
            "GLM-4.1V-9B-Thinking",
            "<think>Hm.</think><answer>It is <|begin_of_box|>4<|end_of_box|></answer>",
            "Hm.",
            "It is <|begin_of_box|>4<|end_of_box|>",
            "tag",
        ),
        ("ERNIE-4.5-VL-28B-A3B-Thinking", "Hm.</think>4", "Hm.", "4", "tag"),
        (
            "Apriel-1.5-15b-Thinker",
            "Here are my steps:\nHm.\n[BEGIN FINAL RESPONSE]\n4\n[END FINAL RESPONSE]",
            "Here are my steps:\nHm.",
            "4",
            "tag",
        ),
        ("Skywork-R1V-38B", "<think>Hm.</think>4", "Hm.", "4", "tag"),
        ("qwen2-vl-2b", "4", "", "4", "whole"),
    ],
)
def test_every_family_is_split(
    world: Build, model: str, text: str, thinking: str, answer: str, source: str
) -> None:
    w = world(stdin=text.encode())
    assert w.run("split", "--json", "-m", model.replace("qwen2-vl-2b", "org/plain"), "-") == 0
    document = json.loads(w.out)
    found = (document["thinking"], document["answer"], document["answer_source"])
    assert found == (thinking, answer, source)


def test_voices_agree_with_the_shipped_cards() -> None:
    card = registry.find("qvq")
    assert voice("qvq") == card.thinking
    assert voice("nonesuch") is None
    assert all(v.thinking.closing for v in VOICES)
    assert all(v.thinking.style is not ThinkingStyle.NONE for v in VOICES)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("A cat", AnswerSource.WHOLE),
        ("Sorry, but I can't assist with that.", AnswerSource.WHOLE),
        (PARAGRAPH * 2, AnswerSource.WHOLE),
        (f"A grid has rows. {PARAGRAPH}\n\n- the first row\n- the last row of it", "whole"),
        (f"The list: {PARAGRAPH}\n\n| a | b |\n|---|---|\n| 1 | 2 |", "whole"),
        (f"A grid has rows. {PARAGRAPH} Its columns are the", AnswerSource.NONE),
        (f"So I need to see. {PARAGRAPH * 2}\n\nFor", AnswerSource.NONE),
        ("So I need to find the number of", AnswerSource.NONE),
        ("Let's go", AnswerSource.WHOLE),
        ("So there are three circles.", AnswerSource.WHOLE),
        ("To find a row, look along the grid from left to right.", AnswerSource.WHOLE),
        (
            f"网格由行和列组成。{'行是水平的。' * 40}它们的交点就是网格中的单元格而且",
            "none",
        ),
        (f"A grid. {PARAGRAPH}\n\n3. **Its columns:**", AnswerSource.NONE),
        ("It is \\boxed{4", AnswerSource.NONE),
    ],
)
def test_a_text_without_marker_is_an_answer_if_it_ended(text: str, source: AnswerSource) -> None:
    thinking = voice("qvq")
    assert thinking is not None
    found = examine(text, thinking)
    assert found.done.answer_source == source
    assert has_answer(found) == (source == "whole")
    assert was_cut(text, answering=False) == (source == "none")


@given(
    st.lists(
        st.sampled_from(
            ["**Final Answer**", "\n", "a ", "\\boxed{", "}", PARAGRAPH, "数", "</think>"]
        ),
        max_size=30,
    ).map("".join),
    st.sampled_from(["qvq", "qwq-32b", "glm-4.5v"]),
)
def test_any_text_has_one_verdict(text: str, model: str) -> None:
    thinking = voice(model)
    assert thinking is not None
    found = examine(text, thinking)
    assert has_answer(found) <= bool(found.transcript.answer)
    assert (found.done.answer_source is AnswerSource.NONE) == (found.transcript.answer == "")
