"""What a command about files on disk means by a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qvq_mlx.core.card import ModelCard
    from qvq_mlx.core.env import Env
    from qvq_mlx.store.layout import RepoFolder


def repository(name: str, env: Env) -> tuple[ModelCard, RepoFolder]:
    """The card, and its folder in the cache, which need not exist.

    Raises UnknownModelError, and ModelError for a model that no repository has.
    """
    from qvq_mlx.core.errors import ModelError
    from qvq_mlx.settings import config
    from qvq_mlx.store import registry
    from qvq_mlx.store.layout import RepoFolder

    settings = config.read(env)
    card = registry.find(name, settings.cards_folder)
    if not card.repo:
        where = "comes with qvq" if not card.folder.startswith("/") else "is a folder of yours"
        raise ModelError(f"{card.name} {where}: it is not in the cache", "qvq models")
    return card, RepoFolder(settings.hub_cache, card.repo)


def present(name: str, env: Env) -> tuple[ModelCard, RepoFolder]:
    """The same, for a model of which something is on this disk. Raises ModelNotOnDiskError."""
    from qvq_mlx.core.errors import ModelNotOnDiskError

    card, folder = repository(name, env)
    if not folder.root.is_dir():
        raise ModelNotOnDiskError(f"nothing of {card.repo} is on this disk", f"qvq pull {name}")
    return card, folder


def confirmed(question: str, env: Env) -> bool:
    """Whether a person says yes. Without a terminal nobody is asked, and the answer is no."""
    if not (env.stdin.isatty() and env.stdout.isatty() and env.stderr.isatty()):
        return False
    from qvq_mlx.render.clean import clean_line

    env.stderr.write(f"{clean_line(question)} [y/N] ")
    env.stderr.flush()
    return env.stdin.readline().strip().casefold() in ("y", "yes")
