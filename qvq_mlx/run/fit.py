"""Estimates whether a model fits a machine: of these pictures, or of one of the largest size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qvq_mlx import images
from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ModelError, UsageError
from qvq_mlx.core.image_options import ImageOptions, ImageSize
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.remedies import EstimateModel, Field
from qvq_mlx.images.detail import limited
from qvq_mlx.memory.chips import USUAL_CHIPS, bandwidth_of
from qvq_mlx.memory.choice import Offer, best, instead
from qvq_mlx.memory.estimate import (
    Estimate,
    Use,
    Verdict,
    estimate,
    tokens_per_s,
    typical,
    with_budget,
)
from qvq_mlx.memory.machine import hypothetical
from qvq_mlx.memory.sharing import undivided
from qvq_mlx.memory.working_set import sold_memory_bytes
from qvq_mlx.run.catalogue import measured
from qvq_mlx.settings.config import Settings
from qvq_mlx.store import registry
from qvq_mlx.store.local import holds_head

_MEMORY = EstimateModel("qvq", ((Field.MEMORY, "36GB"),))
_FALLBACK = "qvq"
_TOO_FAST_BYTES = 2**30
"""A smaller model waits for other things than its weights."""


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
    kv_bits: int | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """The estimate, and what would fit where it does not or only just: what, and an estimate."""

    card: ModelCard
    use: Use
    estimate: Estimate
    instead: tuple[tuple[str, Offer], ...]
    tokens_per_s: float | None = None
    chip: str | None = None

    def facts(self) -> list[tuple[str, str]]:
        """Return what is printed: the model, the parts, the verdict, and the speed to expect."""
        rated = self.tokens_per_s is not None and self.card.download_bytes > _TOO_FAST_BYTES
        parts = [fact for fact in self.estimate.facts() if not (rated and fact[0] == "speed")]
        found = [("model", self.card.name), *parts]
        if rated and self.tokens_per_s is not None:
            speed = f"{self.tokens_per_s:.3g} tokens/s expected of {self.chip}"
            if budget := self.use.budget_tokens:
                speed += f"; the budget is spent in {budget / self.tokens_per_s / 60:.1f} min"
            found.append(("speed", speed))
        return found


def machine_for(memory: str | None, chip: str | None, env: Env) -> Machine:
    """The Mac that is sold with `memory` and `chip`; this machine where neither is given.

    Without a chip it is one that is sold with so much memory. Where a hostfile is given it is the
    first of several.

    Raises UsageError for what is no size, and for a chip without a memory or one not in the table.
    """
    if memory is None:
        if chip is not None:
            raise UsageError((Field.CHIP, " needs ", Field.MEMORY, ": of which Mac?"), _MEMORY)
        return env.machine()
    memory_bytes = sold_memory_bytes(memory)
    if not memory_bytes:
        raise UsageError((Field.MEMORY, f" is {memory[:40]!r}; it can be a size"), _MEMORY)
    if chip is not None and bandwidth_of(chip, None) is None:
        raise UsageError(
            (Field.CHIP, f" is {chip[:40]!r}; it can be M1 to M5, with Pro, Max or Ultra"), _MEMORY
        )
    cores = None
    if chip is None:
        chip, cores = USUAL_CHIPS.get(memory_bytes // 2**30, (None, None))
    sharing = env.machine().sharing if env.hostfile else 1
    return replace(hypothetical(memory_bytes, chip=chip, gpu_cores=cores), sharing=sharing)


def fit(question: Question, machine: Machine, env: Env, settings: Settings) -> Fit:
    """Raises UnknownModelError, UsageError for images of a model that reads text only or one that
    does not divide among the machines, and what reading them raises.
    """
    known = registry.cards(settings.cards_folder)
    name = question.model or settings.model
    card = measured(name, settings) if name else best(known, machine) or registry.find(_FALLBACK)
    if not card.sees and (question.images or question.detail is not None):
        raise UsageError(f"{card.name} reads text only", EstimateModel(card.name))
    if reason := undivided(card, machine.sharing):
        raise UsageError(f"{card.name}: {reason}", EstimateModel(card.name))
    if question.detail is not None:
        card = replace(card, vision=limited(card.vision, question.detail))
    use = _use(card, question, env, settings)
    found = estimate(card, machine, use)
    is_poor = found.verdict in (Verdict.NO, Verdict.TIGHT)
    others = instead(card, known, machine, use) if is_poor else ()
    return Fit(card, use, found, others, tokens_per_s(card, machine), machine.chip)


def show_fit(env: Env, found: Fit, memory: str | None, chip: str | None, *, as_json: bool) -> None:
    """Print the verdict, its parts, and what would show what fits instead on the same machine:
    the one of `machine_for`.
    """
    from qvq_mlx.records.models import FitRecord, Instead
    from qvq_mlx.render import listing

    card, use, needs = found.card, found.use, found.estimate
    hosts = str(env.hostfile) if env.hostfile else None
    given = ((Field.MEMORY, memory), (Field.CHIP, chip), (Field.HOSTS, hosts))
    mac = tuple((field, value) for field, value in given if value)
    others = []
    for what, other in found.instead:
        if isinstance(other, EstimateModel):
            other = replace(other, settings=(*other.settings, *mac))
        others.append(Instead(what, env.spelling.remedy(other) if other else None))
    if as_json:
        verdict, needed_bytes = needs.verdict, needs.needed_bytes
        record = FitRecord(card.name, verdict, needed_bytes, use, needs, tuple(others))
        listing.write_json(env, record)
        return
    if needs.verdict is Verdict.TIGHT and env.stderr.isatty():
        env.stderr.write("warning: a tight fit; close what else uses much memory\n")
    rest = [("instead", f"{o.what}: {o.command}" if o.command else o.what) for o in others]
    listing.write_facts(env, [*found.facts(), *rest])


def _use(card: ModelCard, question: Question, env: Env, settings: Settings) -> Use:
    """The tokens of a run."""
    use = replace(typical(card), traced=_traced(card, settings), kv_bits=question.kv_bits)
    if question.images:
        sources = images.ImageSources(env.stdin.buffer, env.environ.get("PATH"), settings.offline)
        pictures = [
            picture
            for source in question.images
            for name in images.expanded(source)
            for picture in images.read(name, card.vision, sources, question.image_options)
        ]
        tokens = sum(picture.tokens for picture in pictures)
        use = replace(use, image_tokens=tokens, images=len(pictures))
    if question.budget_tokens is None:
        return use
    return with_budget(card, use, question.budget_tokens)


def _traced(card: ModelCard, settings: Settings) -> bool:
    """True if the model's files are here and hold an MTP head, which drafts by itself."""
    try:
        return holds_head(card, registry.folder_of(card, settings.hub_cache))
    except (ModelError, OSError):
        return False
