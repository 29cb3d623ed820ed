"""The stream's grammar, its times, its records, and the history of runs."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx import history
from qvq_mlx.core.errors import InputError
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    DoubleCheck,
    Event,
    Notice,
    Progress,
    Stage,
    Stats,
    StopReason,
    Tally,
    ThinkingDelta,
    Vote,
    checked,
    fold,
)
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.tokens import Step, Token
from qvq_mlx.records.runs import VERSION, RequestRecord, event_from_json, event_to_json
from qvq_mlx.run.timing import paced, timed

DONE = Done(StopReason.END, AnswerSource.MARKER, True, False, Stats(generated_tokens=3))
REQUEST = RequestRecord(VERSION, "request", "How many?", "qvq-tiny", (), None, 512, Sampling())
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

texts = st.text(max_size=20)
counts = st.integers(0, 10**6)
seconds = st.floats(0, 1e6)
any_event = st.one_of(
    st.builds(Progress, st.sampled_from(Stage), counts, counts),
    st.builds(ThinkingDelta, texts, counts),
    st.builds(AnswerDelta, texts, counts),
    st.builds(AnswerRetracted, texts),
    st.builds(Notice, texts, texts),
    st.builds(
        Done,
        st.sampled_from(StopReason),
        st.sampled_from(AnswerSource),
        st.booleans(),
        st.booleans(),
        st.builds(Stats, *[counts] * 5, *[seconds] * 6, counts),
        st.none()
        | st.builds(
            Vote,
            counts,
            st.lists(
                st.builds(Tally, texts, counts, st.lists(counts, max_size=3).map(tuple)),
                max_size=3,
            ).map(tuple),
            counts,
            counts,
            st.floats(0, 1),
        ),
        st.none()
        | st.builds(
            DoubleCheck,
            st.none() | st.booleans(),
            st.none() | texts,
            texts,
            st.sampled_from(StopReason),
            *[counts] * 4,
        ),
    ),
)


@given(any_event)
def test_events_round_trip_through_json(event: Event) -> None:
    assert event_from_json(json.loads(json.dumps(event_to_json(event)))) == event


@pytest.mark.parametrize(
    "record", [{}, {"type": "nothing"}, {"type": "thinking"}, {"type": "done"}]
)
def test_a_record_that_is_none_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not an event"):
        event_from_json(record)


def test_a_run_that_was_saved_before_votes_were_taken_still_loads() -> None:
    record = event_to_json(DONE)
    del record["vote"], record["double_check"], record["stats"]["double_check_s"]
    assert event_from_json(record) == DONE


@pytest.mark.parametrize(
    "events",
    [
        [],
        [ThinkingDelta("a", 1)],
        [DONE, DONE],
        [DONE, Notice("a", "b")],
        [AnswerRetracted("a"), DONE],
        [AnswerDelta("a", 1), ThinkingDelta("b", 1), DONE],
    ],
)
def test_the_grammar_is_checked(events: list[Event]) -> None:
    with pytest.raises(AssertionError):
        list(checked(events))


def test_a_retraction_moves_the_answer_into_the_thinking() -> None:
    transcript = fold(
        [
            ThinkingDelta("So", 1),
            AnswerDelta("2", 1),
            AnswerRetracted("\n\n**Final Answer**\n\n2"),
            AnswerDelta("3", 1),
            DONE,
        ]
    )
    assert transcript.thinking == "So\n\n**Final Answer**\n\n2"
    assert transcript.answer == "3"


def test_stages_are_timed() -> None:
    ticks = iter([0.0, 0.0, 2.0, 3.0, 5.0, 6.0, 9.0, 10.0])
    events: list[Event] = [
        Progress(Stage.LOAD, 0, 2),  # 0
        Progress(Stage.LOAD, 2, 2),  # 2
        Progress(Stage.PREFILL, 0, 9),  # 3: load took 3
        ThinkingDelta("a", 1),  # 5: prefill took 2
        ThinkingDelta("b", 1),  # 6
        AnswerDelta("c", 1),  # 9: thinking took 4
        DONE,  # 10
    ]
    stats = list(timed(events, lambda: next(ticks)))[-1]
    assert isinstance(stats, Done)
    assert stats.stats == Stats(
        generated_tokens=3, load_s=3, prefill_s=2, first_token_s=5, thinking_s=4, decode_s=5
    )
    assert stats.stats.tokens_per_s == pytest.approx(2 / 5)


def test_a_vote_is_decoding_and_a_double_check_is_not() -> None:
    ticks = iter([0.0, 1.0, 2.0, 6.0, 7.0, 7.0, 8.0, 9.0, 13.0])
    events: list[Event] = [
        Progress(Stage.PREFILL, 0, 9),  # 1
        Progress(Stage.VOTE, 0, 2),  # 2: prefill took 1
        Progress(Stage.VOTE, 2, 2),  # 6
        ThinkingDelta("a", 1),  # 7
        AnswerDelta("b", 1),  # 7
        Progress(Stage.DOUBLE_CHECK, 0, 0),  # 8: decoding took 6
        Progress(Stage.DOUBLE_CHECK, 1, 0),  # 9
        DONE,  # 13: the double check took 5
    ]
    done = list(timed(events, lambda: next(ticks)))[-1]
    assert isinstance(done, Done)
    assert done.stats == Stats(
        generated_tokens=3, prefill_s=1, first_token_s=2, thinking_s=5, decode_s=6, double_check_s=5
    )


class Time:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_pace_holds_tokens_back_and_nothing_else() -> None:
    time = Time()
    at: list[float] = []
    steps: list[Step] = [Progress(Stage.PREFILL, 0, 1), *(Token(n, "a") for n in range(5))]
    for step in paced(steps, 8.0, lambda: time.now, time.sleep):
        at.append(time.now)
        if step == Token(2, "a"):
            time.sleep(1.0)  # a slow step: what follows may catch up
    assert at == [0, 0, 0.125, 0.25, 1.25, 1.25]


EVENTS: list[Event] = [
    Progress(Stage.LOAD, 1, 1),
    ThinkingDelta("So", 1),
    ThinkingDelta(" I see", 2),
    AnswerDelta("2", 1),
    DONE,
]


def saved(folder: Path, events: list[Event] = EVENTS) -> history.Run:
    assert list(history.record(events, REQUEST, folder, NOW)) == events
    return history.last(folder)


def test_a_run_is_saved_merged_and_private(tmp_path: Path) -> None:
    run = saved(tmp_path / "history")
    assert run.events == (ThinkingDelta("So I see", 3), AnswerDelta("2", 1), DONE)
    assert run.request == REQUEST
    assert fold(run.events) == fold(EVENTS)
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(run.path.parent.stat().st_mode) == 0o700


def test_an_abandoned_run_keeps_what_there_was(tmp_path: Path) -> None:
    steps = history.record(EVENTS, REQUEST, tmp_path, NOW)
    for _ in range(3):
        next(steps)
    steps.close()
    assert history.last(tmp_path).events == (
        ThinkingDelta("So I see", 3),
        Notice("ended", "nobody read on"),
        Done(
            StopReason.INTERRUPT,
            AnswerSource.NONE,
            False,
            False,
            Stats(generated_tokens=3, thinking_tokens=3),
        ),
    )


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    path = saved(tmp_path).path
    path.write_text(path.read_text()[:-20])
    assert history.load(path).events == (ThinkingDelta("So I see", 3), AnswerDelta("2", 1))


def test_a_long_thought_is_on_disk_before_it_ends(tmp_path: Path) -> None:
    steps = history.record([ThinkingDelta("x" * 500, 9), DONE], REQUEST, tmp_path, NOW)
    next(steps)
    (path,) = tmp_path.glob("*.part")
    assert history.load(path).events == (ThinkingDelta("x" * 500, 9),)


def test_a_folder_that_cannot_be_written_costs_a_notice_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    first, *rest = history.record(EVENTS, REQUEST, tmp_path / "file" / "history", NOW)
    assert isinstance(first, Notice)
    assert rest == EVENTS


def test_no_run_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run is saved"):
        history.last(tmp_path)
