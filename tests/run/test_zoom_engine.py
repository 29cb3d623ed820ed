"""The zoom-in tool on tiny random checkpoints: an appended region is as if prefilled."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from qvq_mlx import engine as real
from qvq_mlx.core.events import Progress, Stage
from qvq_mlx.core.setup import Checkpoint, Setup
from qvq_mlx.core.tokens import Control, Finished, Generation, Prompt, Step, Token
from qvq_mlx.engine.prefill import Reader, Written
from qvq_mlx.engine.prefix import PrefixCache
from qvq_mlx.engine.row import Start
from qvq_mlx.engine.session import Session
from tests.conftest import World
from tests.engine.conftest import returned
from tests.engine.families import BOUND, last_logits
from tests.run.test_look import REGION, edges
from tests.run.test_zoom import call, model, notices, page

__all__ = ["model", "page"]
Build = Callable[..., World]
THOUGHT = 6
BOXES = ([250, 300, 450, 500], [600, 100, 720, 220])


@dataclass
class Calling:
    """A loaded checkpoint that is made to call the tool: random weights never do by themselves.

    The first turns end in the `calls`, forced behind a few tokens of the model's own and handed out
    as if it had drawn them. Everything else is the engine's.
    """

    calls: list[str]
    session: Session | None = None
    prompts: list[Prompt] = field(default_factory=list)
    steps: list[list[Step]] = field(default_factory=list)
    kept: list[Written] = field(default_factory=list)

    def load(
        self, checkpoint: Checkpoint, setup: Setup, control: Control
    ) -> Generator[Progress, None, Calling | None]:
        self.session = cast("Session", (yield from real.load(checkpoint, setup, control)))
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def generate(self, prompt: Prompt, generation: Generation, control: Control) -> Iterator[Step]:
        assert self.session is not None
        turn = len(self.prompts)
        self.prompts.append(prompt)
        self.steps.append([])
        if generation.continuation is not None and turn:
            kept = cast("Written", generation.continuation.kept)
            assert isinstance(kept, Written), "a turn goes on from the one before it"
            self.kept.append(replace(kept, sequence=kept.sequence.copy()))
        own = Control(control)
        forcing = turn < len(self.calls)
        if forcing:
            generation = replace(generation, closing=self.calls[turn])
        count = 0
        for step in self.session.generate(prompt, generation, own):
            self.steps[-1].append(step)
            match step:
                case Token():
                    count += 1
                    if forcing and count == THOUGHT:
                        own.conclude()
                    yield replace(step, forced=step.forced and not forcing)
                case Finished():
                    yield replace(step, concluded=step.concluded and not forcing)
                case _:
                    yield step


@dataclass
class Ran:
    engine: Calling
    found: dict[str, Any]


@pytest.fixture
def looked(world: Build, model: Path, page: str) -> Callable[..., Ran]:
    """Run a question in which the tool is called for each of BOXES."""

    def run(*options: str) -> Ran:
        engine = Calling([call(model, box) for box in BOXES])
        w = world(engine=engine)
        fixed = ("--look", "3", "--temp", "0", "--detail", "low", "--max-tokens", "340", "--json")
        w.run("ask", "-m", str(model), page, "What is the sum?", *fixed, *options)
        return Ran(engine, json.loads(w.out))

    return run


@pytest.fixture(scope="module")
def ran_before() -> dict[Path, Ran]:
    return {}


@pytest.fixture
def plain(looked: Callable[..., Ran], model: Path, ran_before: dict[Path, Ran]) -> Ran:
    """One run without drafts, made once for each family."""
    if model not in ran_before:
        ran_before[model] = looked("--draft", "none")
    return ran_before[model]


def stages(steps: list[Step], stage: Stage) -> list[Progress]:
    return [step for step in steps if isinstance(step, Progress) and step.stage is stage]


def test_logits_behind_a_region_are_those_of_a_fresh_prefill(plain: Ran) -> None:
    engine, session = plain.engine, cast("Session", plain.engine.session)
    assert edges(plain.found["evidence"])[0] == REGION
    assert len(plain.found["evidence"]) == len(engine.kept) == 2, notices(plain.found)
    fresh = Reader(session.parts, PrefixCache(None))
    for kept, prompt in zip(engine.kept, engine.prompts[1:], strict=True):
        assert prompt.ids[: len(kept.ids)] == kept.ids
        appended = cast("Start", returned(session.reader.read(prompt, Control(), kept)))
        cold = cast("Start", returned(fresh.read(prompt, Control())))
        assert appended.position == cold.position
        assert np.abs(last_logits(appended) - last_logits(cold)).max() < BOUND


def test_a_region_is_all_that_is_encoded_and_the_call_is_not_read_again(plain: Ran) -> None:
    turns = zip(plain.found["evidence"], plain.engine.kept, plain.engine.steps[1:], strict=True)
    for region, kept, steps in turns:
        assert stages(steps, Stage.ENCODE)[-1].total == region["tokens"]
        assert stages(steps, Stage.PREFILL)[0].done == len(kept.ids)
    counts = [sum(isinstance(step, Token) for step in steps) for steps in plain.engine.steps]
    last, stats = plain.engine.prompts[-1], plain.found["stats"]
    assert stats["generated_tokens"] == sum(counts)
    assert stats["prompt_tokens"] == len(last.ids) - sum(counts[:-1])
    peaks = [cast("Finished", steps[-1]).peaks for steps in plain.engine.steps]
    assert stats["encode_peak_bytes"] == max(one.encode_bytes for one in peaks) > 0
    assert stats["prefill_peak_bytes"] == max(one.prefill_bytes for one in peaks)
    assert stats["image_tokens"] == sum(picture.tokens for picture in last.pictures)


def test_the_message_that_holds_a_region_is_the_templates(plain: Ran) -> None:
    vocabulary = cast("Session", plain.engine.session).parts.vocabulary

    def special(name: str) -> int:
        return vocabulary.special(f"<|{name}|>")

    image, prompt = special("image_pad"), plain.engine.prompts[1]
    rest = [token for token in prompt.ids[len(plain.engine.kept[0].ids) :] if token != image]
    assert rest == [
        special("im_end"),
        *vocabulary.encode("\n"),
        special("im_start"),
        *vocabulary.encode("user\n<tool_response>\n"),
        special("vision_start"),
        special("vision_end"),
        *vocabulary.encode("\n</tool_response>"),
        special("im_end"),
        *vocabulary.encode("\n"),
        special("im_start"),
        *vocabulary.encode("assistant\n<think>\n"),
    ]


@pytest.mark.sampled(2)
def test_drafts_and_kept_prefixes_change_nothing(looked: Callable[..., Ran]) -> None:
    said = ("thinking", "answer", "partial_answer", "evidence", "stop_reason", "notices")
    cold = looked("--draft", "none").found
    again = looked("--draft", "lookup").found
    assert again["stats"]["cached_images"] == 1
    assert again["stats"]["cached_tokens"] > 0
    assert again["stats"]["drafter"] == "lookup"
    assert [again[key] for key in said] == [cold[key] for key in said]
