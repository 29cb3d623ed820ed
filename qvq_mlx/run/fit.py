"""Estimates whether a model fits a machine: of these pictures, or of one of the largest size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qvq_mlx import images
from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.image_options import ImageOptions, ImageSize
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.remedies import EstimateModel
from qvq_mlx.images.detail import limited
from qvq_mlx.memory.choice import best, instead
from qvq_mlx.memory.estimate import Estimate, Use, Verdict, estimate_for, typical
from qvq_mlx.run.catalogue import measured
from qvq_mlx.settings.config import Settings
from qvq_mlx.store import registry

_FALLBACK = "qvq"


@dataclass(frozen=True, slots=True)
class Question:
    """A question about fit. `model` None: the configured one, else the best of the catalogue.

    `detail` None leaves the card's limits; without `images`, one of the largest size is meant.
    """

    model: str | None = None
    images: Sequence[str] = ()
    image_options: ImageOptions = ImageOptions()
    detail: ImageSize | None = None
    budget_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """The estimate, and what would fit where it does not or only just: what, and an estimate."""

    card: ModelCard
    use: Use
    estimate: Estimate
    instead: tuple[tuple[str, EstimateModel | None], ...]


def fit(question: Question, machine: Machine, env: Env, settings: Settings) -> Fit:
    """Raises UnknownModelError, UsageError for images of a model that reads text only, and what
    reading them raises.
    """
    known = registry.cards(settings.cards_folder)
    name = question.model or settings.model
    card = measured(name, settings) if name else best(known, machine) or registry.find(_FALLBACK)
    if not card.sees and (question.images or question.detail is not None):
        raise UsageError(f"{card.name} reads text only", EstimateModel(card.name))
    if question.detail is not None:
        card = replace(card, vision=limited(card.vision, question.detail))
    use = _use(card, question, env, settings)
    estimate = estimate_for(card, machine, use)
    is_poor = estimate.verdict in (Verdict.NO, Verdict.TIGHT)
    return Fit(card, use, estimate, instead(card, known, machine, use) if is_poor else ())


def _use(card: ModelCard, question: Question, env: Env, settings: Settings) -> Use:
    """The tokens of a run."""
    use = typical(card)
    if question.images:
        sources = images.ImageSources(env.stdin.buffer, env.environ.get("PATH"), settings.offline)
        pictures = [
            picture
            for source in question.images
            for name in images.expanded(source)
            for picture in images.read(name, card.vision, sources, question.image_options)
        ]
        use = replace(use, image_tokens=sum(picture.tokens for picture in pictures))
    if question.budget_tokens is None:
        return use
    return replace(use, budget_tokens=question.budget_tokens)
