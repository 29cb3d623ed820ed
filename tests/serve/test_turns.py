"""The fair queue."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx.serve.turns import Turns


def test_a_client_with_one_request_does_not_wait_for_another_with_many() -> None:
    turns: Turns[str] = Turns()
    for number in range(3):
        turns.put("eval", f"eval {number}")
    turns.put("person", "person 0")
    assert turns.clear() == ["eval 0", "person 0", "eval 1", "eval 2"]


def test_what_was_dropped_does_not_come() -> None:
    turns: Turns[str] = Turns()
    turns.put("a", "first")
    turns.put("b", "second")
    assert turns.drop("a", "first")
    assert not turns.drop("a", "first")
    assert (turns.take(), turns.take()) == ("second", None)


@given(st.lists(st.sampled_from("abc")))
def test_every_item_leaves_once_and_no_client_is_passed_twice(clients: list[str]) -> None:
    turns: Turns[int] = Turns()
    for number, client in enumerate(clients):
        turns.put(client, number)
    assert len(turns) == len(clients)
    order = turns.clear()
    assert sorted(order) == list(range(len(clients)))
    for client in "abc":
        own = [number for number in order if clients[number] == client]
        assert own == sorted(own)
        places = [place for place, number in enumerate(order) if clients[number] == client]
        for before, after in pairwise(places):
            between = [clients[number] for number in order[before + 1 : after]]
            assert len(between) == len(set(between))
