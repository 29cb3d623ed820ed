"""`qvq` alone in a terminal: what it is, the model it would take here, what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qvq_mlx.run.world import World

_TRY = (
    ('qvq -m tiny shapes.png "How many?"', "a tiny model, no download"),
    ('qvq photo.jpg "What is this?"', "ask about a picture of yours"),
    ("qvq chat photo.jpg", "go on asking about it"),
)
_MORE = (
    ("qvq models", "which models fit this machine"),
    ("qvq help", "all commands; qvq help ask: its options"),
    ("qvq doctor", "whether all is well here"),
)


def first_screen(world: World) -> None:
    """Write at most 20 rows of 80 columns."""
    from qvq_mlx.render.listing import write_shown

    taken, why = _model(world)
    write_shown(
        world.env,
        "Ask a visual-reasoning model about a picture, on your own machine, offline.",
        (("Model", ((taken, why),)), ("Try", _TRY), ("More", _MORE)),
    )


def _model(world: World) -> tuple[str, str]:
    """The model that a question would get, and why; or what to pull."""
    from qvq_mlx.core.sizes import size
    from qvq_mlx.run.choose import offered

    settings = world.settings
    if settings.model:
        return settings.model, "set with qvq config"
    card, is_on_disk = offered(world.env, settings)
    if card is None:
        return "-m tiny", "no model of the catalogue fits this machine"
    if is_on_disk:
        return card.name, "the best on this disk that fits in memory"
    facts = f"{size(card.download_bytes)}, licence {card.licence}"
    return f"qvq pull {card.name}", f"none is on this disk; this one fits best ({facts})"
