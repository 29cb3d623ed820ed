"""`qvq show` and `qvq licence`: all that is known of one model, and what its licence asks."""

from __future__ import annotations

from typing import Annotated

import typer


def show(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name, folder or repository.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show a model's card, shape and licence, and whether it fits here.

    What no source confirms is marked "unconfirmed".
    """
    from qvq_mlx.memory.candidates import candidate
    from qvq_mlx.records.models import ShowRecord
    from qvq_mlx.render import listing
    from qvq_mlx.render.models import write_model
    from qvq_mlx.run.catalogue import located

    card, folder = located(model, context.obj.settings)
    path = None if folder is None else str(folder)
    known = candidate(card, context.obj.env.machine(), on_disk=folder is not None)
    if as_json:
        listing.write_json(context.obj.env, ShowRecord(card, path, known.estimate))
    else:
        write_model(context.obj.env, known, path or "not on this disk")


def licence(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show a model's licence: its duties, and where the text lies.

    The summary is no legal text; the licence itself holds.
    """
    from qvq_mlx.run.catalogue import show_licence

    show_licence(model, context.obj.env, context.obj.settings, as_json=as_json)
