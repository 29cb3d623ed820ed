"""True if this machine can run what is asked, before anything is loaded.

Law: what does not fit is refused before the load, unless the user forces it; what is not known is
not refused. Models below SMALL_BYTES are not checked and cost no look at the machine. What takes
long to read is said before it begins.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.clip import Visual
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import DoesNotFitError
from qvq_mlx.core.events import Notice
from qvq_mlx.core.plan import Resolved
from qvq_mlx.core.remedies import EstimateModel, Field
from qvq_mlx.core.request import Request
from qvq_mlx.core.setup import Drafting
from qvq_mlx.memory.estimate import Estimate, Use, Verdict, estimate, typical
from qvq_mlx.store.local import holds_head

if TYPE_CHECKING:
    from qvq_mlx.core.machine import Machine

SMALL_BYTES = 2**30
LONG_PREFILL_S = 60.0
"""From here on, how long reading the prompt takes is said beforehand."""
TEMPLATE_TOKENS = 64
"""System message and chat template, beyond what is counted from their text."""
BIG_SHARE = 0.25
"""Of the working set: a model above it is loaded one at a time."""


@dataclass(frozen=True, slots=True)
class Room:
    """Notices before the run, and True in `alone` if no second model may be loaded beside it."""

    notices: tuple[Notice, ...] = ()
    alone: bool = False


def check(
    resolved: Resolved,
    request: Request,
    pictures: Sequence[Visual],
    env: Env,
    draft: ModelCard | None = None,
) -> Room:
    """Room for `card`, and for `draft` beside it if the user named one.

    Raises DoesNotFitError where it does not fit and the user does not force it.
    """
    card = resolved.card
    if card.download_bytes < SMALL_BYTES:
        return Room()
    machine = env.machine()
    found = _estimate(resolved, draft, request, _tokens(pictures), machine, len(pictures))
    slow = (*_slow(found, pictures), *(() if request.earlier else _power(machine)))
    limit = machine.working_set_bytes
    alone = bool(limit) and card.download_bytes > BIG_SHARE * (limit or 0)
    match found.verdict:
        case Verdict.NO if not request.policy.force:
            raise DoesNotFitError(
                f"{card.name} does not fit: {found.reason}",
                EstimateModel(card.folder or card.name),
            )
        case Verdict.NO:
            text = env.spelling.sentence(
                (f"{card.name} does not fit and ", Field.FORCE, f" was given: {found.reason}")
            )
            return Room((Notice("does-not-fit", text), *slow), alone)
        case Verdict.TIGHT:
            tight = Notice("tight", f"{card.name} is a tight fit: {found.reason}")
            return Room((tight, *slow), alone)
        case Verdict.YES | Verdict.UNKNOWN:
            return Room(slow, alone)


def _power(machine: Machine) -> tuple[Notice, ...]:
    """Say what slows macOS's GPU down; a follow-up is not told it again."""
    if machine.low_power:
        return (Notice("power", "Low Power Mode is on: macOS slows the GPU down"),)
    if machine.power == "battery":
        return (Notice("power", "on battery: macOS may slow the GPU down"),)
    return ()


def leaves_room(
    resolved: Resolved, draft: ModelCard, request: Request, pictures: Sequence[Visual], env: Env
) -> bool:
    """True if `draft` fits beside the model without making it tight. Small models always do."""
    if resolved.card.download_bytes < SMALL_BYTES:
        return True
    tokens, machine = _tokens(pictures), env.machine()
    found = _estimate(resolved, draft, request, tokens, machine, len(pictures))
    return found.verdict in (Verdict.YES, Verdict.UNKNOWN)


def most_image_tokens(
    resolved: Resolved, draft: ModelCard | None, request: Request, wanted: int, env: Env
) -> int:
    """Return the largest number of image tokens, at most `wanted`, that fits in memory.

    All of them where that is not known or not checked, and where the model does not fit even
    without a picture: that is for `check` to say.
    """
    if resolved.card.download_bytes < SMALL_BYTES or request.policy.force:
        return wanted
    machine = env.machine()

    def refused(tokens: int) -> bool:
        found = _estimate(resolved, draft, request, tokens, machine, len(request.images))
        return found.verdict is Verdict.NO

    if refused(0):
        return wanted
    # a verdict never gets better with more tokens
    return bisect.bisect_left(range(wanted + 1), True, key=refused) - 1


