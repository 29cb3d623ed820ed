"""`qvq man`: the manual page, also where the installer linked none."""

from __future__ import annotations

import typer


def man(context: typer.Context) -> None:
    """Show the manual page; as plain text in a pipe."""
    from qvq_mlx.run.manual import show_manual

    show_manual(context.obj.env)
