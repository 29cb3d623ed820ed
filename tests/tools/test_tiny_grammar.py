"""Wordings: the notation, what is held out, and how many there are."""

from __future__ import annotations

from random import Random

import pytest

from tools.tiny.second.grammar import Grammar
from tools.tiny.second.wordings import GRAMMAR, KINDS_OF_QUESTION, RULES, Asker, sentences, worn

SMALL = Grammar(
    {
        "hello": "[good|~fine] <time>, {x}!|hi {x}[|!|!!]",
        "time": "morning|~evening",
    }
)


def said(grammar: Grammar, rule: str, held_out: bool, times: int = 400) -> set[str]:
    rng = Random(1)
    return {grammar.wording(rng, rule, held_out).text for _ in range(times)}


def test_training_says_every_path_without_a_held_out_branch_and_no_other() -> None:
    assert said(SMALL, "hello", False) == {"good morning, {x}!", "hi {x}", "hi {x}!", "hi {x}!!"}


def test_a_held_out_wording_takes_a_branch_that_training_never_takes() -> None:
    assert said(SMALL, "hello", True) == {
        *("good evening, {x}!", "fine morning, {x}!", "fine evening, {x}!"),
    }


def test_paths_are_counted() -> None:
    assert SMALL.count("time") == 2
    assert SMALL.count("hello") == 2 * 2 + 3


def test_the_first_alternative_is_told() -> None:
    rng = Random(2)
    for _ in range(50):
        wording = SMALL.wording(rng, "hello")
        assert wording.first == (0 if wording.text.startswith("good") else 1)


@pytest.mark.parametrize("text", ["[a|b", "a]", "a|[b]]"])
def test_a_bracket_that_does_not_match_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is missing"):
        Grammar({"broken": text})


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_can_be_said_in_words_of_training(rule: str) -> None:
    for text in said(GRAMMAR, rule, False, 60):
        assert not set(text) & set("[]|<>~")
        assert "  " not in text


@pytest.mark.parametrize("rule", KINDS_OF_QUESTION)
def test_every_kind_of_question_has_families_that_are_held_out(rule: str) -> None:
    assert not said(GRAMMAR, rule, True, 300) & said(GRAMMAR, rule, False, 3000)


@pytest.mark.parametrize("rule", KINDS_OF_QUESTION)
def test_every_kind_of_question_has_thousands_of_forms(rule: str) -> None:
    around = (1 + GRAMMAR.count("before")) * (1 + GRAMMAR.count("behind"))
    assert GRAMMAR.count(rule) * around >= 1000


def test_what_is_asked_about_stands_in_every_question() -> None:
    for held_out in (False, True):
        ask = Asker(Random(3), held_out)
        for rule in ("count", "color_of", "next_left", "find", "value"):
            for _ in range(40):
                question, voice = ask(rule, x="Zebra")
                assert "zebra" in question.lower()
                assert "{" not in question
                assert voice in (0, 1, 2)


def test_wear_changes_neither_the_words_nor_labels() -> None:
    rng = Random(4)
    for _ in range(300):
        assert "how much is bar C" in worn(rng, "how much is bar C?").replace("How", "how")


def test_sentences_begin_with_a_capital() -> None:
    assert sentences("look. is it b? say so: now") == "Look. Is it b? Say so: now"
