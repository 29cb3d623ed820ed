"""A model stays loaded while the questions are for it, and its turn with it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from qvq_mlx.core.env import Engine
from qvq_mlx.core.events import Done, Progress, Stage, StopReason
from qvq_mlx.core.request import Request
from qvq_mlx.core.setup import Checkpoint, Drafting, Setup
from qvq_mlx.core.tokens import Control
from qvq_mlx.memory.lock import BigModelLock
from qvq_mlx.run.ask import ask
from qvq_mlx.run.plan import make_plan
from qvq_mlx.run.resident import ResidentModel
from qvq_mlx.settings import config
from qvq_mlx.store import registry
from tests.conftest import EXAMPLES, ScriptedEngine, World

TINY = Checkpoint(registry.find("tiny"), Path("tiny"))
DRAFT = Checkpoint(registry.find("tiny-draft"), Path("draft"))


class Loads:
    """A loader that counts, and says which of its engines still live."""

    def __init__(self) -> None:
        self.alive: list[weakref.ref[ScriptedEngine]] = []
        self.most = 0

    def __call__(
        self, checkpoint: Checkpoint, setup: Setup, control: Control
    ) -> Generator[Progress, None, Engine | None]:
        yield Progress(Stage.LOAD, 0, 0)
        if control.stopping:
            return None
        gc.collect()
        engine = ScriptedEngine(["**Final Answer**\n\n", "two"])
        self.alive.append(weakref.ref(engine))
        self.most = max(self.most, sum(ref() is not None for ref in self.alive))
        return engine


def ran(steps: Generator[object, None, Engine | None]) -> tuple[list[object], Engine | None]:
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return seen, stop.value


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
def loaded(loads: Loads, tmp_path: Path) -> ResidentModel:
    return ResidentModel(loads, BigModelLock(tmp_path, lambda _s: None))


def free(folder: Path) -> bool:
    """Whether another one could have the turn."""
    other = BigModelLock(folder, lambda _s: None)
    stopped = Control()
    stopped.stop()
    try:
        return ran(other.take(stopped, wait=True))[1] is True
    finally:
        other.release()


def test_the_same_model_is_loaded_once(loads: Loads, loaded: ResidentModel) -> None:
    said, first = ran(loaded.load(TINY, Setup(), Control()))
    assert said == [Progress(Stage.LOAD, 0, 0)]
    assert ran(loaded.load(TINY, Setup(), Control())) == ([], first)
    assert len(loads.alive) == 1


@pytest.mark.parametrize("other", [(DRAFT, Setup()), (TINY, Setup(Drafting.MODEL, DRAFT))])
def test_two_never_lie_in_memory_together(
    loads: Loads, loaded: ResidentModel, other: tuple[Checkpoint, Setup]
) -> None:
    ran(loaded.load(TINY, Setup(), Control()))
    ran(loaded.load(*other, Control()))
    assert (len(loads.alive), loads.most) == (2, 1)


def test_a_load_that_was_stopped_leaves_nothing(loads: Loads, loaded: ResidentModel) -> None:
    stopped = Control()
    stopped.stop()
    assert ran(loaded.load(TINY, Setup(), stopped))[1] is None
    assert ran(loaded.load(TINY, Setup(), Control()))[1] is not None


def test_the_turn_is_held_with_a_big_model(loaded: ResidentModel, tmp_path: Path) -> None:
    for _ in range(2):
        assert ran(loaded.turn.take(Control(), wait=False))[1] is True
        ran(loaded.load(TINY, Setup(), Control()))
        loaded.settle(TINY, alone=True)
        assert not free(tmp_path)
    # a small one that never came as far as its load: the big one is still there
    loaded.settle(DRAFT, alone=False)
    assert not free(tmp_path)
    ran(loaded.load(DRAFT, Setup(), Control()))
    loaded.settle(DRAFT, alone=False)
    assert free(tmp_path)


def test_closed_gives_all_back(loads: Loads, loaded: ResidentModel, tmp_path: Path) -> None:
    ran(loaded.turn.take(Control(), wait=False))
    ran(loaded.load(TINY, Setup(), Control()))
    loaded.settle(TINY, alone=True)
    loaded.close()
    loaded.close()
    gc.collect()
    assert loads.alive[0]() is None
    assert free(tmp_path)


def test_two_questions_are_one_load(
    world: Callable[..., World], loads: Loads, loaded: ResidentModel
) -> None:
    w = world(words=[])
    settings = config.read(w.env)
    request = Request("How many?", (str(EXAMPLES / "shapes.png"),), "tiny")
    for _ in range(2):
        plan = make_plan(request, w.env, settings)
        *_, done = ask(plan, w.env, settings, Control(), loaded)
        assert isinstance(done, Done)
        assert done.stop_reason is StopReason.END
    assert len(loads.alive) == 1


def test_loaded_weights_serve_another_drafter_and_other_caches(
    loads: Loads, loaded: ResidentModel, tmp_path: Path
) -> None:
    ran(loaded.load(TINY, Setup(Drafting.AUTO, DRAFT, cache_folder=tmp_path), Control()))
    for setup in (
        Setup(Drafting.AUTO, DRAFT, cache_folder=tmp_path, cache_max_bytes=9),
        Setup(Drafting.NONE),
        Setup(Drafting.LOOKUP),
        Setup(Drafting.AUTO, DRAFT),
    ):
        assert ran(loaded.load(TINY, setup, Control()))[0] == []
    assert len(loads.alive) == 1
    assert ran(loaded.load(TINY, Setup(Drafting.MODEL, DRAFT), Control()))[0] != []
