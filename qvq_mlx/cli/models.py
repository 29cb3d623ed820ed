"""`qvq models`: the catalogue, and what of it this machine can run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.core.card import ModelCard
    from qvq_mlx.core.machine import Machine
    from qvq_mlx.memory.estimate import Estimate
    from qvq_mlx.records.models import ModelEntry
    from qvq_mlx.run.world import World

HEADS = ("model", "size", "fits", "tok/s", "licence", "thinks", "here")


def models(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="All quantizations of each.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List the models that qvq knows, and whether this machine can run them.

    fits: the share of what the GPU may hold that a run needs (qvq fit MODEL explains it).
    tok/s: expected, 80 % of memory bandwidth / size (63 % on an Ultra).
    ~: the size is computed. ?: no source confirms the repository.
    """
    # all of it only now: `qvq --help` reads this module
    from qvq_mlx.memory.estimate import estimate_for, tokens_per_s, typical
    from qvq_mlx.records.models import ModelsRecord
    from qvq_mlx.render import listing
    from qvq_mlx.store import registry
    from qvq_mlx.store.inventory import is_here

    world: World = context.obj
    env, settings = world.env, world.settings
    machine = env.machine()
    rows = []
    for card in registry.cards(settings.cards_folder):
        here = is_here(card, settings.hub_cache)
        if here:
            card = registry.measured(card, registry.folder_of(card, settings.hub_cache))
        if every or as_json or here or not card.base or card.name == card.base:
            found = estimate_for(card, machine, typical(card))
            rows.append((card, found, tokens_per_s(card, machine), here))
    if as_json:
        entries = tuple(_entry(*row) for row in rows)
        listing.write_json(env, ModelsRecord(settings.model, machine, entries))
        return
    listing.write_table(env, HEADS, [_row(*row) for row in rows])
    if env.stdout.isatty():
        listing.write_text(env, _footer(machine))


def fits(found: Estimate) -> str:
    """`✓ 44 %`, `tight 88 %`, `✗ 117 %`, `?`."""
    from qvq_mlx.memory.estimate import Verdict

    share = f" {found.share * 100:.0f} %" if found.share is not None else ""
    match found.verdict:
        case Verdict.YES:
            return f"✓{share}"
        case Verdict.TIGHT:
            return f"tight{share}"
        case Verdict.NO:
            return f"✗{share}"
        case Verdict.UNKNOWN:
            return "?"


def download(card: ModelCard) -> str:
    """`38.5 GiB`; `~` in front where it is computed."""
    from qvq_mlx.core.sizes import size

    mark = "~" if "download_bytes" in card.unconfirmed else ""
    return mark + size(card.download_bytes) if card.download_bytes else ""


def speed(tokens_per_s: float | None) -> str:
    """Three digits at most."""
    if tokens_per_s is None:
        return ""
    return f"{tokens_per_s:.1f}" if tokens_per_s < 10 else f"{tokens_per_s:.0f}"


def _row(
    card: ModelCard, found: Estimate, tokens_per_s: float | None, here: bool
) -> tuple[str, ...]:
    return (
        card.name + ("?" if "repo" in card.unconfirmed else ""),
        download(card),
        fits(found),
        speed(tokens_per_s) if card.download_bytes > 2**30 else "",
        card.licence,
        "yes" if card.thinks else "",
        "yes" if here else "",
    )


def _entry(card: ModelCard, found: Estimate, tokens_per_s: float | None, here: bool) -> ModelEntry:
    from qvq_mlx.records.models import ModelEntry

    return ModelEntry(
        name=card.name,
        aliases=card.aliases,
        base=card.base or card.name,
        bits=card.bits or None,
        summary=card.summary,
        licence=card.licence,
        repo=card.repo or None,
        download_bytes=card.download_bytes,
        thinks=card.thinks,
        sees=card.sees,
        takes_video=card.vision.video,
        on_disk=here,
        verdict=found.verdict,
        needed_bytes=found.needed_bytes,
        tokens_per_s=tokens_per_s,
        unconfirmed=card.unconfirmed,
    )


def _footer(machine: Machine) -> str:
    from qvq_mlx.core.sizes import size

    if machine.working_set_bytes is None:
        return "The memory of this machine is not known; qvq fit --memory 64GiB assumes one."
    limit = f"{size(machine.working_set_bytes)} ({machine.working_set_source})"
    return f"fits: share of {limit}. qvq models --all lists every quantization."
