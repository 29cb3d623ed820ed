"""Budget, answer and the bound of the whole: all can be reached, or are refused by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.plan import CLOSING_TOKENS
from qvq_mlx.core.request import Budget, Limits, PromptOptions, Request
from qvq_mlx.guards.budget import parse_budget
from qvq_mlx.run.plan import _lengths, resolve
from qvq_mlx.settings.config import read
from qvq_mlx.store import registry
from tests.conftest import EXAMPLES, World
from tests.support.spelling import sentence_of, telling

Build = Callable[..., World]
CARDS = [card for card in registry.cards() if card.thinking.closing and card.repo]


def lengths(name: str, limits: Limits) -> tuple[int | None, int]:
    return _lengths(Request("?", ("a.png",), name, limits=limits), registry.find(name))


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
@pytest.mark.parametrize("name", ["low", "medium", "high", "20000"])
def test_a_budget_that_is_asked_for_can_be_reached(card: ModelCard, name: str) -> None:
    """`high` is 12,288 tokens, beyond the 8,192 that the cards allow by themselves."""
    budget, most = lengths(card.name, Limits(parse_budget(name)))
    assert budget is not None
    assert budget == parse_budget(name).tokens
    assert most >= budget + CLOSING_TOKENS + Limits().answer_tokens


def test_a_bound_that_is_given_leaves_room_for_the_answer() -> None:
    assert lengths("qvq", Limits(max_tokens=2000)) == (976, 2000)
    assert lengths("qvq", Limits(max_tokens=6000)) == (4096, 6000)
    assert lengths("qvq", Limits(max_tokens=500)) == (4096, 500)  # nothing to share
    assert lengths("qvq", Limits(Budget(None), max_tokens=2000)) == (None, 2000)
    assert lengths("qvq", Limits()) == (4096, 8192)


def test_a_budget_beyond_the_bound_is_refused_by_name() -> None:
    with pytest.raises(UsageError, check=telling("--budget 4,096 .* --max-tokens 512")):
        lengths("qvq", Limits(Budget(4096), max_tokens=512))
    assert lengths("qvq", Limits(Budget(400), max_tokens=512)) == (400, 512)


@pytest.mark.parametrize(
    ("question", "system", "option"),
    [("How m\udcffny?", None, "-Q"), ("How many?", "Be \udc80.", "--system")],
)
def test_bytes_that_are_no_text_are_a_usage_error(
    world: Build, question: str, system: str | None, option: str
) -> None:
    request = Request(question, ("a.png",), "tiny", prompt=PromptOptions(system))
    with pytest.raises(UsageError) as refused:
        resolve(request, read(world([]).env))
    assert f"{option} is not UTF-8 text" in sentence_of(refused.value)


def test_a_long_question_is_counted_and_not_blamed_on_the_picture(world: Build) -> None:
    """A byte is not half a token: the tokenizer counts, and the error says which part is long."""
    w: World = world(["**Final Answer**\n", "2"])
    picture = str(EXAMPLES / "shapes.png")
    assert w.run("ask", "-m", "tiny", picture, "one two three " * 30_000) == 2
    assert "the question takes" in w.err
