"""`qvq models`: which models there are, and which are on this disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.config import Settings
    from qvq_mlx.core.card import ModelCard
    from qvq_mlx.core.env import Env


def models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List the models that qvq knows by name."""
    import json  # all of it only now: `qvq --help` reads this module

    from qvq_mlx import config
    from qvq_mlx.core.records import VERSION
    from qvq_mlx.store import registry

    env: Env = context.obj
    settings = config.read(env)
    rows = [(card, _on_disk(card, settings)) for card in registry.cards()]
    if as_json:
        entries = [
            {
                "name": card.name,
                "aliases": card.aliases,
                "summary": card.summary,
                "licence": card.licence,
                "repo": card.repo or None,
                "download_bytes": card.download_bytes,
                "on_disk": here,
            }
            for card, here in rows
        ]
        document = {"version": VERSION, "default": settings.model, "models": entries}
        env.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        return
    width = max(len(card.name) for card, _ in rows)
    for card, here in rows:
        place = "on disk" if here else f"{card.download_bytes / 2**30:.1f} GiB"
        env.stdout.write(f"{card.name:{width}}  {place:>8}  {card.licence:4}  {card.summary}\n")


def _on_disk(card: ModelCard, settings: Settings) -> bool:
    from qvq_mlx.core.errors import ModelError
    from qvq_mlx.store import registry

    try:
        registry.folder_of(card, settings.hub_cache)
    except ModelError:
        return False
    return True
