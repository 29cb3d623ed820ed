"""`--vote N` (experimental): N samples from one prefill, and the answer that most of them give.

Law: sample r is the run that `--seed S+r` would be, alone: its own guards, its own limits. Answers
are equal where their canonical forms are. Who comes to no whole answer does not vote; of answers
that are equally frequent, the one that the earliest sample gave wins. What the first sample with
the winning answer wrote is the run's thinking and answer. A vote that the user stopped is none: its
`Done` is not complete.

Source: self-consistency, Wang et al., arXiv 2203.11171.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Engine
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.events import (
    Done,
    Event,
    Notice,
    Progress,
    Stage,
    Stats,
    StopReason,
    Tally,
    Vote,
    fold,
)
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.remedies import Field, Message
from qvq_mlx.core.request import Request, Sampling
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import Control, Finished, Generation, Prompt, Step, Token
from qvq_mlx.guards.pushed import PushedRun
from qvq_mlx.guards.supervise import GuardLimits
from qvq_mlx.reply.canonical import canonical
from qvq_mlx.run.timing import Pace

TEMPERATURE = 0.7
"""Where neither the user nor the card says one: N greedy samples would be one sample."""
_EQUAL = "all samples would be equal"


def sampling_of(request: Request, card: ModelCard) -> tuple[Sampling, Message | None]:
    """Return the sampling of a vote, and what to say of it: the samples have to differ.

    Raises UsageError where the user asks for a vote and for samples that cannot differ, or for a
    vote and a drafter.
    """
    found = request.sampling.applied_to(card.sampling)
    if request.sampling.temperature == 0:
        raise UsageError.excluding(Field.VOTE, (Field.TEMPERATURE, " 0"), _EQUAL)
    if request.sampling.top_k == 1:
        raise UsageError.excluding(Field.VOTE, (Field.TOP_K, " 1"), _EQUAL)
    draft = request.policy.draft
    if draft not in (Drafting.AUTO, Drafting.NONE):
        raise UsageError.excluding(
            Field.VOTE,
            (Field.DRAFT, f" {draft}"),
            "samples that are drawn side by side are not drafted for",
        )
    if found.temperature > 0 and found.top_k != 1:
        return found, None
    warm = replace(found, temperature=found.temperature or TEMPERATURE, top_k=0)
    said = f"{request.method.votes} samples are drawn at temperature {warm.temperature:g} ("
    return warm, (said, Field.TEMPERATURE, ")")


def voted(
    engine: Engine,
    prompt: Prompt,
    generation: Generation,
    plan: Plan,
    limits: GuardLimits,
    control: Control,
    pace: Pace,
) -> Iterator[Event]:
    """The events of one run: progress while the samples are drawn, each as `generation` says with a
    seed of its own, then what the chosen one wrote, the agreement as a notice, and `Done` with the
    vote.
    """
    thinking = plan.resolved.thinking
    samples = [
        PushedRun(thinking, limits, Control(control)) for _ in range(plan.request.method.votes)
    ]
    ways = [
        (replace(generation, sampling=_reseeded(generation.sampling, number)), sample.control)
        for number, sample in enumerate(samples)
    ]
    yield from _drawn(pace(engine.generate_rows(prompt, ways)), samples)
    vote = count([_answer(sample) for sample in samples])
    *written, done = samples[vote.chosen].events
    assert isinstance(done, Done)
    yield from written
    yield Notice("vote", said_of(vote))
    if control.stopping:
        done = replace(done, stop_reason=StopReason.INTERRUPT, complete=False)
    yield replace(done, stats=_summed(done.stats, samples), vote=vote)


def count(answers: Sequence[str | None]) -> Vote:
    """The vote of samples with these canonical answers; None did not come to a whole one."""
    found: dict[str, list[int]] = {}
    for number, answer in enumerate(answers):
        if answer is not None:
            found.setdefault(answer, []).append(number)
    # sorting is stable, and a dictionary keeps the order of the earliest sample
    ranked = sorted(found.items(), key=lambda entry: -len(entry[1]))
    tallies = tuple(Tally(answer, len(numbers), tuple(numbers)) for answer, numbers in ranked)
    return Vote(
        samples=len(answers),
        tallies=tallies,
        unanswered=answers.count(None),
        chosen=tallies[0].samples[0] if tallies else 0,
        agreement=tallies[0].count / len(answers) if tallies else 0.0,
    )


def said_of(vote: Vote) -> str:
    """`3 of 5 samples agree`."""
    if not vote.tallies:
        return f"none of {vote.samples} samples came to a whole answer"
    most = vote.tallies[0].count
    said = f"{most} of {vote.samples} samples agree"
    if most == 1:
        said = f"no two of {vote.samples} samples agree: the first answer is shown"
    elif len(vote.tallies) > 1 and vote.tallies[1].count == most:
        said += ", and as many on another answer"
    return f"{said}; {vote.unanswered} without an answer" if vote.unanswered else said


def _drawn(steps: Iterator[Step], samples: Sequence[PushedRun]) -> Iterator[Progress]:
    """Feed each sample what is its own. A round gives every sample that goes on one token, in
    order; who has none in a whole round has ended.
    """
    total = len(samples)
    in_round: set[int] = set()
    last, ended, finished = total, 0, 0
    for step in steps:
        match step:
            case Progress():
                yield step
            case Token(row=row):
                if row <= last:  # a new round
                    ended = total - len(in_round) if in_round else 0
                    in_round.clear()
                    yield Progress(Stage.VOTE, ended, total)
                in_round.add(row)
                last = row
                samples[row].feed(step)
            case Finished():
                samples[finished].feed(step)
                finished += 1
    yield Progress(Stage.VOTE, total, total)


def _answer(sample: PushedRun) -> str | None:
    done = sample.events[-1]
    assert isinstance(done, Done)
    return (canonical(fold(sample.events).answer) or None) if done.complete else None


def _reseeded(sampling: Sampling, number: int) -> Sampling:
    return replace(sampling, seed=sampling.seed + number)


def _summed(shown: Stats, samples: Sequence[PushedRun]) -> Stats:
    """The chosen sample's numbers, with the tokens of all."""
    every = [done.stats for sample in samples if isinstance(done := sample.events[-1], Done)]
    return replace(
        shown,
        generated_tokens=sum(stats.generated_tokens for stats in every),
        thinking_tokens=sum(stats.thinking_tokens for stats in every),
        answer_tokens=sum(stats.answer_tokens for stats in every),
    )
