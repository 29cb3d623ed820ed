"""`qvq list`: the models on this disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.run.world import World


def list_models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List the models on this disk: size, revision, whether they are whole, and where."""
    from qvq_mlx.core.sizes import size
    from qvq_mlx.records.models import DiskEntry, ListRecord
    from qvq_mlx.render import listing
    from qvq_mlx.store import registry
    from qvq_mlx.store.inventory import inventory

    world: World = context.obj
    env, settings = world.env, world.settings
    found = inventory(registry.cards(settings.cards_folder), settings.hub_cache)
    if as_json:
        entries = tuple(
            DiskEntry(
                name=entry.name,
                repo=entry.repo or None,
                revision=entry.revision or None,
                size_bytes=entry.size_bytes,
                whole=not entry.problem,
                problem=entry.problem or None,
                path=str(entry.folder),
            )
            for entry in found
        )
        listing.write_json(env, ListRecord(entries))
        return
    rows = [
        (
            entry.name,
            size(entry.size_bytes),
            entry.revision[:8] if entry.repo else "shipped",
            "no" if entry.problem else "yes",
            str(entry.folder),
        )
        for entry in found
    ]
    listing.write_table(env, ("model", "size", "revision", "whole", "path"), rows)