def most_in_flight(resolved: Resolved, request: Request, wanted: int, env: Env) -> int:
    """Return how many questions, at most `wanted`, have room together without making it tight, each
    with as many pictures' tokens as one may have; 1 where a single one has not.

    All of them where that is not known or not checked.
    """
    if resolved.card.download_bytes < SMALL_BYTES or request.policy.force:
        return wanted
    machine, image_tokens = env.machine(), typical(resolved.card).image_tokens

    def is_tight(count: int) -> bool:
        policy = replace(request.policy, in_flight=count)
        asked = replace(request, policy=policy)
        found = _estimate(resolved, None, asked, image_tokens, machine)
        return found.verdict not in (Verdict.YES, Verdict.UNKNOWN)

    return max(1, bisect.bisect_left(range(1, wanted + 1), True, key=is_tight))


def _estimate(
    resolved: Resolved,
    draft: ModelCard | None,
    request: Request,
    image_tokens: int,
    machine: Machine,
    images: int = 1,
) -> Estimate:
    """Of one run; what a draft model needs is added to the weights, as are the KV cache and the
    states of each sample and of each question in flight but the first.
    """
    card = resolved.card
    use = Use(
        image_tokens=image_tokens,
        prompt_tokens=prompt_tokens(_text(request), resolved.system or ""),
        budget_tokens=resolved.reply_tokens(
            request.limits.answer_tokens
        ),  # thinking and answer together
        answer_tokens=0,
        traced=_traced(resolved),
        images=images,
        kv_bits=request.method.kv_bits,
    )
    if draft is not None:
        beside = estimate(draft, machine, replace(use, kv_bits=None)).needed_bytes
        card = replace(card, download_bytes=card.download_bytes + beside)
    if (rows := request.method.votes * (request.policy.in_flight or 1)) > 1:
        more = (rows - 1) * (estimate(card, machine, use).kv_bytes or 0)
        if card.shape is not None and card.shape.recurrent is not None:  # the one before a token
            more += (rows - 1) * card.shape.recurrent.recurrent_bytes
        card = replace(card, download_bytes=card.download_bytes + more)
    return estimate(card, machine, use)


def _traced(resolved: Resolved) -> bool:
    """True if the checkpoint's own head may draft: it is asked for, or it is there and nothing else
    is asked for.
    """
    drafting = resolved.setup.drafting
    if drafting is Drafting.AUTO:
        return holds_head(resolved.card, resolved.folder)
    return drafting is Drafting.MTP


def room_for_rounds_bytes(
    resolved: Resolved, request: Request, pictures: Sequence[Visual]
) -> int | None:
    """Return the context's room for earlier rounds, in bytes, two for a token; None where
    the context's length is not known.
    """
    card = resolved.card
    if card.shape is None or not card.shape.context_tokens:
        return None
    taken = prompt_tokens(request.question, resolved.system or "")
    taken += sum(picture.tokens for picture in pictures)
    taken += resolved.reply_tokens(request.limits.answer_tokens)
    return 2 * (card.shape.context_tokens - taken)


def _text(request: Request) -> str:
    """Join the texts of this question and of earlier rounds."""
    past = (f"{earlier.question}{earlier.answer}" for earlier in request.rounds)
    return "".join((*past, request.question))


def _tokens(pictures: Sequence[Visual]) -> int:
    return sum(picture.tokens for picture in pictures)


def _slow(found: Estimate, pictures: Sequence[Visual]) -> tuple[Notice, ...]:
    """Say that reading the prompt will take long, where it will."""
    if found.prefill_s is None or found.prefill_s < LONG_PREFILL_S:
        return ()
    text = (
        f"{_tokens(pictures):,} image tokens: about {found.prefill_s / 60:.1f} min until the first"
        " word on this machine (an estimate), less where they are cached"
    )
    return (Notice("slow-prefill", text),)


def prompt_tokens(question: str, system: str) -> int:
    """An upper estimate of a text's tokens without its tokenizer: one for two bytes."""
    return len(question.encode()) // 2 + len(system.encode()) // 2 + TEMPLATE_TOKENS
