"""Properties: whatever a legal stream holds, every renderer shows it without an error."""

from __future__ import annotations

import json
import re
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    Event,
    Notice,
    Progress,
    Stage,
    Stats,
    StopReason,
    ThinkingDelta,
    checked,
    fold,
)
from qvq_mlx.core.request import Output, OutputForm, ThinkingView
from tests.render.conftest import plan

CALM = settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TEXT = st.one_of(
    st.text(max_size=40),
    st.text("ab \n\t*_`#-|$\\[]{}()>1.\x1b\x9b猫🐈", max_size=60),
    st.sampled_from(["\\boxed{7}", "\\[", "\\]", "$$", "```\n", "- a\n", "\n\n", "| a |\n|---|\n"]),
)
PROGRESS = st.builds(Progress, st.sampled_from(Stage), st.integers(0, 10**6), st.integers(0, 10**6))
TOKENS = st.integers(0, 9)
DONE = st.builds(
    Done,
    st.sampled_from(StopReason),
    st.sampled_from(AnswerSource),
    st.booleans(),
    st.booleans(),
    st.just(Stats()),
)
OUTPUTS = st.builds(
    Output,
    st.sampled_from(OutputForm),
    st.none() | st.sampled_from(ThinkingView),
    st.booleans(),
    st.none(),
    st.booleans(),
    st.booleans(),
)
SIZES = st.tuples(st.integers(1, 90), st.integers(1, 30))


@st.composite
def streams(draw, text=TEXT) -> list[Event]:
    """Any stream that the grammar allows."""
    events: list[Event] = draw(st.lists(PROGRESS, max_size=3))
    answering = False
    for kind in draw(st.lists(st.sampled_from("ttttaaaaaarnp"), max_size=25)):
        if kind == "t" and not answering:
            events.append(ThinkingDelta(draw(text), draw(TOKENS)))
        elif kind == "a":
            answering = True
            events.append(AnswerDelta(draw(text), draw(TOKENS)))
        elif kind == "r" and answering:
            answering = False
            events.append(AnswerRetracted(draw(text)))
        elif kind == "n":
            events.append(Notice("code", draw(text)))
        elif kind == "p":
            events.append(draw(PROGRESS))
    events.append(draw(DONE))
    return list(checked(events))


@CALM
@given(streams(), OUTPUTS, SIZES, st.booleans(), st.booleans(), st.text(max_size=20))
def test_no_renderer_raises(world, events, output, size, out, err, name) -> None:
    w = world(*size, out=out, err=err)
    try:
        w.play(events, output, plan(name))
    except UsageError:
        assert output.view is ThinkingView.TAIL
        return
    expected = fold(events)
    whole = events[-1].complete
    if output.form is OutputForm.JSON:
        assert json.loads(w.stdout.getvalue())["answer"] == (expected.answer if whole else None)
    elif output.form is OutputForm.JSONL:
        assert len(w.stdout.getvalue().splitlines()) == len(events) + 1
    elif output.form is OutputForm.BOXES:
        assert json.loads(w.stdout.getvalue())["complete"] == whole
    elif not out and not output.boxed_only:
        answer = expected.answer.encode("utf-8", "replace").decode()
        assert w.stdout.getvalue() == (answer + "\n" if whole else "")
    if (out and output.form is OutputForm.TEXT) or err:
        assert w.window.cursor[1:] == (0, False) or output.form is not OutputForm.TEXT
    for stream in (w.stdout, w.stderr) if out else ():
        safe = re.sub(r"\x1b\[(\d+A|1B|2K|K|J|[\d;]*m|\?(2026|25|7)[hl])", "", stream.getvalue())
        if stream.isatty():
            assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", safe)


@st.composite
def numbered(draw) -> list[Event]:
    """A stream without a retraction, each word of it unlike every other."""
    number = count()
    word = st.builds(
        lambda end: f"w{next(number):03}{end}", st.sampled_from([" ", " ", "\n", "\n\n", "\n- "])
    )
    events: list[Event] = [ThinkingDelta(draw(word), 1) for _ in range(draw(st.integers(0, 60)))]
    events += [AnswerDelta(draw(word), 1) for _ in range(draw(st.integers(1, 60)))]
    return [*events, Done(StopReason.END, AnswerSource.MARKER, True, False, Stats())]


def words_on(w) -> list[str]:
    """The words of a window; a paragraph, one line to whoever copies it, breaks within them."""
    return re.findall(r"w\d\d\d", w.window.text.replace("\n", ""))


@CALM
@given(
    numbered(),
    st.sampled_from(ThinkingView),
    st.tuples(st.integers(20, 90), st.integers(4, 30)),
    st.floats(0.001, 0.5),
)
def test_no_word_is_doubled_or_lost(world, events, view, size, step_s) -> None:
    w = world(*size)

    def check() -> None:
        found = words_on(w)
        assert len(found) == len(set(found))

    w.play(events, Output(view=view), each=check, step_s=step_s)
    answer = re.findall(r"w\d\d\d", fold(events).answer)
    shown = words_on(w)
    assert shown[len(shown) - len(answer) :] == answer
    assert len(shown) == len(answer) or view is ThinkingView.FULL
