"""The model cards that are shipped, and a card for any folder of weights.

Law: a name means one thing. It is looked up as a card's name or alias, then as a folder on disk,
then as a Hugging Face repository id; nothing is guessed. `@` and a revision may follow the name of
a card or a repository.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from functools import cache
from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import ConfigError, ModelError, UnknownModelError
from qvq_mlx.core.remedies import Ask, Field, Remedy, Show
from qvq_mlx.store import layout, local
from qvq_mlx.store.cardfile import read_cards
from qvq_mlx.store.shape import stated_shape
from qvq_mlx.store.stated import stated, with_own_maximum

CARD = "qvq-card.toml"
"""A folder of weights may carry its own card; a conversion writes one."""


def cards(own: Path | None = None) -> tuple[ModelCard, ...]:
    """Every card, ordered by file name; the user's, from the folder `own`, come first.

    A shipped card goes where one of the user's has its name. A broken one of theirs is left out:
    `broken_cards` says so.
    """
    mine = _own_cards(own)[0] if own else ()
    names = {card.name.casefold() for card in mine}
    return (*mine, *(card for card in _shipped() if card.name not in names))


def broken_cards(own: Path) -> tuple[ConfigError, ...]:
    """Why some of the user's cards cannot be read."""
    return tuple(_own_cards(own)[1].values())


def find(name: str, own: Path | None = None) -> ModelCard:
    """The card that `name` means. Raises UnknownModelError, or ConfigError for a broken card."""
    known = cards(own)
    if own is not None and (fault := _own_cards(own)[1].get(name.casefold())):
        raise fault
    for card in known:
        if card.answers_to(name):
            return card
    from qvq_mlx.store.foreign import error_for_name

    if error := error_for_name(name):
        raise error
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _card_of_folder(folder.absolute(), known)
    base, at, revision = name.partition("@")
    if base and at and layout.is_revision(revision):
        return _at_revision(find(base, own), revision)
    if "/" in name and not name.startswith((".", "/", "~")) and name.count("/") == 1:
        return _card_of_repo(name, known)
    names = [card.name for card in known]
    close = difflib.get_close_matches(name.casefold(), names, n=3, cutoff=0.5)
    remedy: Remedy = Ask(settings=((Field.MODEL, close[0]),)) if close else Show.MODELS
    said = "name is" if len(close) == 1 else "names are"
    nearest = f"; the nearest {said} {', '.join(close)}" if close else ""
    raise UnknownModelError(f"no model is called {name!r}{nearest}", remedy)


def called(label: str, own: Path | None = None) -> ModelCard:
    """A card for a model that is elsewhere and called `label` there: the card of that name, else
    what the name suggests.
    """
    known = cards(own)
    tail = label.rstrip("/").rsplit("/", 1)[-1]
    for card in known:
        if card.answers_to(label) or card.answers_to(tail):
            return replace(card, name=label)
    return replace(_suggested_by(label, known), name=label)


def resolve(name: str, hub_cache: Path, own: Path | None = None) -> tuple[ModelCard, Path]:
    """The card that `name` means, and the folder of its weights, checked to be whole.

    A card that is not shipped gets what the checkpoint states. Raises a ModelError.
    """
    card = find(name, own)
    folder = folder_of(card, hub_cache)
    if not card.family or card.named_after:
        card = stated(card, folder)
    if card.sees:
        card = replace(card, vision=with_own_maximum(card.vision, folder))
    return measured(card, folder), folder


def measured(card: ModelCard, folder: Path) -> ModelCard:
    """`card` with the size of the weights that lie in `folder`, and with the shape they state."""
    size_bytes = local.weight_bytes(folder)
    shape = card.shape or stated_shape(folder)
    return replace(card, download_bytes=size_bytes or card.download_bytes, shape=shape)


def licence_file(card: ModelCard, hub_cache: Path) -> Path | None:
    """The licence's text beside the weights, where both are here."""
    try:
        folder = folder_of(card, hub_cache)
    except (ModelError, OSError):
        return None
    names = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def folder_of(card: ModelCard, hub_cache: Path) -> Path:
    """The folder of a card's weights, checked to be whole. Raises a ModelError."""
    if card.folder:
        folder = cards_folder() / card.folder  # an absolute folder stays itself
        local.check(folder, card)
        return folder.resolve()
    return local.snapshot(card, hub_cache)


def cards_folder() -> Path:
    """`qvq_mlx/models` in an installed wheel, `models` in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"


def read_card(path: Path) -> ModelCard:
    """The card of a TOML file, its first where it holds several. Raises ConfigError."""
    return read_cards(path)[0]


@cache
def _shipped() -> tuple[ModelCard, ...]:
    paths = sorted(cards_folder().glob("*.toml"))
    return tuple(card for path in paths for card in read_cards(path))


def _own_cards(folder: Path) -> tuple[tuple[ModelCard, ...], dict[str, ConfigError]]:
    """The user's cards, and by the file's name without its ending why others cannot be read."""
    found: list[ModelCard] = []
    broken = {}
    for path in sorted(folder.glob("[!.]*.toml")):
        try:
            found += read_cards(path)
        except ConfigError as error:
            broken[path.stem.casefold()] = error
    return tuple(found), broken


def _card_of_folder(folder: Path, known: tuple[ModelCard, ...]) -> ModelCard:
    """A card for weights that the user points at: its own, else what its name suggests."""
    # .../models--org--name/snapshots/<revision> is called by its repository
    label = folder.name
    if folder.parent.name == "snapshots":
        label = folder.parent.parent.name.removeprefix("models--").replace("--", "/")
    own = folder / CARD
    card = read_card(own) if own.is_file() else _suggested_by(label, known)
    return replace(card, name=label, aliases=(), repo="", folder=str(folder))


def _card_of_repo(repo: str, known: tuple[ModelCard, ...]) -> ModelCard:
    return replace(_suggested_by(repo, known), name=repo, aliases=(), repo=repo, folder="")


def _at_revision(card: ModelCard, revision: str) -> ModelCard:
    if not card.repo:
        raise UnknownModelError(f"{card.name} comes from no repository: it has no revisions")
    return replace(card, name=f"{card.name}@{revision}", aliases=(), revision=revision)


def _suggested_by(label: str, known: tuple[ModelCard, ...]) -> ModelCard:
    """The known card whose name stands in `label`, `named_after` it; else a plain card.

    It lends what a checkpoint cannot state, or does not. The size, the bits and what is doubtful of
    them are its own.
    """
    from qvq_mlx.store.styles import name_parts

    models = [card for card in known if card.name == (card.base or card.name)]
    for part in name_parts(label):
        for card in sorted(models, key=lambda card: -len(card.name)):
            if part == card.name or part.startswith((f"{card.name}-", f"{card.name}_")):
                return replace(
                    card,
                    base="",
                    bits=0.0,
                    download_bytes=0,
                    rank=0,
                    mmmu=0.0,
                    sources=(),
                    unconfirmed=(),
                    named_after=card.name,
                )
    return ModelCard(name=label, summary="", family="", licence="")
