"""What drafting is worth: tokens per pass, and wall time against plain decoding.

    python -m benchmarks.drafting [--rounds 7] [--pictures 40]

Tokens per pass are counted on the embedded pair over held-out pictures, greedily, in blocks of
fixed length (a block of 4: 4 drafts behind the pending token); prompt lookup keeps its table from
picture to picture, as a session does. Wall time is of a whole run after load, prefill and the
draft model's own reading included, with the default choice (`--draft auto`) against none, in
turns, as the ratio of the medians: tokens/s with drafting / without.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from benchmarks.checkpoints import mid, mid_draft
from benchmarks.results import Result, machine, table
from qvq_mlx import images
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Checkpoint, Drafting, Setup
from qvq_mlx.core.tokens import Control, Finished, Generation, Prompt, Token
from qvq_mlx.engine import loaded
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.session import Session
from qvq_mlx.store import registry
from tools.tiny.cases import held_out
from tools.tiny.replies import TASKS

NO_HUB = Path("no hub")


@dataclass(frozen=True, slots=True)
class Run:
    """One question: tokens, seconds, passes."""

    ids: tuple[int, ...]
    seconds: float
    finished: Finished


def run(session: Session, prompt: Prompt, most: int) -> Run:
    """Ask greedily; the clock starts after load."""
    began = time.perf_counter()
    ids: list[int] = []
    for step in session.generate(prompt, Generation(Sampling(), most), Control()):
        if isinstance(step, Token):
            ids.append(step.id)
        if isinstance(step, Finished):
            finished = step
    return Run(tuple(ids), time.perf_counter() - began, finished)


def checkpoint(name: str) -> Checkpoint:
    """By name or folder."""
    return Checkpoint(*registry.resolve(name, NO_HUB))


def session_of(name: str, draft: str = "") -> Session:
    """A session without a cache on disk."""
    target = checkpoint(name)
    setup = Setup(Drafting.AUTO, checkpoint(draft) if draft else None)
    return cast("Session", loaded(target.card, target.folder, setup))


def prompts(session: Session, count: int) -> list[Prompt]:
    """Held-out pictures with their questions."""
    card = checkpoint("tiny").card
    found = []
    for case in held_out(7, TASKS, count):
        file = io.BytesIO()
        case.image.save(file, "PNG")
        file.seek(0)
        found.append(
            session.prompt(case.question, [images.read("-", card.vision, file)], card.system)
        )
    return found


def tokens_per_pass(pictures: int) -> list[Result]:
    """Counted, so that noise has no part in it."""
    session = session_of("tiny")
    draft = session_of("tiny-draft").reader
    asked = prompts(session, pictures)
    plain = [run(session.drafted_by(Drafts(Drafting.NONE)), prompt, 300) for prompt in asked]
    results = []
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
        results.append(Result(what, tokens / passes, wanted, detail))
    return results


def against_plain(
    what: str, session: Session, asked: Sequence[Prompt], rounds: int, wanted: float
) -> Result:
    """Wall time of `auto` against none over the same questions, in turns."""
    none = session.drafted_by(Drafts(Drafting.NONE))
    seconds: dict[str, list[float]] = {"auto": [], "none": []}
    efforts = []
    for turn in range(rounds + 1):
        spent = dict.fromkeys(seconds, 0.0)
        for prompt in asked:
            auto = run(session, prompt, 160)
            plain = run(none, prompt, 160)
            assert auto.ids == plain.ids, "a drafter changed the text"
            spent["auto"] += auto.seconds
            spent["none"] += plain.seconds
            efforts.append(auto.finished.effort)
        if turn:  # the first round measures the costs
            for side in seconds:
                seconds[side].append(spent[side])
    ratio = statistics.median(
        plain / auto for auto, plain in zip(seconds["auto"], seconds["none"], strict=True)
    )
    last = efforts[-1]
    detail = f"{last.drafter}, {last.accepted_tokens} of {last.drafted_tokens} drafts right"
    return Result(what, ratio, wanted, f"{detail}; {last.off}" if last.off else detail)


def wall_time(rounds: int) -> list[Result]:
    """Where verification is cheap it has to pay, everywhere else it must not cost."""
    results = []
    tiny = session_of("tiny", "tiny-draft")
    results.append(
        against_plain("wall time, qvq-tiny with its draft", tiny, prompts(tiny, 5), rounds, 0.98)
    )
    for what, folder, draft, wanted in (
        ("wall time, mid fp32, repeating text", mid(cycle=12), "", 1.3),
        ("wall time, mid fp32, free text", mid(), "", 0.98),
        ("wall time, mid fp32, a draft that is never right", mid(), str(mid_draft()), 0.98),
        ("wall time, mid bf16, repeating text", mid("bfloat16", cycle=12), "", 0.98),
        ("wall time, mid 4 bit, repeating text", mid("bfloat16", 4, cycle=12), "", 0.98),
    ):
        session = session_of(str(folder), draft)
        asked = [session.prompt("Describe what you would see in a busy harbour.", [], None)]
        results.append(against_plain(what, session, asked, rounds, wanted))
    return results


def measure(rounds: int, pictures: int) -> list[Result]:
    """All of it."""
    return [*tokens_per_pass(pictures), *wall_time(rounds)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pictures", type=int, default=40)
    given = parser.parse_args()
    print(machine())
    print(table(measure(given.rounds, given.pictures)))
