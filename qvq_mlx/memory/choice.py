"""Choose a model where nobody named one, and another where one does not fit.

Law: never picked by itself: a rank of 0 (the embedded models), a licence for research only, a model
that does not see, less than 4 bits, a repository that no source confirms. Among the rest a
comfortable fit goes before a tight one, then the higher rank, then the order of the cards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.plan import CLOSING_TOKENS
from qvq_mlx.core.remedies import EstimateModel, Field, RunProgram
from qvq_mlx.core.sizes import size
from qvq_mlx.memory.chips import USUAL_CHIPS
from qvq_mlx.memory.estimate import Estimate, Use, Verdict, estimate, typical
from qvq_mlx.memory.machine import hypothetical
from qvq_mlx.memory.sharing import undivided
from qvq_mlx.memory.working_set import highest_wired_limit_bytes
from qvq_mlx.store.licence import licence_of

_MIN_BUDGET_TOKENS = 256
_MIN_IMAGE_TOKENS = 64
Offer = EstimateModel | RunProgram | None
_ORDER = {Verdict.YES: 0, Verdict.TIGHT: 1, Verdict.UNKNOWN: 2}


class Standing(StrEnum):
    """Why a model stands where it does among those that may be picked by themselves."""

    FIRST = "first"
    """It is picked: the highest rank of those that fit with a fifth to spare, else tightly."""
    BELOW = "below"
    """It fits, and another one has a higher rank or a better fit."""
    TOO_LARGE = "too-large"
    UNKNOWN = "unknown"
    """Its size or the machine's memory is not known."""
    TEXT_ONLY = "text-only"
    NO_SOURCE = "no-source"
    """No source confirms its repository."""
    RESEARCH_ONLY = "research-only"
    """Its licence is."""
    FEW_BITS = "few-bits"
    NOT_RANKED = "not-ranked"


def may_be_default(card: ModelCard) -> bool:
    """True if it may be picked by itself."""
    return _never_picked(card) is None


def standing_of(card: ModelCard, estimate: Estimate, chosen: ModelCard | None) -> Standing:
    """Return why `card` stands where it does on the machine of `estimate`, of which `chosen` is the
    default.
    """
    if chosen is not None and card.name == chosen.name:
        return Standing.FIRST
    if estimate.verdict is Verdict.NO:
        return Standing.TOO_LARGE
    never = _never_picked(card)
    if never is not None:
        return never
    return Standing.UNKNOWN if estimate.verdict is Verdict.UNKNOWN else Standing.BELOW


def first_from(cards: Iterable[ModelCard]) -> dict[str, int]:
    """By name the memory in bytes of the smallest Mac that is sold on which a card is picked."""
    known, found = tuple(cards), dict[str, int]()
    for gib in sorted(USUAL_CHIPS):
        if chosen := best(known, hypothetical(gib * 2**30)):
            found.setdefault(chosen.name, gib * 2**30)
    return found


def _never_picked(card: ModelCard) -> Standing | None:
    """Return why a card is never picked by itself; None where it may be."""
    if not card.sees:
        return Standing.TEXT_ONLY
    if card.rank <= 0:
        return Standing.NOT_RANKED
    if "repo" in card.unconfirmed:
        return Standing.NO_SOURCE
    if licence_of(card.licence).research_only:
        return Standing.RESEARCH_ONLY
    # 3 bit costs much: perplexity +19 % against +5 % with 4 bit (70B, llama.cpp's Q3_K_M, Q4_K_M)
    return Standing.FEW_BITS if 0 < card.bits < 4 else None


def best(cards: Iterable[ModelCard], machine: Machine) -> ModelCard | None:
    """The default among `cards`, in their order; None where none may be one and fits."""
    found = None
    for card in cards:
        if not may_be_default(card):
            continue
        verdict = estimate(card, machine, typical(card)).verdict
        if verdict is Verdict.NO:
            continue
        key = (_ORDER[verdict], -card.rank)
        if found is None or key < found[0]:
            found = (key, card)
    return found[1] if found else None


def sees_video(cards: Iterable[ModelCard], machine: Machine) -> ModelCard | None:
    """The best of `cards` that takes a video; where none may be a default, the first that does."""
    able = [card for card in cards if card.vision.video]
    return best(able, machine) or next(iter(able), None)


