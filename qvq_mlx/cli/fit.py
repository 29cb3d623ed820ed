"""`qvq fit`: whether a model fits, in numbers, and what would."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.core.errors import ExitCode, UsageError
from qvq_mlx.core.remedies import EstimateModel, Typed
from qvq_mlx.core.sizes import parse_size

if TYPE_CHECKING:
    from qvq_mlx import images
    from qvq_mlx.core.card import ModelCard
    from qvq_mlx.core.image_options import ImageOptions
    from qvq_mlx.memory.estimate import Use
    from qvq_mlx.run.world import World
    from qvq_mlx.settings.config import Settings


def fit(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Name, folder or repository.")
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option("--image", "-i", metavar="FILE", help="Its tokens, not the largest image's."),
    ] = None,
    page: Annotated[
        str | None, typer.Option("--page", metavar="N[-M],...", help="Pages or frames of these.")
    ] = None,
    detail: Annotated[
        str | None,
        typer.Option(
            "--detail", metavar="low|auto|high|max|N", help="Image tokens, as `qvq ask` takes them."
        ),
    ] = None,
    budget: Annotated[
        int | None, typer.Option("--budget", min=0, metavar="N", help="Tokens of thinking.")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option("--memory", metavar="SIZE", help="Of a Mac that is not this one: 64GiB."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> int:
    """Say whether a model fits in memory: the parts, the verdict, and what would fit instead.

    Without MODEL: the configured one, else the best of the catalogue that fits.
    Exit code 0 where it fits, also tightly; 5 where it does not. docs/memory.md has the formula.
    """
    from qvq_mlx import images
    from qvq_mlx.core.image_options import ImageOptions, parse_pages
    from qvq_mlx.memory import machine
    from qvq_mlx.memory.choice import best, instead
    from qvq_mlx.memory.estimate import Verdict, estimate_for
    from qvq_mlx.records.models import FitRecord, Instead
    from qvq_mlx.render import listing
    from qvq_mlx.run.left_out import warn_of_cards
    from qvq_mlx.store import registry

    world: World = context.obj
    env, settings = world.env, world.settings
    facts = machine.hypothetical(_bytes(memory)) if memory else env.machine()
    warn_of_cards(env, settings.cards_folder)
    known = registry.cards(settings.cards_folder)
    name = model or settings.model
    card = _card(name, settings) if name else best(known, facts) or registry.find(_FALLBACK)
    image_sources = images.ImageSources(env.stdin.buffer, env.environ.get("PATH"), settings.offline)
    options = ImageOptions(pages=parse_pages(page)) if page else ImageOptions()
    if detail is not None:
        card = _at(card, detail)
    use = _use(card, image or [], image_sources, options, budget)
    found = estimate_for(card, facts, use)
    suffix = f" --memory {shlex.quote(memory)}" if memory else ""
    others = tuple(
        Instead(what, env.spelling.remedy(estimate) + suffix if estimate else None)
        for what, estimate in (instead(card, known, facts, use) if found.verdict in _POOR else ())
    )
    if as_json:
        record = FitRecord(card.name, found.verdict, found.needed_bytes, use, found, others)
        listing.write_json(env, record)
    else:
        if found.verdict is Verdict.TIGHT and env.stderr.isatty():
            env.stderr.write("warning: a tight fit; close what else uses much memory\n")
        rest = [("instead", f"{o.what}: {o.command}" if o.command else o.what) for o in others]
        listing.write_facts(env, [("model", card.name), *found.facts(), *rest])
    return ExitCode.NO_MEMORY if found.verdict is Verdict.NO else ExitCode.OK


_FALLBACK = "qvq"
_POOR = ("no", "tight")


def _at(card: ModelCard, detail: str) -> ModelCard:
    """With the pictures that `detail` asks for. Raises UsageError."""
    from dataclasses import replace

    from qvq_mlx.core.image_options import parse_detail
    from qvq_mlx.images.detail import limited

    if not card.sees:
        raise UsageError(f"{card.name} reads text only", EstimateModel(card.name))
    return replace(card, vision=limited(card.vision, parse_detail(detail)))


def _card(name: str, settings: Settings) -> ModelCard:
    """With the size and shape of its files where they are here."""
    from qvq_mlx.core.errors import ModelNotOnDiskError
    from qvq_mlx.store import registry

    try:
        return registry.resolve(name, settings.hub_cache, settings.cards_folder)[0]
    except ModelNotOnDiskError:
        return registry.find(name, settings.cards_folder)


def _use(
    card: ModelCard,
    sources: list[str],
    image_sources: images.ImageSources,
    options: ImageOptions,
    budget: int | None,
) -> Use:
    """The tokens of a run: of these pictures, or of one of the largest size."""
    from dataclasses import replace

    from qvq_mlx import images
    from qvq_mlx.memory.estimate import typical

    use = typical(card)
    if sources and not card.sees:
        raise UsageError(f"{card.name} reads text only", EstimateModel(card.name))
    if sources:
        names = [name for source in sources for name in images.expanded(source)]
        pictures = [
            shown
            for name in names
            for shown in images.read(name, card.vision, image_sources, options)
        ]
        use = replace(use, image_tokens=sum(picture.tokens for picture in pictures))
    return use if budget is None else replace(use, budget_tokens=budget)


def _bytes(text: str) -> int:
    """`64GiB`, `64 GB`; a number alone is bytes. Raises UsageError."""
    found = parse_size(text)
    if not found:
        raise UsageError(f"--memory is {text!r}; it can be a size", Typed("qvq fit --memory 64GiB"))
    return found
