"""A server that is killed at any point: the question ends honestly, and the next one works."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from qvq_mlx.warm import client
from qvq_mlx.warm.frames import Frame, receive
from tests.support import seeds
from tests.warm.lent import PICTURE, Build, killed, sockets_in, started

ASKED = ("ask", "-m", "tiny", "-i", PICTURE, "-Q", "How many red circles are there?")
MESSAGES = 110
"""A question to the embedded model takes about so many."""


@pytest.mark.seeded
@pytest.mark.parametrize("seed", seeds.numbers(seeds.wanted(2, 200)))
def test_a_server_that_is_killed(
    world: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    home = tmp_path / "qvq"
    server = started(home)
    last, seen = random.Random(seed).randrange(MESSAGES), 0

    def counted(*arguments: object) -> tuple[Frame, memoryview]:
        nonlocal seen
        seen += 1
        if seen == last + 1:
            killed(server)
        return receive(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(client, "receive", counted)
    try:
        asked = world()
        code = asked.run(*ASKED)
        assert seen > 0
        if code:
            assert (code, seen > 5) == (75, True), asked.err
            assert "ended before its answer did" in asked.err
        else:
            assert "3" in asked.out
    finally:
        killed(server)
    assert sockets_in(home)  # nobody tidied up
    after = world()
    assert (after.run(*ASKED), "3" in after.out) == (0, True)
    fresh = started(home)
    try:
        assert [path.stem for path in sockets_in(home)] == [str(fresh.pid)]
        count = seen
        assert world().run(*ASKED) == 0
        assert seen > count  # it was lent
    finally:
        fresh.terminate()
        fresh.wait()
    assert not sockets_in(home)