def instead(
    card: ModelCard, cards: Iterable[ModelCard], machine: Machine, use: Use
) -> tuple[tuple[str, Offer], ...]:
    """Return what would fit where `card` does not or only just: (what, how to see it), best first.

    A smaller quantization, a smaller cache, a smaller budget, fewer image tokens, another model,
    two machines, a higher limit.
    """
    found: list[tuple[str, Offer]] = []
    known = tuple(cards)
    asked = _budget(card, use.budget_tokens)
    cache = () if use.kv_bits is None else ((Field.KV_BITS, str(use.kv_bits)),)
    if smaller := _smaller(card, known, machine, use):
        told = size(smaller.download_bytes)
        found.append(
            (f"{smaller.bits:g} bit, {told}", EstimateModel(smaller.name, (asked, *cache)))
        )
    if estimate(card, machine, use).verdict is Verdict.NO:
        if _fits_quantised(card, machine, use):
            eight = EstimateModel(card.name, (asked, (Field.KV_BITS, "8")))
            found.append(("keys and values of 8 bit", eight))
        if tokens := _largest_budget(card, machine, use):
            less = EstimateModel(card.name, (_budget(card, tokens), *cache))
            found.append((f"a budget of {tokens:,} tokens", less))
        if tokens := _largest_image(card, machine, use):
            fewer = EstimateModel(card.name, (asked, (Field.DETAIL, str(tokens)), *cache))
            takes_it = card.vision.min_tokens <= tokens <= card.vision.own_max_tokens
            found.append((f"an image of {tokens:,} tokens", fewer if takes_it else None))
    others = [
        other
        for other in known
        if (other.base or other.name) != (card.base or card.name)
        and not undivided(other, machine.sharing)
    ]
    if other := best(others, machine):
        told = size(other.download_bytes)
        found.append((f"another model, {told}", EstimateModel(other.name)))
    if _fits_two(card, machine, use):
        found.append(("two such machines that split it (docs/hosts.md)", None))
    if limit := _higher_limit(card, machine, use):
        left = size((machine.memory_bytes or 0) - limit)
        what = (
            f"a wired limit of {size(limit)}, until the next restart; macOS keeps {left}, and may"
            " swap or panic where other programs need more"
        )
        setting = f"iogpu.wired_limit_mb={limit // 2**20}"
        found.append((what, RunProgram(("sudo", "sysctl", setting))))
    return tuple(found)


def _budget(card: ModelCard, tokens: int) -> tuple[Field, str]:
    """The setting that gives `tokens` of thinking, closing text and all."""
    closing = CLOSING_TOKENS if card.thinking.closing else 0
    return Field.BUDGET, str(max(tokens - closing, 0))


def _higher_limit(card: ModelCard, machine: Machine, use: Use) -> int:
    """The limit in bytes with which `card` would fit where it does not; 0 where none would do.

    Only of a Mac, and only as high as others run theirs.
    """
    if not machine.memory_bytes or not machine.fused_attention:
        return 0
    highest = highest_wired_limit_bytes(machine.memory_bytes)
    found = estimate(card, machine, use)
    limit = -(-found.needed_bytes // 2**30) * 2**30
    return limit if found.verdict is Verdict.NO and limit <= highest else 0


def _smaller(
    card: ModelCard, cards: tuple[ModelCard, ...], machine: Machine, use: Use
) -> ModelCard | None:
    """The largest smaller quantization of the same model that is a better fit."""
    verdict = estimate(card, machine, use).verdict
    same = [
        other
        for other in cards
        if card.base and other.base == card.base and other.download_bytes < card.download_bytes
    ]
    for other in sorted(same, key=lambda other: -other.download_bytes):
        theirs = estimate(other, machine, use).verdict
        if theirs is Verdict.YES or (theirs is Verdict.TIGHT and verdict is Verdict.NO):
            return other
    return None


def _largest_budget(card: ModelCard, machine: Machine, use: Use) -> int:
    """In steps of 256 tokens; 0 where not even the smallest fits."""
    for tokens in range(use.budget_tokens // 256 * 256, _MIN_BUDGET_TOKENS - 1, -256):
        if _fits(card, machine, replace(use, budget_tokens=tokens)):
            return tokens
    return 0


def _largest_image(card: ModelCard, machine: Machine, use: Use) -> int:
    """In steps of 64 tokens; 0 where not even the smallest fits."""
    for tokens in range(use.image_tokens // 64 * 64, _MIN_IMAGE_TOKENS - 1, -64):
        if _fits(card, machine, replace(use, image_tokens=tokens)):
            return tokens
    return 0


def _fits_quantised(card: ModelCard, machine: Machine, use: Use) -> bool:
    """True if it fits with keys and values of 8 bit, where these can be had and were not."""
    if use.kv_bits is not None or card.shape is None or not card.shape.kv_group:
        return False
    return _fits(card, machine, replace(use, kv_bits=8))


def _fits_two(card: ModelCard, machine: Machine, use: Use) -> bool:
    """True if it fits two of these machines, which it divides among, where one is not enough."""
    if card.shape is None or machine.sharing > 1 or undivided(card, 2):
        return False
    alone = estimate(card, machine, use).verdict is Verdict.NO
    return alone and _fits(card, replace(machine, sharing=2), use)


def _fits(card: ModelCard, machine: Machine, use: Use) -> bool:
    return estimate(card, machine, use).verdict in (Verdict.YES, Verdict.TIGHT)
