"""Gathers the models that qvq knows, and those on this disk, as the records that are printed."""

from __future__ import annotations

from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ModelError, ModelNotOnDiskError, UnsupportedModelError
from qvq_mlx.core.machine import Machine
from qvq_mlx.memory.candidates import Candidate, among, candidate
from qvq_mlx.memory.choice import best, first_from, may_be_default
from qvq_mlx.memory.estimate import read_bytes
from qvq_mlx.records.models import (
    DiskEntry,
    LicenceRecord,
    ListRecord,
    ModelEntry,
    ModelsRecord,
)
from qvq_mlx.settings.config import Settings
from qvq_mlx.store import registry
from qvq_mlx.store.inventory import data_sets, inventory, is_here
from qvq_mlx.store.licence import licence_of


def candidates(settings: Settings, machine: Machine, *, every: bool) -> tuple[Candidate, ...]:
    """The catalogue as this machine would run it; unless `every`, one quantization of each model,
    and what is on this disk.
    """
    found = []
    for card in registry.cards(settings.cards_folder):
        here = is_here(card, settings.hub_cache)
        if here:
            card = registry.measured(card, registry.folder_of(card, settings.hub_cache))
        if every or here or not card.base or card.name == card.base:
            found.append(candidate(card, machine, on_disk=here))
    return among(found, best((one.card for one in found), machine))


def models_record(settings: Settings, machine: Machine) -> ModelsRecord:
    """The whole catalogue."""
    known = candidates(settings, machine, every=True)
    smallest = first_from(one.card for one in known)
    entries = tuple(_entry(one, smallest.get(one.card.name)) for one in known)
    return ModelsRecord(settings.model, machine, entries)


def downloaded(settings: Settings) -> ListRecord:
    """The models and the pulled data sets on this disk."""
    models = inventory(registry.cards(settings.cards_folder), settings.hub_cache)
    entries = (
        DiskEntry(
            name=entry.name,
            repo=entry.repo or None,
            revision=entry.revision or None,
            size_bytes=entry.size_bytes,
            whole=not entry.problem,
            problem=entry.problem or None,
            path=str(entry.folder),
            kind=entry.kind,
        )
        for entry in (*models, *data_sets(settings.hub_cache))
    )
    return ListRecord(tuple(entries))


def located(name: str, settings: Settings) -> tuple[ModelCard, Path | None]:
    """A model's card, with the size and shape of its files where they are here, and their folder.

    Raises UnknownModelError, ModelError for a folder of the user's that is no model, and
    UnsupportedModelError for files that are here and of an architecture that is not run.
    """
    card = registry.find(name, settings.cards_folder)
    try:
        return registry.resolve(name, settings.hub_cache, settings.cards_folder)
    except UnsupportedModelError:
        raise  # it is here, and is none
    except ModelError:
        if not card.repo:
            raise
        return card, None


def measured(name: str, settings: Settings) -> ModelCard:
    """A model's card, with the size and shape of its files where all of them are here."""
    try:
        return registry.resolve(name, settings.hub_cache, settings.cards_folder)[0]
    except ModelNotOnDiskError:
        return registry.find(name, settings.cards_folder)


def show_licence(name: str, env: Env, settings: Settings, *, as_json: bool) -> None:
    """Print what a model's licence asks. Raises UnknownModelError."""
    from qvq_mlx.render import listing

    card = registry.find(name, settings.cards_folder)
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


def _entry(known: Candidate, first_from_bytes: int | None) -> ModelEntry:
    card = known.card
    return ModelEntry(
        name=card.name,
        aliases=card.aliases,
        base=card.base or card.name,
        bits=card.bits or None,
        summary=card.summary,
        licence=card.licence,
        repo=card.repo or None,
        download_bytes=card.download_bytes,
        thinks=card.thinks,
        sees=card.sees,
        takes_video=card.vision.video,
        on_disk=known.on_disk,
        verdict=known.estimate.verdict,
        needed_bytes=known.estimate.needed_bytes,
        tokens_per_s=known.tokens_per_s,
        rank=card.rank if may_be_default(card) else 0,
        unconfirmed=card.unconfirmed,
        standing=known.standing,
        read_bytes_per_token=read_bytes(card),
        first_from_bytes=first_from_bytes,
        mmmu=card.mmmu or None,
    )
