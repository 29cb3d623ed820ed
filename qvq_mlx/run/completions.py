"""Completions that depend on this machine: images, models, saved runs, settings."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from qvq_mlx.render.completions import Files, Folders, Found, Word
from qvq_mlx.run.world import World


def images(_world: World | None = None) -> Files:
    """Return the files that may be pictures."""
    from qvq_mlx.core.image_names import EXTENSIONS

    return Files(EXTENSIONS)


def _models(world: World) -> tuple[Word, ...]:
    """The names of cards, and what else lies in the cache. A card that is broken hides none."""
    from qvq_mlx.core.errors import QvqError
    from qvq_mlx.store import registry
    from qvq_mlx.store.layout import data_set_folders, repo_folders

    settings = world.settings_or_defaults
    try:
        cards = registry.cards(settings.cards_folder)
    except QvqError:
        cards = registry.cards()
    named = [Word(name, card.summary) for card in cards for name in (card.name, *card.aliases)]
    known = {card.repo for card in cards}
    folders = (*repo_folders(settings.hub_cache), *data_set_folders(settings.hub_cache))
    here = [folder.repo for folder in folders]
    return (*named, *(Word(repo, "on this disk") for repo in here if repo not in known))


def _runs(world: World) -> tuple[Word, ...]:
    """The newest of the saved runs, by the ids that `qvq log list` shows."""
    from qvq_mlx.history.files import names_in, runs_among, short_ids

    folder = world.settings_or_defaults.history_folder
    names = names_in(folder)
    newest = list(islice(runs_among(names, folder), 50))
    ids = short_ids(names, newest)
    times = [f"{file.time:%Y-%m-%d %H:%M:%S}" if file.time else "" for file in newest]
    return tuple(Word(ids[file.stem], time) for file, time in zip(newest, times, strict=True))


def _keys(_world: World) -> tuple[Word, ...]:
    from qvq_mlx.settings.config import KEYS

    return tuple(Word(key) for key in KEYS)


SOURCES: dict[str, Callable[[World], Found]] = {
    "NAME": _models,
    "MODEL": _models,
    "OTHER": _models,
    "FOLDER": lambda _world: Folders(),
    "DIR": lambda _world: Folders(),
    "SRC": lambda _world: Folders(),
    "DST": lambda _world: Folders(),
    "IMAGE": images,
    "FILE": lambda _world: Files(),
    "PATH": lambda _world: Files(),
    "OUT.png": lambda _world: Files((".png",)),
    "FILE.tar": lambda _world: Files((".tar",)),
    "SCHEMA": lambda _world: Files((".json",)),
    "ID": _runs,
    "RUN": _runs,
    "KEY": _keys,
}
"""By the word of a metavar: what may stand there."""
