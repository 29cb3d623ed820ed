"""What drafting is worth: tokens per pass, and wall time against plain decoding.

    python -m benchmarks.drafting [--rounds 7] [--pictures 40]

Tokens per pass are counted on the embedded pair over held-out pictures, greedily, in blocks of
fixed length (a block of 4: 4 drafts behind the pending token); prompt lookup keeps its table from
picture to picture, as a session does. Wall time is of a whole run after load, prefill and the
draft model's own reading included and nothing cached, with the default choice (`--draft auto`)
against none, in turns: the median of plain / drafted. The first round measures the costs of the
machine and is not counted.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from benchmarks.checkpoints import mid, mid_draft, quantized
from benchmarks.results import Result, report
from qvq_mlx import images
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Checkpoint, Drafting
from qvq_mlx.core.tokens import Control, Finished, Generation, Prompt, Token
from qvq_mlx.engine import loaded
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.prefill import PREFILL_CHUNK_TOKENS
from qvq_mlx.engine.session import Session
from qvq_mlx.store import registry
from tools.tiny.cases import held_out
from tools.tiny.replies import TASKS

NO_HUB = Path("no hub")
MOST_TOKENS = 96
GREEDY = Sampling()


@dataclass(frozen=True, slots=True)
class Run:
    """One question: tokens, seconds, passes."""

    ids: tuple[int, ...]
    seconds: float
    finished: Finished


def run(session: Session, prompt: Prompt, most: int, sampling: Sampling = GREEDY) -> Run:
    """Ask; the clock starts after load."""
    began = time.perf_counter()
    ids: list[int] = []
    for step in session.generate(prompt, Generation(sampling, most), Control()):
        if isinstance(step, Token):
            ids.append(step.id)
        if isinstance(step, Finished):
            finished = step
    return Run(tuple(ids), time.perf_counter() - began, finished)


def checkpoint(name: str) -> Checkpoint:
    """By name or folder."""
    return Checkpoint(*registry.resolve(name, NO_HUB))


def session_of(name: str) -> Session:
    """A session without a cache on disk."""
    target = checkpoint(name)
    return cast("Session", loaded(target.card, target.folder))


def prompts(session: Session, count: int) -> list[Prompt]:
    """Held-out pictures with their questions."""
    card = checkpoint("tiny").card
    found = []
    for case in held_out(7, TASKS, count):
        file = io.BytesIO()
        case.image.save(file, "PNG")
        file.seek(0)
        found.append(
            session.prompt(
                case.question, images.read("-", card.vision, images.ImageSources(file)), card.system
            )
        )
    return found


def tokens_per_pass(pictures: int) -> Iterator[Result]:
    """Counted, so that noise has no part in it."""
    session = session_of("tiny")
    draft = session_of("tiny-draft").reader
    asked = prompts(session, pictures)
    plain = [run(session.drafted_by(Drafts(Drafting.NONE)), prompt, 300) for prompt in asked]
    for what, drafts, wanted in (
        ("draft model, blocks of 4", Drafts(Drafting.MODEL, draft, always=4), 4.0),
        ("draft model, blocks of 8", Drafts(Drafting.MODEL, draft, always=8), 6.0),
        ("prompt lookup, blocks of 4", Drafts(Drafting.LOOKUP, always=4), 1.2),
    ):
        runs = [run(session.drafted_by(drafts), prompt, 300) for prompt in asked]
        assert [r.ids for r in runs] == [r.ids for r in plain], "a drafter changed the text"
        tokens = sum(len(r.ids) for r in runs)
        passes = sum(r.finished.effort.passes for r in runs)
        detail = f"tokens per pass of qvq-tiny, {pictures} pictures, {tokens:,} tokens"
        yield Result(what, tokens / passes, wanted, detail)


def against_plain(
    what: str,
    session: Session,
    drafting: Drafts,
    asked: Sequence[Prompt],
    rounds: int,
    wanted: float,
    temperature: float = 0.0,
) -> Result:
    """Wall time of `drafting` against none over the same questions, in turns.

    Above a temperature of 0 each turn has another text, which prompt lookup has not seen before.
    """
    ratios: list[float] = []
    none = Drafts(Drafting.NONE)
    for turn in range(rounds + 1):
        drafted_s = plain_s = 0.0
        sampling = Sampling(temperature=temperature, seed=turn)
        for prompt in asked:
            auto = run(cold(session, drafting), prompt, MOST_TOKENS, sampling)
            plain = run(cold(session, none), prompt, MOST_TOKENS, sampling)
            assert auto.ids == plain.ids, "a drafter changed the text"
            drafted_s += auto.seconds
            plain_s += plain.seconds
        if turn:
            ratios.append(plain_s / drafted_s)
    last = auto.finished.effort
    detail = f"{last.drafter}, {last.accepted_tokens} of {last.drafted_tokens} drafts right"
    detail += f", {last.passes} passes for {len(auto.ids)} tokens"
    return Result(
        what, statistics.median(ratios), wanted, "; ".join(filter(None, (detail, last.off)))
    )


def cold(session: Session, drafts: Drafts) -> Session:
    """The same checkpoint with nothing kept of an earlier prompt."""
    return Session(session.reader.in_chunks_of(PREFILL_CHUNK_TOKENS), drafts)


def wall_time(rounds: int) -> Iterator[Result]:
    """Where verification is cheap it has to pay, everywhere else it must not cost."""
    tiny, draft = session_of("tiny"), session_of("tiny-draft").reader
    asked = prompts(tiny, 5)
    auto = Drafts(Drafting.AUTO, draft)
    yield against_plain("wall time, qvq-tiny with its draft", tiny, auto, asked, rounds, 0.98)
    repeating, bf16 = mid("bfloat16", cycle=12), mid("bfloat16")
    for what, folder, drafter, temperature, wanted in (
        ("wall time, mid bf16, repeating text", repeating, None, 0.0, 1.3),
        ("wall time, mid bf16, free text", bf16, None, 1.0, 0.98),
        ("wall time, mid bf16, a draft never right", bf16, mid_draft(), 1.0, 0.98),
        ("wall time, mid fp32, repeating text", mid(cycle=12), None, 0.0, 0.98),
        ("wall time, 4 bit, repeating text", quantized(cycle=12), None, 0.0, 0.98),
    ):
        session = session_of(str(folder))
        other = session_of(str(drafter)).reader if drafter else None
        asked = [session.prompt("Describe what you would see in a busy harbour.", [], None)]
        auto = Drafts(Drafting.AUTO, other)
        yield against_plain(what, session, auto, asked, rounds, wanted, temperature)


def measure(rounds: int, pictures: int) -> Iterator[Result]:
    """All of it."""
    yield from tokens_per_pass(pictures)
    yield from wall_time(rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pictures", type=int, default=40)
    given = parser.parse_args()
    report(measure(given.rounds, given.pictures))
