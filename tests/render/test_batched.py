"""A batch on a terminal: a bar, the rate, the time left, the counts, the last answers, a table."""

from __future__ import annotations

import re

import pytest

from qvq_mlx.core.events import Progress, Stage, ThinkingDelta
from qvq_mlx.core.sizes import counted
from qvq_mlx.render.batched import BatchProgress, rate


def played(world, total: int = 40, **options) -> tuple[object, BatchProgress]:
    """Two items of an earlier run, six answers of 5 s each, one failure, and one that goes on."""
    w = world(**options)
    progress = BatchProgress(w.env, total, quiet=False, lines=False)
    for number in (1, 2):
        progress.skipped(number)
    for number in range(3, 10):
        progress.began(number, (f"photos/p{number}.png",))
        w.now += 5
        answered = number != 9
        outcome = f"answer {number}"
        if not answered:
            outcome = f"error[image-unreadable]: photos/p{number}.png: no\x1b[2J picture"
        progress.ended(number, outcome, answered=answered, took_s=5)
    progress.began(10, ("photos/p10.png",))
    progress.saw(Progress(Stage.PREFILL, 0, 30))
    w.now += 1
    progress.saw(ThinkingDelta("a", 120))
    return w, progress


def test_the_screen_of_a_batch(world) -> None:
    w, progress = played(world)
    assert w.window.text.split("\n") == [
        *(f"p{number}.png: answer {number}" for number in (5, 6, 7, 8)),
        "p9.png: error[image-unreadable]: no␛[2J picture",
        f"{'━' * 6}{'─' * 24}  9/40 · 12.0 items/min · 2m 35s left",
        "6 answered · 1 failed · 2 skipped · p10.png · 120 tok",
    ]
    progress.close()
    assert w.window.text == ""
    assert not w.window.cursor[2]


@pytest.mark.parametrize("columns", [20, 40, 60, 200])
def test_no_row_fills_the_window(world, columns: int) -> None:
    w, progress = played(world, columns=columns)
    assert all(len(line) < columns for line in w.window.shown)
    assert "9/40" in w.window.text
    progress.close()


def test_the_table_at_the_end(world) -> None:
    w = world()
    progress = BatchProgress(w.env, 40, quiet=False, lines=False)
    progress.began(1, ("a.png",))
    w.now += 36
    progress.close()
    progress.summed_up("out.jsonl", [("answered", 1234), ("error", 1)])
    assert re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", w.stderr.getvalue()).split("\n")[-5:-1] == [
        "out.jsonl: 40 items in 36 s",
        "outcome   items",
        "answered  1,234",
        "error         1",
    ]


def test_where_nothing_is_drawn_over_an_item_is_a_line(world) -> None:
    w = world()
    w.environ = {"TERM": "dumb"}
    progress = BatchProgress(w.env, 2, quiet=False, lines=False)
    progress.began(1, ("a.png",))
    progress.ended(1, "3", answered=True, took_s=1)
    progress.close()
    progress.summed_up("out.jsonl", [("answered", 1)])
    assert "\x1b" not in w.stdout.getvalue() + w.stderr.getvalue()
    assert w.stdout.getvalue() == "a.png: 3\n"
    assert w.stderr.getvalue().startswith("out.jsonl: 2 items in 0.0 s\noutcome ")


def test_a_rate_is_a_number_that_is_at_least_one_if_it_can_be() -> None:
    assert [rate(mean_s) for mean_s in (0.25, 1, 5, 90, 7200)] == [
        "4.0 items/s", "1.0 items/s", "12.0 items/min", "40.0 items/h", "0.5 items/h",
    ]  # fmt: skip


def test_one_thing_is_no_plural(world) -> None:
    assert [counted(n, "token") for n in (0, 1, 2, 2000)] == [
        "0 tokens", "1 token", "2 tokens", "2,000 tokens",
    ]  # fmt: skip
    w = world()
    progress = BatchProgress(w.env, 1, quiet=False, lines=False)
    progress.summed_up("out.jsonl", [("answered", 1)])
    assert "out.jsonl: 1 item in 0.0 s" in w.stderr.getvalue()


def test_what_failed_is_red_and_a_name_is_dim(world) -> None:
    w, progress = played(world)
    progress.close()
    assert "\x1b[31m\x1b[1merror[image-unreadable]\x1b[0m: no" in w.stderr.getvalue()
    assert "\x1b[2mp8.png: \x1b[0manswer 8" in w.stderr.getvalue()
