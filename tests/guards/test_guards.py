"""Budgets, loops and languages: how a run is steered, and what is said about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx.core.card import Thinking, ThinkingStyle
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerSource,
    Done,
    Event,
    Notice,
    StopReason,
    ThinkingDelta,
    checked,
    fold,
)
from qvq_mlx.core.request import Budget
from qvq_mlx.core.tokens import Control, Finished, Step, Token
from qvq_mlx.guards.budget import parse_budget
from qvq_mlx.guards.language import Script, expected_scripts, parse_lang, scripts, strays
from qvq_mlx.guards.pushed import PushedRun
from qvq_mlx.guards.supervise import LONGEST_REPETITION_CHARS, GuardLimits, supervise
from qvq_mlx.reply.thinking import split
from tests.support.spelling import telling

MARKER = Thinking(
    ThinkingStyle.MARKER,
    ("**Final Answer**", "**答案**"),
    ("**Final Answer**",),
    closing="\n\n**Final Answer**\n\n",
)
TAG = Thinking(ThinkingStyle.TAG, closing="\n</think>\n\n")
MUTE = Thinking(ThinkingStyle.NONE)
WORDS = [f"w{index} " for index in range(400)]
LOOPING = [f"loop{index} " for index in range(40)] * 9


def engine(
    words: Sequence[str],
    control: Control,
    thinking: Thinking,
    after: Sequence[str] = ("\\boxed{2}",),
    block: int = 1,
) -> Iterator[Step]:
    """Says `words`, forces the closing text when asked, then says `after`.

    `block` tokens are drafted at once and committed one by one, as the decode loop's law has it.
    """
    queue, concluded = list(words), False
    while queue:
        upcoming, queue = queue[:block], queue[block:]
        forced = False
        for word in upcoming:
            if control.stopping:
                yield Finished(control.reason, "", 0, 0, 0, concluded)
                return
            if control.concluding and not concluded:
                concluded = forced = True
                break
            yield Token(0, word)
        if forced:
            yield Token(0, thinking.closing, forced=True)
            queue = list(after)
        if not queue and control.concluding and not concluded:
            concluded = True
            yield Token(0, thinking.closing, forced=True)
            queue = list(after)
    reason = control.reason if control.stopping else StopReason.END
    yield Finished(reason, "", 0, 0, 0, concluded)


def run(
    words: Sequence[str],
    limits: GuardLimits,
    thinking: Thinking = MARKER,
    after: Sequence[str] = ("\\boxed{2}",),
    block: int = 1,
) -> tuple[list[Event], Done]:
    control = Control()
    steps = engine(words, control, thinking, after, block)
    events = list(checked(supervise(steps, thinking, control, limits)))
    done = events[-1]
    assert isinstance(done, Done)
    return events, done


def codes(events: Sequence[Event]) -> list[str]:
    return [event.code for event in events if isinstance(event, Notice)]


@pytest.mark.parametrize("block", [1, 2, 3, 7])
@pytest.mark.parametrize("budget", [0, 1, 2, 17, 100])
def test_a_budget_forces_the_answer_after_exactly_that_many_tokens(budget: int, block: int) -> None:
    events, done = run(WORDS, GuardLimits(budget), block=block)
    transcript = fold(events)
    assert transcript.thinking.split() == [word.strip() for word in WORDS[:budget]]
    assert transcript.answer == "\\boxed{2}"
    assert done.stats.thinking_tokens == budget
    assert (done.stop_reason, done.complete, done.concluded) == (StopReason.BUDGET, True, True)
    assert codes(events) == ["budget"]


def test_tokens_that_the_split_holds_back_count() -> None:
    words = ["So\n", "**", "Final ", "hour", "** ", "and ", "more "]
    events, _ = run(words, GuardLimits(3))
    assert fold(events).thinking == "So"


def test_a_budget_that_is_not_reached_does_nothing() -> None:
    words = ["I ", "see.\n", "**Final Answer**\n", *WORDS]
    events, done = run(words, GuardLimits(3))
    assert done.stop_reason is StopReason.BUDGET  # the marker was the third token
    events, done = run(words, GuardLimits(4))
    assert (done.stop_reason, done.concluded, codes(events)) == (StopReason.END, False, [])
    assert fold(events).answer.startswith("w0 w1")


def test_an_answer_that_outgrows_its_tokens_is_stopped_and_is_no_whole_answer() -> None:
    events, done = run(WORDS, GuardLimits(5, answer_tokens=10), after=WORDS)
    assert fold(events).answer.split() == [word.strip() for word in WORDS[:10]]
    assert (done.stop_reason, done.complete) == (StopReason.BUDGET, False)
    assert codes(events) == ["budget", "answer-tokens"]


def test_an_answer_that_is_boxed_when_its_tokens_are_spent_is_whole() -> None:
    after = ["\\boxed{2}\n", *WORDS]
    events, done = run(WORDS, GuardLimits(5, answer_tokens=4), after=after)
    assert (fold(events).answer, done.complete) == ("\\boxed{2}", True)


def test_a_model_without_closing_text_has_no_budget() -> None:
    events, done = run(WORDS, GuardLimits(5), MUTE)
    assert (done.stop_reason, codes(events)) == (StopReason.END, [])


def test_the_first_loop_asks_for_the_answer() -> None:
    events, done = run(["So ", *LOOPING], GuardLimits())
    assert codes(events) == ["repetition", "loop"]
    assert fold(events).answer == "\\boxed{2}"
    assert (done.stop_reason, done.complete) == (StopReason.LOOP, True)
    assert len(fold(events).thinking) <= len("".join(LOOPING)) / 3 + 20


def test_the_second_loop_stops_with_what_there_is() -> None:
    events, done = run(LOOPING, GuardLimits(), after=LOOPING)
    assert codes(events) == ["repetition", "loop", "loop-stop"]
    assert (done.stop_reason, done.complete) == (StopReason.LOOP, False)


def test_repetition_in_an_answer_may_be_the_pictures_own() -> None:
    events, done = run(["<think>", "Hm.", "</think>", *LOOPING], GuardLimits(), TAG)
    assert codes(events) == []
    assert (done.stop_reason, done.complete) == (StopReason.END, True)


def test_an_answer_that_the_length_ends_within_a_loop_says_so() -> None:
    steps = [Token(0, word) for word in ["<think>", "Hm.", "</think>", *LOOPING]]
    end = Finished(StopReason.LENGTH, "", 0, 0, 0, False)
    events = list(supervise([*steps, end], TAG, Control(), GuardLimits()))
    assert codes(events) == ["loop-stop"]
    assert events[-1].stop_reason is StopReason.LOOP


def test_an_answer_longer_than_any_pictures_repetition_is_stopped_unless_a_schema_asks() -> None:
    words = ["<think>", "Hm.", "</think>", *(["The lamp is on. "] * 2000)]
    events, done = run(words, GuardLimits(), TAG)
    assert (codes(events), done.stop_reason) == (["loop-stop"], StopReason.LOOP)
    assert LONGEST_REPETITION_CHARS <= len(fold(events).answer) < LONGEST_REPETITION_CHARS + 3000
    events, done = run(words, GuardLimits(has_schema=True), TAG)
    assert (codes(events), done.stop_reason) == ([], StopReason.END)


def test_an_answer_that_was_whole_before_the_loop_stands() -> None:
    words = ["So.\n", "**Final Answer**\n", "\\boxed{7}\n", *LOOPING]
    events, done = run(words, GuardLimits())
    assert (fold(events).answer, done.complete) == ("\\boxed{7}", True)
    assert (done.stop_reason, done.answer_source) == (StopReason.LOOP, AnswerSource.MARKER)


def test_the_same_boxed_answer_twice_is_a_loop_and_stands() -> None:
    block = ["**Final Answer**\n", "\\boxed{7}\n", "\n"]
    events, done = run(["So.\n", *block * 9], GuardLimits())
    assert (fold(events).answer, done.complete) == ("\\boxed{7}", True)
    assert done.stop_reason is StopReason.LOOP
    assert done.stats.generated_tokens <= 1 + 6


def test_a_users_wish_to_conclude_is_not_a_guards() -> None:
    control = Control()
    control.conclude()
    steps = engine(WORDS, control, MARKER)
    events = list(supervise(steps, MARKER, control, GuardLimits(5)))
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.stop_reason, done.concluded, codes(events)) == (StopReason.END, True, ["asked"])


def test_a_users_stop_outranks_a_guards() -> None:
    control = Control()
    control.stop(StopReason.LOOP)
    control.stop()
    control.stop(StopReason.BUDGET)
    assert control.reason is StopReason.INTERRUPT


TEXT_PIECES = st.sampled_from(
    [
        "I see two. ",
        "\n",
        "**Final Answer**\n",
        "\\boxed{1}",
        "<think>",
        "</think>",
        "é",
        "数",
        ": ",
    ]
)


@given(
    st.lists(TEXT_PIECES, max_size=25),
    st.sampled_from([MARKER, TAG, MUTE]),
    st.sampled_from(list(StopReason)),
)
def test_guards_that_do_not_act_pass_the_same_stream(
    words: list[str], thinking: Thinking, reason: StopReason
) -> None:
    steps = [*(Token(0, word) for word in words), Finished(reason, "", 0, 0, 0, False)]
    guarded = list(checked(supervise(steps, thinking, Control(), GuardLimits(10_000))))
    if not codes(guarded):
        assert guarded == list(split(steps, thinking))


@given(
    st.lists(st.one_of(TEXT_PIECES, st.just("".join(LOOPING))), max_size=30),
    st.sampled_from([MARKER, TAG, MUTE]),
    st.integers(0, 30),
    st.integers(1, 20),
)
def test_a_run_that_is_fed_equals_one_that_pulls(
    words: list[str], thinking: Thinking, budget: int, answer_tokens: int
) -> None:
    limits = GuardLimits(budget, answer_tokens)
    pulled, _ = run(words, limits, thinking, after=words)
    pushed = PushedRun(thinking, limits, Control())
    for step in engine(words, pushed.control, thinking, words):
        pushed.feed(step)
    assert pushed.events == pulled


@given(
    st.lists(st.one_of(TEXT_PIECES, st.just("".join(LOOPING))), max_size=30),
    st.integers(0, 30),
    st.integers(1, 20),
    st.integers(1, 5),
)
def test_whatever_happens_there_is_one_done(
    words: list[str], budget: int, answer_tokens: int, block: int
) -> None:
    events, done = run(words, GuardLimits(budget, answer_tokens), after=words, block=block)
    assert sum(isinstance(event, Done) for event in events) == 1
    tokens = sum(e.tokens for e in events if isinstance(e, ThinkingDelta | AnswerDelta))
    assert tokens <= done.stats.generated_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("low", 1024), ("Medium", 4096), ("high", 12288), ("0", 0), ("1,500", 1500), ("none", None)],
)
def test_budgets_have_names_and_numbers(text: str, tokens: int | None) -> None:
    assert parse_budget(text) == Budget(tokens)


@pytest.mark.parametrize("text", ["", "-1", "some", "1.5", "²"])
def test_other_budgets_are_refused(text: str) -> None:
    with pytest.raises(UsageError, check=telling("--budget")):
        parse_budget(text)


def test_scripts_are_counted_over_prose() -> None:
    text = "Three 红色 circles: `код`, $\\alpha + x$, \\[ \\text{数} \\], \\boxed{\\text{五}}."
    assert scripts(text) == {Script.LATIN: 12, Script.HAN: 2}
    assert scripts("```\nкод\n```\nнет, ничего") == {Script.CYRILLIC: 9}
    assert scripts("It costs $5 or 5 元") == {Script.LATIN: 9, Script.HAN: 1}
    assert scripts("42 + 1 = 43!") == {}


@pytest.mark.parametrize(
    ("question", "lang", "also"),
    [
        ("How many circles?", "auto", set()),
        ("有几个圆？", "auto", {Script.HAN}),
        ("丸はいくつありますか", "auto", {Script.HAN, Script.KANA}),
        ("What does 你好 mean?", "auto", {Script.HAN}),
        ("Translate the sign into Russian.", "auto", {Script.CYRILLIC}),
        ("有几个圆？", "en", set()),
        ("How many circles?", "zh", {Script.HAN}),
    ],
)
def test_the_answer_may_use_the_questions_scripts(
    question: str, lang: str, also: set[Script]
) -> None:
    assert expected_scripts(question, lang) == {Script.LATIN, Script.GREEK} | also


def test_lang_off_holds_the_answer_to_nothing() -> None:
    assert expected_scripts("How many circles?", "off") is None
    assert strays("一二三四五六", None) == {}


def test_lang_takes_codes_with_a_region_and_refuses_others() -> None:
    assert [parse_lang(text) for text in ("auto", "OFF", "zh-CN", "en_GB")] == [
        *("auto", "off", "zh", "en")
    ]
    with pytest.raises(UsageError, check=telling("--lang")):
        parse_lang("klingon")


def test_thinking_in_another_script_is_a_notice_and_nothing_is_dropped() -> None:
    words = ["I count 红色的圆圈 there.\n", "**Final Answer**\n", "Three."]
    control = Control()
    limits = GuardLimits(scripts=expected_scripts("How many circles?"))
    events = list(supervise(engine(words, control, MARKER), MARKER, control, limits))
    assert codes(events) == ["language-thinking"]
    assert "红色的圆圈" in fold(events).thinking


def test_an_answer_in_another_script_is_a_notice() -> None:
    control = Control()
    limits = GuardLimits(scripts=expected_scripts("How many circles?"))
    events = list(supervise(engine(["一共有三个圆。"], control, MARKER), MARKER, control, limits))
    assert codes(events) == ["language-answer"]
