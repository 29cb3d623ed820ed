"""`--vote` and `--double-check` in `qvq ask`: what is printed and recorded, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.events import StopReason
from qvq_mlx.core.request import Method, Request
from qvq_mlx.core.tokens import Control
from qvq_mlx.run.double_check import question_about
from qvq_mlx.run.plan import _check_images
from qvq_mlx.run.vote import count, said_of
from qvq_mlx.store import registry
from tests.conftest import EXAMPLES, ScriptedEngine, World
from tests.support.spelling import telling

Build = Callable[..., World]
IMAGE = str(EXAMPLES / "shapes.png")
ASK = ("ask", "-m", "tiny", IMAGE, "How many?")
CLOSING = "\n\n**Final Answer**\n\n"


WONDERS = [f"so{index} " for index in range(600)]  # no loop, and no end within --max-tokens


def says(answer: str, *, thinking: int = 3) -> list[str]:
    return [*(f"w{index} " for index in range(thinking)), CLOSING, f"\\boxed{{{answer}}}"]


def engine(*answers: str) -> ScriptedEngine:
    first, *others = [
        says(answer, thinking=3 + number) if answer else WONDERS
        for number, answer in enumerate(answers)
    ]
    return ScriptedEngine(first, others=others)


# --- counting ---


def test_the_most_frequent_answer_wins_and_of_equals_the_earliest() -> None:
    vote = count(["4", "3", None, "3", "4", "5"])
    assert [(t.answer, t.count, t.samples) for t in vote.tallies] == [
        ("4", 2, (0, 4)),
        ("3", 2, (1, 3)),
        ("5", 1, (5,)),
    ]
    assert (vote.chosen, vote.unanswered, vote.agreement) == (0, 1, pytest.approx(2 / 6))
    assert "as many on another" in said_of(vote)


def test_who_has_no_answer_does_not_vote() -> None:
    assert count([None, None, "7"]).chosen == 2
    nobody = count([None, None])
    assert (nobody.tallies, nobody.agreement, nobody.unanswered) == ((), 0.0, 2)


def test_no_two_that_agree_are_called_so() -> None:
    assert said_of(count(["1", "2", "3"])).startswith("no two of 3 samples agree")


# --- --vote ---


def test_a_vote_shows_what_the_majority_wrote(world: Build) -> None:
    scripted = engine("4", "3.0", "$3$", "", "3")
    w = world(engine=scripted)
    assert w.run(*ASK, "--vote", "5", "--seed", "10", "--json") == 0
    document = json.loads(w.out)
    assert document["answer"] == "\\boxed{3.0}"
    assert document["thinking"].strip() == "w0 w1 w2 w3"
    assert document["vote"] == {
        "samples": 5,
        "tallies": [
            {"answer": "3", "count": 3, "samples": [1, 2, 4]},
            {"answer": "4", "count": 1, "samples": [0]},
        ],
        "unanswered": 1,
        "chosen": 1,
        "agreement": 0.6,
    }
    assert [generation.sampling.seed for generation in scripted.generations] == [10, 11, 12, 13, 14]
    assert {generation.sampling.temperature for generation in scripted.generations} == {0.7}
    assert document["sampling"]["temperature"] == 0.7
    assert [notice["code"] for notice in document["notices"]] == ["vote-temperature", "vote"]
    stats = document["stats"]
    assert stats["generated_tokens"] == stats["thinking_tokens"] + stats["answer_tokens"]
    assert stats["generated_tokens"] == 5 + 6 + 7 + 512 + 9


def test_a_pipe_gets_the_answer_and_a_terminal_the_agreement(world: Build) -> None:
    w = world(engine=engine("3", "3", "4"))
    assert w.run(*ASK, "--vote", "3") == 0
    assert (w.out, w.err) == ("\\boxed{3}\n", "")
    w = world(engine=engine("3", "3", "4"), tty=True, err_tty=True)
    assert w.run(*ASK, "--vote", "3", "--temp", "0.3") == 0
    assert "2 of 3 samples agree" in w.out
    assert "drawn at temperature" not in w.out


def test_a_vote_without_an_answer_is_an_honest_failure(world: Build) -> None:
    w = world(engine=engine("", ""))
    assert w.run(*ASK, "--vote", "2", "--json", "--max-tokens", "9") == 3
    document = json.loads(w.out)
    assert document["answer"] is None
    assert (document["vote"]["unanswered"], document["vote"]["agreement"]) == (2, 0.0)


@pytest.mark.parametrize("budget", [0, 1, 4])
def test_every_sample_keeps_its_own_budget(world: Build, budget: int) -> None:
    scripted = engine("1", "2", "3")
    scripted.words = ["w "] * 50
    scripted.after_closing = ["\\boxed{7}"]
    w = world(engine=scripted)
    assert w.run(*ASK, "--vote", "3", "--budget", str(budget), "--json") == 0
    document = json.loads(w.out)
    # the first has 50 words of thinking; the others have 4 and 5, and are cut where those are more
    assert document["vote"]["tallies"][0]["samples"][0] == 0
    assert document["stats"]["thinking_tokens"] <= 3 * budget
    assert document["stop_reason"] == "budget"


def test_ctrl_c_concludes_all_samples(world: Build) -> None:
    def press(index: int, control: Control) -> None:
        if index == 2:
            control._above.conclude()  # the user's, above all samples

    scripted = ScriptedEngine(["w "] * 50, ["\\boxed{7}"], press)
    w = world(engine=scripted)
    assert w.run(*ASK, "--vote", "3", "--json") == 0
    document = json.loads(w.out)
    assert (document["concluded"], document["vote"]["tallies"][0]["count"]) == (True, 3)


def test_a_stopped_vote_is_none(world: Build) -> None:
    def press(index: int, control: Control) -> None:
        if index == 7:
            control._above.stop()

    scripted = ScriptedEngine(says("3", thinking=2), (), press, others=[["w "] * 50])
    w = world(engine=scripted)
    assert w.run(*ASK, "--vote", "2", "--json") == 130
    document = json.loads(w.out)
    assert (document["answer"], document["partial_answer"]) == (None, "\\boxed{3}")
    assert document["stop_reason"] == StopReason.INTERRUPT


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("--temp", "0"), "--temp 0"),
        (("--top-k", "1"), "--top-k 1"),
        (("--draft", "lookup"), "--draft lookup"),
        (("--draft", "tiny-draft"), "--draft tiny-draft"),
    ],
)
def test_what_a_vote_cannot_honour_is_refused(
    world: Build, more: tuple[str, ...], named: str
) -> None:
    w = world(words=["2"])
    assert w.run(*ASK, "--vote", "3", *more) == 2
    assert "--vote" in w.err
    assert named in w.err


@pytest.mark.parametrize("number", ["0", "1", "17", "many"])
def test_a_vote_of_one_is_none(world: Build, number: str) -> None:
    w = world(words=["2"])
    assert w.run(*ASK, "--vote", number) == 2
    assert "--vote" in w.err


def test_progress_comes_while_the_samples_run(world: Build) -> None:
    w = world(engine=engine("3", "3", "3"))  # 5, 6 and 7 tokens
    assert w.run(*ASK, "--vote", "3", "--jsonl") == 0
    lines = [json.loads(line) for line in w.out.splitlines()]
    votes = [e for e in lines if e["type"] == "progress" and e["stage"] == "vote"]
    assert [v["done"] for v in votes] == sorted(v["done"] for v in votes)
    # that a sample has ended shows in the next round
    assert {v["done"] for v in votes} == {0, 1, 3}
    kinds = [line["type"] for line in lines]
    assert kinds.index("thinking") > max(i for i, k in enumerate(kinds) if k == "progress")


# --- --double-check ---


@pytest.mark.parametrize(
    ("second", "agrees", "said"),
    [
        ("3", True, "the double check agrees"),
        ("3.0", True, "the double check agrees"),
        ("4", False, "the double check differs: 4"),
        ("", None, "the double check came to no answer (length)"),
    ],
)
def test_a_double_check_is_told_and_changes_nothing(
    world: Build, second: str, agrees: bool | None, said: str
) -> None:
    scripted = engine("3", second)
    w = world(engine=scripted)
    assert w.run(*ASK, "--double-check", "--json", "--budget", "none") == 0
    document = json.loads(w.out)
    assert document["answer"] == "\\boxed{3}"
    assert [notice["text"] for notice in document["notices"]] == [said]
    found = document["double_check"]
    assert found["agrees"] is agrees
    assert (found["answer"] is None) is (agrees is None)
    assert document["stats"]["generated_tokens"] == 5
    asked = [question for question, _, _ in scripted.asked]
    assert asked == ["How many?", question_about("How many?", "\\boxed{3}")]
    assert [pictures for _, pictures, _ in scripted.asked] == [1, 1]


def test_a_pipe_gets_the_first_answer_alone(world: Build) -> None:
    w = world(engine=engine("3", "4"))
    assert w.run(*ASK, "--double-check") == 0
    assert (w.out, w.err) == ("\\boxed{3}\n", "")


def test_a_terminal_shows_both(world: Build) -> None:
    w = world(engine=engine("3", "4"), tty=True, err_tty=True)
    assert w.run(*ASK, "--double-check") == 0
    assert "differs: 4" in w.out


def test_without_an_answer_there_is_nothing_to_look_at(world: Build) -> None:
    w = world(engine=engine("", "3"))
    assert w.run(*ASK, "--double-check", "--max-tokens", "5", "--json") == 3
    assert json.loads(w.out)["double_check"] is None


def test_the_first_budget_is_not_asked_of_the_double_check(world: Build) -> None:
    scripted = ScriptedEngine(["w "] * 50, ["\\boxed{7}"], others=[says("7", thinking=2)])
    w = world(engine=scripted)
    assert w.run(*ASK, "--double-check", "--budget", "5", "--json") == 0
    document = json.loads(w.out)
    assert document["stop_reason"] == "budget"
    assert document["double_check"]["stop_reason"] == "end"
    assert document["double_check"]["thinking_tokens"] == 2


def test_ctrl_c_during_the_double_check_leaves_the_answer(world: Build) -> None:
    def press(index: int, control: Control) -> None:
        if len(scripted.generations) == 2 and index == 1:
            control._above.stop()

    scripted = ScriptedEngine(says("3"), (), press, others=[says("4")])
    w = world(engine=scripted)
    assert w.run(*ASK, "--double-check", "--json") == 0
    document = json.loads(w.out)
    assert (document["answer"], document["double_check"]["agrees"]) == ("\\boxed{3}", None)


def test_an_answer_that_was_asked_for_early_is_not_looked_at(world: Build) -> None:
    def press(index: int, control: Control) -> None:
        if index == 1:
            control._above.conclude()

    w = world(engine=ScriptedEngine(["w "] * 50, ["\\boxed{3}"], press))
    assert w.run(*ASK, "--double-check", "--json") == 0
    document = json.loads(w.out)
    assert document["double_check"] is None
    assert "asked for early" in document["notices"][-1]["text"]


def test_a_model_that_reads_text_only_cannot_double_check() -> None:
    card = registry.find("qwq-32b")
    with pytest.raises(UsageError, check=telling("--double-check")):
        _check_images(Request("How many?", (), card.name, method=Method(double_check=True)), card)
    _check_images(Request("How many?", (), card.name), card)


def test_a_majority_can_be_double_checked(world: Build) -> None:
    w = world(engine=engine("4", "3", "3", "3"))
    assert w.run(*ASK, "--vote", "3", "--double-check", "--json") == 0
    document = json.loads(w.out)
    assert document["vote"]["chosen"] == 1
    assert document["double_check"]["agrees"] is True
    assert [n["code"] for n in document["notices"]] == ["vote-temperature", "vote", "double-check"]


# --- the history ---


def test_a_vote_and_a_check_are_saved(world: Build) -> None:
    w = world(engine=engine("4", "3", "3", "3"))
    assert w.run(*ASK, "--vote", "3", "--double-check") == 0
    again = world(words=[])
    assert again.run("last", "--json") == 0
    done = json.loads(again.out)
    assert done["vote"]["tallies"][0] == {"answer": "3", "count": 2, "samples": [1, 2]}
    assert done["double_check"]["agrees"] is True


def test_the_name_that_it_had_still_works(world: Build) -> None:
    w = world(engine=engine("3", "3"))
    assert w.run(*ASK, "--verify", "--json") == 0
    assert json.loads(w.out)["double_check"] is not None
    w = world(engine=engine("3", "3"))
    assert w.run("ask", "--help") == 0
    assert "--double-check" in w.out
    assert "--verify" not in w.out
