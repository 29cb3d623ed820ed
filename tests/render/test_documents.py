"""What scripts get: stdout, stderr and `-o`, each apart."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from qvq_mlx.core.errors import OutputError, UsageError
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Notice,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.request import Output, OutputForm, ThinkingView
from qvq_mlx.records.runs import event_from_json
from tests.render.conftest import ANSWER, RECORDED, STAGES, THINKING, done, plan
from tests.support.spelling import hint_of, telling

CUT = [*RECORDED[:-1], done(complete=False, reason=StopReason.LENGTH)]


@pytest.mark.parametrize("err", [True, False])
def test_a_pipe_gets_the_answer_and_a_newline(world, err) -> None:
    w = world(out=False, err=err)
    seen = []
    w.play(RECORDED, each=lambda: seen.append(w.stdout.getvalue()))
    assert seen == [""] * (len(RECORDED) - 1) + [ANSWER + "\n"]
    assert w.window.text == ""
    assert err or w.stderr.getvalue() == ""


def test_the_status_line_names_stage_and_speed_and_is_gone_at_the_end(world) -> None:
    w = world(out=False)
    seen = []
    w.play(RECORDED, each=lambda: seen.append(w.window.text))
    assert "load 62 % · encode · prefill" in seen
    assert "prefill 812/1,310" in seen
    assert any(text.startswith("Thinking 12s · 1") and "10 tok/s" in text for text in seen)
    assert any(text.startswith("Answering") for text in seen)
    assert all("\n" not in text for text in seen)
    assert seen[-1] == ""
    assert not w.window.cursor[2]


def test_the_answer_in_a_pipe_is_raw(world) -> None:
    w = world(out=False, err=False)
    w.play([AnswerDelta("a\x1b[31mb", 1), done()])
    assert w.stdout.getvalue() == "a\x1b[31mb\n"


def test_a_cut_off_answer_is_not_shown(world) -> None:
    for boxed_only in (False, True):
        w = world(out=False, err=False)
        w.play(CUT, Output(boxed_only=boxed_only))
        assert w.stdout.getvalue() == ""


def test_boxed_only(world) -> None:
    w = world(out=False, err=False)
    w.play(RECORDED, Output(boxed_only=True))
    assert w.stdout.getvalue() == "4\n"
    w = world(out=False, err=False)
    w.play([AnswerDelta("no box", 1), done()], Output(boxed_only=True))
    assert w.stdout.getvalue() == "no box\n"


def test_quiet_and_verbose_on_a_plain_stderr(world) -> None:
    events = [Notice("loop", "again"), *RECORDED]
    for output, expected in ((Output(), 1), (Output(quiet=True), 0), (Output(verbose=True), 6)):
        w = world(out=False, err=False)
        w.play(events, output, step_s=1)
        assert len(w.stderr.getvalue().splitlines()) == expected
    assert "load 25.0 GiB in 3.0 s\n" in w.stderr.getvalue()
    assert "note[loop]: again\n" in w.stderr.getvalue()


def test_quiet_on_a_terminal_stderr(world) -> None:
    w = world(out=False)
    w.play(RECORDED, Output(quiet=True))
    assert w.stderr.getvalue() == ""


def test_full_thinking_goes_to_stderr(world) -> None:
    full = Output(view=ThinkingView.FULL)
    w = world(out=False, err=False)
    w.play(RECORDED, full)
    assert w.stderr.getvalue() == THINKING.strip() + "\n"
    assert w.stdout.getvalue() == ANSWER + "\n"
    w = world(out=False)
    w.play(RECORDED, full)
    assert w.window.text.split() == THINKING.split()


def test_a_retracted_answer_is_thinking_on_stderr(world) -> None:
    w = world(out=False, err=False)
    events = [ThinkingDelta("a", 1), AnswerDelta("b", 1), AnswerRetracted("X b"), done()]
    w.play(events, Output(view=ThinkingView.FULL))
    assert w.stderr.getvalue() == "a\nX b\n"


def test_a_tail_is_drawn_on_the_terminal_that_is_there(world) -> None:
    w = world(out=False)
    seen = []
    w.play(
        RECORDED,
        Output(view=ThinkingView.TAIL),
        each=lambda: seen.append(w.window.text.split("\n")),
    )
    assert max(map(len, seen)) == 7
    assert seen[-1] == [""]
    assert w.stdout.getvalue() == ANSWER + "\n"


@pytest.mark.parametrize("form", OutputForm)
def test_a_tail_without_a_terminal_is_refused(world, form) -> None:
    w = world(out=False, err=False)
    with pytest.raises(UsageError, check=telling("--thinking tail needs a terminal")) as caught:
        w.start(Output(form=form, view=ThinkingView.TAIL))
    assert hint_of(caught.value) == "qvq ask ... --thinking full"


@pytest.mark.parametrize("out", [True, False])
def test_json_is_one_object_at_the_end(world, out) -> None:
    w = world(out=out, err=False)
    w.play([Notice("n", "text"), *RECORDED], Output(form=OutputForm.JSON), plan("猫.png"))
    text = w.stdout.getvalue()
    record = json.loads(text)
    assert record["answer"] == ANSWER
    assert record["thinking"] == THINKING.strip()
    assert record["boxed"] == "4"
    assert record["notices"] == [{"code": "n", "text": "text"}]
    assert record["images"][0]["path"] == "猫.png"
    assert "猫" in text
    assert text.endswith("}\n")
    assert text.startswith('{\n  "version"')


def test_json_says_that_an_answer_was_cut_off(world) -> None:
    w = world(out=False, err=False)
    w.play(CUT, Output(form=OutputForm.JSON))
    record = json.loads(w.stdout.getvalue())
    assert record["answer"] is None
    assert record["partial_answer"] == ANSWER
    assert record["stop_reason"] == "length"


def test_jsonl_is_the_stream_as_it_happens(world) -> None:
    w = world(out=False, err=False)
    count = []
    w.play(
        RECORDED,
        Output(form=OutputForm.JSONL),
        each=lambda: count.append(w.stdout.getvalue().count("\n")),
    )
    assert count == list(range(2, len(RECORDED) + 2))
    head, *rest = map(json.loads, w.stdout.getvalue().splitlines())
    assert head["type"] == "request"
    assert [event_from_json(record) for record in rest] == list(RECORDED)


def test_json_holds_no_control_and_reads_back(world) -> None:
    evil = "\x1b[2J\x7f\x9b\u2028\udcff"
    for form in (OutputForm.JSON, OutputForm.JSONL):
        w = world(err=False)
        w.play([AnswerDelta(evil, 1), done()], Output(form=form), plan(f"{evil}.png"))
        text = w.stdout.getvalue()
        assert all(ch == "\n" or ch.isprintable() for ch in text)
        record = json.loads(text.splitlines()[0] if form is OutputForm.JSONL else text)
        assert record["images"][0]["path"] == f"{evil}.png"


def test_a_status_line_does_not_tear_jsonl_on_the_same_terminal(world) -> None:
    w = world()
    w.play(RECORDED, Output(form=OutputForm.JSONL))
    assert w.stderr.getvalue() == ""
    w.play(RECORDED, Output(form=OutputForm.JSONL, view=ThinkingView.FULL))
    with pytest.raises(UsageError, check=telling("--thinking tail and --jsonl")):
        w.start(Output(form=OutputForm.JSONL, view=ThinkingView.TAIL))


@pytest.mark.parametrize("form", OutputForm)
@pytest.mark.parametrize("out", [True, False])
def test_o_is_written_at_the_end_and_whole(world, tmp_path: Path, form, out) -> None:
    target = tmp_path / "answer.txt"
    target.write_text("before")
    target.chmod(0o640)
    w = world(out=out)
    seen = []
    output = Output(form=form, file=target)
    w.play(RECORDED, output, each=lambda: seen.append(target.read_text()))
    assert set(seen[:-1]) == {"before"}
    assert ('"boxes": []' if form is OutputForm.BOXES else "**four**") in seen[-1]
    assert target.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["answer.txt"]
    assert w.window.text == ""


def test_o_leaves_the_old_file_where_there_is_no_answer(world, tmp_path: Path) -> None:
    target = tmp_path / "answer.txt"
    target.write_text("before")
    w = world(out=False, err=False)
    w.play(CUT, Output(file=target))
    renderer = w.start(Output(form=OutputForm.JSONL, file=target))
    renderer.feed(STAGES[0])
    renderer.abort()
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["answer.txt"]


def test_o_follows_a_link_and_spares_a_device(world, tmp_path: Path) -> None:
    target = tmp_path / "real.txt"
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    world(out=False, err=False).play(RECORDED, Output(file=link))
    assert link.is_symlink()
    assert target.read_text() == ANSWER + "\n"
    null = Path(os.devnull)
    world(out=False, err=False).play(RECORDED, Output(file=null))
    assert null.is_char_device()


def test_o_fails_before_any_work(world, tmp_path: Path) -> None:
    w = world(out=False, err=False)
    with pytest.raises(OutputError, match="there is no folder") as caught:
        w.start(Output(file=tmp_path / "none" / "a.txt"))
    assert hint_of(caught.value) == f"mkdir -p {tmp_path / 'none'}"
    with pytest.raises(OutputError, match="is a folder"):
        w.start(Output(file=tmp_path))
    (tmp_path / "locked").mkdir(mode=0o500)
    if os.geteuid():  # root writes there all the same
        with pytest.raises(OutputError, match="cannot be written"):
            w.start(Output(file=tmp_path / "locked" / "a.txt"))
    with pytest.raises(OutputError, match="cannot be written"):
        w.start(Output(file=tmp_path / ("a" * 300)))  # longer than any file system's names


def test_a_stream_that_cannot_encode_loses_a_character_and_not_the_answer(world) -> None:
    w = world(out=False, err=False)

    class Latin(type(w.stdout)):
        encoding = "latin-1"

    w.stdout = Latin()
    w.play([AnswerDelta("é 猫", 1), done()])
    assert w.stdout.getvalue() == "é ?\n"


def test_a_whole_text_is_the_answer(world) -> None:
    w = world(out=False, err=False)
    w.play([ThinkingDelta(" It is 7. ", 3), done(AnswerSource.WHOLE)])
    assert w.stdout.getvalue() == "It is 7.\n"
