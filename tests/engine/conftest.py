"""The embedded model, loaded once for all engine tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import pytest

from qvq_mlx import images
from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.tokens import Control, Finished, Generation, Prompt, Step, Token
from qvq_mlx.engine import loaded
from qvq_mlx.engine.session import Session
from qvq_mlx.engine.vocabulary import Vocabulary
from qvq_mlx.families import ModelType
from qvq_mlx.store import registry

if TYPE_CHECKING:
    from tests.engine.families import Checkpoint

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "tiny"
GOLDEN_PICTURE = DATA / "count-1.png"


@dataclass(frozen=True)
class Golden:
    """What transformers writes for one stored picture."""

    image: Path
    question: str
    system: str | None
    prompt_tokens: int
    token_ids: list[int]
    text: str


def goldens() -> list[Golden]:
    default = registry.find("tiny").system
    entries = json.loads((DATA / "goldens.json").read_text(encoding="utf-8"))
    return [
        Golden(
            image=DATA / entry["image"],
            question=entry["question"],
            # null: the chat template puts its own default in, which is the card's
            system=default if entry["system"] is None else entry["system"] or None,
            prompt_tokens=entry["prompt_tokens"],
            token_ids=entry["token_ids"],
            text=entry["text"],
        )
        for entry in entries
    ]


@pytest.fixture(scope="session")
def card() -> ModelCard:
    return registry.find("tiny")


@pytest.fixture(scope="session")
def folder(card: ModelCard) -> Path:
    return registry.folder_of(card, Path("nowhere"))


@pytest.fixture(scope="session")
def tiny(card: ModelCard, folder: Path) -> Session:
    return cast("Session", loaded(card, folder))


@pytest.fixture(scope="session")
def vocabulary(folder: Path) -> Vocabulary:
    return Vocabulary(folder / "tokenizer.json")


@pytest.fixture(scope="session")
def picture(card: ModelCard) -> Callable[[Path], Picture]:
    return lambda path: images.read(
        str(path), card.vision, images.ImageSources(cast("BinaryIO", None))
    )[0]


@pytest.fixture(scope="session")
def run(tiny: Session, card: ModelCard) -> Callable[..., list[Step]]:
    """Everything the engine yields for a prompt."""

    def collect(
        prompt: Prompt,
        *,
        sampling: Sampling | None = None,
        max_tokens: int = 200,
        control: Control | None = None,
        on_token: Callable[[int, Control], None] = lambda _index, _control: None,
        session: Session | None = None,
    ) -> list[Step]:
        control = control or Control()
        generation = Generation(sampling or Sampling(), max_tokens, card.thinking.closing)
        steps: list[Step] = []
        count = 0
        for step in (session or tiny).generate(prompt, generation, control):
            steps.append(step)
            if isinstance(step, Token):
                on_token(count, control)
                count += 1
        return steps

    return collect


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[ModelType], Checkpoint]:
    """A family's tiny checkpoint, loaded once."""
    from tests.engine import families  # it needs this module

    made: dict[ModelType, Checkpoint] = {}

    def checkpoint_of(family: ModelType) -> Checkpoint:
        if family not in made:
            made[family] = families.made(family, tmp_path_factory.mktemp(family) / "weights")
        return made[family]

    return checkpoint_of


def text_of(steps: Sequence[Step]) -> str:
    last = steps[-1]
    assert isinstance(last, Finished)
    return "".join(step.text for step in steps if isinstance(step, Token)) + last.tail


def ids_of(steps: Sequence[Step]) -> list[int]:
    return [step.id for step in steps if isinstance(step, Token)]


def returned(steps: Generator[Step, None, object]) -> object:
    """What a generator returns once its items are passed over."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
