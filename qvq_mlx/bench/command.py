"""Runs `qvq bench`: the tests in their order, each beside the roof that the machine sets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isqrt

from qvq_mlx.bench.stages import Bench, Took
from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Engine, Env
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.remedies import Field
from qvq_mlx.core.request import Policy, PromptOptions, Request
from qvq_mlx.core.tokens import Control
from qvq_mlx.memory.estimate import (
    PREFILL_SHARE,
    kv_bytes_per_token,
    prefill_s,
    read_bytes,
)
from qvq_mlx.memory.lock import BigModelLock
from qvq_mlx.records.bench import BenchRecord, Speed
from qvq_mlx.render import listing
from qvq_mlx.render.bench import write_speeds
from qvq_mlx.render.working import Working
from qvq_mlx.run.choose import model_for
from qvq_mlx.run.plan import make_plan
from qvq_mlx.run.resident import ResidentModel
from qvq_mlx.run.signals import stoppable
from qvq_mlx.run.world import World

DEPTHS = (0, 2048)
IN_FLIGHT = (2, 4, 8)
PROMPTS = (512, 2048)
PICTURE_SIDE_TOKENS = 36
"""Of a square picture at the most: about what `--detail auto` makes of a photo."""
WRITTEN = 128
ROW_WRITTEN = 64
ROUNDS, MOST_ROUNDS, MOST_MINUTES = 3, 100, 600
_WINDOW_S = 10.0
"""A run of minutes is compared by its first and its last seconds, so many of each."""


@dataclass(frozen=True, slots=True)
class Wish:
    """The wishes of a person. `minutes` of writing show what heat does; 0: none."""

    model: str | None = None
    rounds: int = ROUNDS
    minutes: int = 0
    force: bool = False
    wait: bool = True


def bench(wish: Wish, world: World, *, as_json: bool) -> None:
    """Measure, and print the table or the record. Raises what a question to the model raises, and
    UsageError for a number that is out of its bounds.
    """
    for field, value, least, most in (
        (Field.ROUNDS, wish.rounds, 1, MOST_ROUNDS),
        (Field.MINUTES, wish.minutes, 0, MOST_MINUTES),
    ):
        if not least <= value <= most:
            raise UsageError((field, f" is {value}; it is from {least} to {most}"))
    env, settings, control = world.env, world.settings, Control()
    request = Request(
        question="How fast is this model?",
        images=(),
        model=model_for(env, settings, wish.model),
        prompt=PromptOptions(allow_text_only=True),
        policy=Policy(use_cache=False, force=wish.force, wait=wish.wait, save=False, server=False),
    )
    plan = make_plan(request, env, settings)
    lock = BigModelLock(settings.cache_folder, env.sleep)
    resident, status = ResidentModel(env.load_engine, lock), Working(env)
    try:
        with stoppable("nothing is printed of what was measured", None):
            engine = _loaded(resident, plan, control, status)
            tests = tuple(_tests(engine, plan, env, wish, status.show))
    finally:
        status.close()
        resident.close()
    record = _record(plan, env.machine(), tests)
    if as_json:
        listing.write_json(env, record)
    else:
        write_speeds(env, record)


def _loaded(resident: ResidentModel, plan: Plan, control: Control, status: Working) -> Engine:
    status.show(f"loading {plan.resolved.card.name}")
    loading = resident.engine_for(plan, control)
    while True:
        try:
            next(loading)
        except StopIteration as stop:
            engine: Engine | None = stop.value
            assert engine is not None, "nobody stops the control"
            return engine


def _tests(
    engine: Engine, plan: Plan, env: Env, wish: Wish, show: Callable[[str], None]
) -> Iterator[Speed]:
    """Every test, one after the other."""
    card, machine = plan.resolved.card, env.machine()
    run = Bench(engine, plan.resolved.setup, env.clock, Control())
    room = card.shape.context_tokens if card.shape is not None else 0

    def measured(test: str, once: Callable[[], Took], roof: float | None = None) -> Speed:
        return _measured(test, once, wish.rounds, roof, show)

    run.decode(8)  # what is made at the first pass is not counted
    for tokens in PROMPTS:
        if not room or tokens + WRITTEN <= room:
            roof = _prefill_roof(card, machine, tokens)
            yield measured(f"pp{tokens}", partial(run.prefill, tokens), roof)
    for depth in DEPTHS:
        if not room or depth + WRITTEN <= room:
            name = f"tg{WRITTEN}" + (f" @ d{depth}" if depth else "")
            roof = _decode_roof(card, machine, depth)
            yield measured(name, partial(run.decode, WRITTEN, depth), roof)
    yield measured(f"tg{WRITTEN} drafted", partial(run.drafted, WRITTEN))
    for rows in IN_FLIGHT:
        name = f"tg{ROW_WRITTEN} x {rows}"
        yield measured(name, partial(run.in_flight, rows, ROW_WRITTEN))
    if card.sees:
        side = min(PICTURE_SIDE_TOKENS, isqrt(card.vision.max_tokens))
        encoded = measured(f"encode {side**2}", partial(run.encode, card, side))
        yield replace(encoded, unit="image tokens/s")
        yield from _questions(run, card, side, wish.rounds, show)
    if wish.minutes:
        yield from _drift(run, env.clock, wish.minutes, show)


def _measured(
    test: str,
    once: Callable[[], Took],
    rounds: int,
    roof: float | None,
    show: Callable[[str], None],
) -> Speed:
    """The mean of some rounds."""
    found: list[Took] = []
    for number in range(rounds):
        show(f"{test}, round {number + 1} of {rounds}")
        found.append(once())
    rates = [one.per_s for one in found]
    return _speed(test, rates, "tokens/s", roof, found[-1].note)


def _questions(
    run: Bench, card: ModelCard, side_tokens: int, rounds: int, show: Callable[[str], None]
) -> Iterator[Speed]:
    """The time to the first token about a picture, and about the same one again."""
    found = []
    for number in range(rounds):
        show(f"a second question, round {number + 1} of {rounds}")
        found.append(run.second_question(card, side_tokens))
    note = f"to the first token, {side_tokens**2} image tokens"
    yield _speed("first question", [first for first, _ in found], "s", None, note)
    yield _speed("second question", [second for _, second in found], "s", None, note)


def _drift(
    run: Bench, clock: Callable[[], float], minutes: int, show: Callable[[str], None]
) -> Iterator[Speed]:
    """Write for minutes, and compare the first seconds with the last ones."""
    began, found = clock(), []
    while (at := clock() - began) < 60 * minutes:
        show(f"writing for {minutes} min, {at:.0f} s of it are over")
        found.append((at, run.decode(WRITTEN).per_s))
    first = [rate for at, rate in found if at < _WINDOW_S]
    last = [rate for at, rate in found if at >= found[-1][0] - _WINDOW_S]
    yield _speed("tg, first 10 s", first, "tokens/s", None, "")
    yield _speed(f"tg, after {minutes} min", last, "tokens/s", None, "")


def _speed(test: str, values: Sequence[float], unit: str, roof: float | None, note: str) -> Speed:
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Speed(test, statistics.fmean(values), unit, deviation, len(values), roof, note)


def _prefill_roof(card: ModelCard, machine: Machine, tokens: int) -> float | None:
    """Tokens a second that the arithmetic of the GPU allows; None where it is not known."""
    seconds = prefill_s(card, machine, 0, tokens)
    return tokens / (seconds * PREFILL_SHARE) if seconds else None


def _decode_roof(card: ModelCard, machine: Machine, depth: int) -> float | None:
    """Tokens a second that the bandwidth allows: each reads its weights and the cache once."""
    read = read_bytes(card)
    if not machine.bandwidth_bytes_per_s or not read:
        return None
    cached = kv_bytes_per_token(card.shape) * depth if card.shape is not None else 0
    return machine.bandwidth_bytes_per_s / (read + cached)


def _record(plan: Plan, machine: Machine, tests: tuple[Speed, ...]) -> BenchRecord:
    from qvq_mlx.engine.device import device
    from qvq_mlx.engine.library import versions

    card = plan.resolved.card
    return BenchRecord(
        model=card.name,
        download_bytes=card.download_bytes,
        device=device().name,
        chip=machine.chip,
        power=machine.power,
        versions=versions(),
        tests=tests,
    )
