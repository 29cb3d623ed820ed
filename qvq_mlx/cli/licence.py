"""`qvq licence`: what a model's licence asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def licence(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show a model's licence: its duties, and where the text lies.

    The summary is no legal text; the licence itself holds.
    """
    from qvq_mlx.records.models import LicenceRecord
    from qvq_mlx.render import listing
    from qvq_mlx.store import registry
    from qvq_mlx.store.licence import licence_of

    world: World = context.obj
    env, settings = world.env, world.settings
    card = registry.find(model, settings.cards_folder)
    known = licence_of(card.licence)
    text = registry.licence_file(card, settings.hub_cache)
    confirmed = "licence" not in card.unconfirmed
    if as_json:
        path = str(text) if text else None
        listing.write_json(env, LicenceRecord(card.name, confirmed, known, path))
        return
    facts = [
        ("model", card.name),
        ("licence", known.title + ("" if confirmed else " (unconfirmed)")),
    ]
    facts += [("duty", duty) for duty in known.duties]
    facts += [("notice", known.notice)] if known.notice else []
    facts += [("text", str(text or known.url))] if text or known.url else []
    listing.write_facts(env, facts)
