"""The model cards that are shipped, and a card for any folder of weights.

Law: a name means one thing. It is looked up as a card's name or alias, then as a folder on disk,
then as a Hugging Face repository id; nothing is guessed.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from qvq_mlx.core.card import ModelCard, Thinking, ThinkingStyle, VisionLimits
from qvq_mlx.core.errors import ConfigError, UnknownModelError
from qvq_mlx.core.request import Sampling
from qvq_mlx.store import local
from qvq_mlx.store.stated import stated

T = TypeVar("T")

CARD = "qvq-card.toml"
"""A folder of weights may carry its own card; `qvq convert` writes one."""


def cards() -> tuple[ModelCard, ...]:
    """Every shipped card, ordered by file name."""
    return tuple(read_card(path) for path in sorted(cards_folder().glob("*.toml")))


def find(name: str) -> ModelCard:
    """The card that `name` means. Raises UnknownModelError."""
    known = cards()
    for card in known:
        if card.answers_to(name):
            return card
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _card_of_folder(folder.absolute(), known)
    if "/" in name and not name.startswith((".", "/", "~")) and name.count("/") == 1:
        return _card_of_repo(name, known)
    names = [card.name for card in known]
    close = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=0.5)
    hint = f'qvq ask -m {close[0]} IMAGE "question"' if close else "qvq models"
    raise UnknownModelError(f"no model is called {name!r}; known: {', '.join(names)}", hint)


def resolve(name: str, hub_cache: Path) -> tuple[ModelCard, Path]:
    """The card that `name` means, and the folder of its weights, checked to be whole.

    A card that is not shipped gets what the checkpoint states. Raises a ModelError.
    """
    card = find(name)
    folder = folder_of(card, hub_cache)
    return (card if card.family else stated(card, folder)), folder


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
    """A card from its TOML file. Raises ConfigError for a key or value that is not allowed."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        thinking = values.pop("thinking", {})
        if "style" in thinking:
            thinking["style"] = ThinkingStyle(thinking["style"])
        return _build(
            ModelCard,
            values
            | {
                "thinking": _build(Thinking, thinking),
                "sampling": _build(Sampling, values.pop("sampling", {})),
                "vision": _build(VisionLimits, values.pop("vision", {})),
            },
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} is no model card: {error}", f"cat {path}") from error


_TOML_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "str | None": str,
    "int": int,
    "int | None": int,
    "float": (int, float),
    "bool": bool,
    "tuple[str, ...]": list,
}


def _build(cls: type[T], values: dict[str, Any]) -> T:
    """An instance from TOML values; TypeError for an unknown key or another type."""
    kinds = {each.name: str(each.type) for each in fields(cls)}  # type: ignore[arg-type]
    for key, value in values.items():
        allowed = _TOML_TYPES.get(kinds.get(key, ""))
        if allowed and (
            not isinstance(value, allowed) or isinstance(value, bool) is not (allowed is bool)
        ):
            raise TypeError(f"{key} is {value!r}, not {kinds[key]}")
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def _card_of_folder(folder: Path, known: tuple[ModelCard, ...]) -> ModelCard:
    """A card for weights that the user points at: its own, else a known model's voice by name."""
    # .../models--org--name/snapshots/<revision> is called by its repository
    label = folder.name
    if folder.parent.name == "snapshots":
        label = folder.parent.parent.name.removeprefix("models--").replace("--", "/")
    own = folder / CARD
    voice = read_card(own) if own.is_file() else _voice_of(label, known)
    return replace(voice, name=label, aliases=(), repo="", folder=str(folder))


def _card_of_repo(repo: str, known: tuple[ModelCard, ...]) -> ModelCard:
    return replace(_voice_of(repo, known), name=repo, aliases=(), repo=repo, folder="")


def _voice_of(label: str, known: tuple[ModelCard, ...]) -> ModelCard:
    """The known card of the same model in another quantization, else a plain one."""
    tail = label.rsplit("/", 1)[-1].casefold()
    for card in known:
        if tail.startswith(card.name.casefold()):
            return card
    return ModelCard(name=label, summary="", family="", licence="")
