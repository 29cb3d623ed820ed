"""Estimate for each model whether it fits a machine, and how fast it would decode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.machine import Machine
from qvq_mlx.memory.choice import Standing, standing_of
from qvq_mlx.memory.estimate import Estimate, estimate, tokens_per_s, typical


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model and its typical run on one machine. `tokens_per_s` None: not known.

    `standing` is that among the other models, where it was asked for.
    """

    card: ModelCard
    estimate: Estimate
    tokens_per_s: float | None
    on_disk: bool
    standing: Standing | None = None


def candidate(card: ModelCard, machine: Machine, *, on_disk: bool) -> Candidate:
    """`card` as `machine` would run it."""
    needs = estimate(card, machine, typical(card))
    return Candidate(card, needs, tokens_per_s(card, machine), on_disk)


def among(known: Sequence[Candidate], chosen: ModelCard | None) -> tuple[Candidate, ...]:
    """The same with their standing; `chosen` is the default of their machine."""
    return tuple(
        replace(one, standing=standing_of(one.card, one.estimate, chosen)) for one in known
    )
