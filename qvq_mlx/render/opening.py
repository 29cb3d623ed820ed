"""Facts for a screen before the first event: what it shows, and of which run."""

from __future__ import annotations

from dataclasses import dataclass

from qvq_mlx.core.plan import Plan, Rates
from qvq_mlx.core.request import ThinkingView


@dataclass(frozen=True, slots=True)
class Manner:
    """Options of this screen.

    `answers` False: the answer goes elsewhere, and in the end nothing of ours is left here but
    what `view` FULL wrote. `hint` is the command that shows the thinking later, or empty.
    `saved` True: the run is over, and nothing is said of what it is doing.
    """

    view: ThinkingView
    answers: bool
    boxed_only: bool = False
    quiet: bool = False
    verbose: bool = False
    hint: str = ""
    saved: bool = False


@dataclass(frozen=True, slots=True)
class Opening:
    """Facts that a screen knows before the first event.

    `receipts` say what was read; `can_conclude`: the answer can be asked for while it thinks;
    `budget_tokens` None: no bounds. `image_tokens` and `prompt_tokens` as they are expected.
    """

    receipts: tuple[str, ...] = ()
    can_conclude: bool = False
    budget_tokens: int | None = None
    image_tokens: int = 0
    prompt_tokens: int = 0
    rates: Rates = Rates()


def opening_of(plan: Plan) -> Opening:
    """The opening of a run that is about to start. Four characters are about a token."""
    image_tokens = sum(picture.tokens for picture in plan.pictures)
    new = plan.pictures[plan.request.origin.seen_pictures :]
    characters = len(plan.request.question) + len(plan.resolved.system or "")
    return Opening(
        receipts=tuple(picture.receipt for picture in new),
        can_conclude=bool(plan.resolved.thinking.closing),
        budget_tokens=plan.resolved.budget_tokens,
        image_tokens=image_tokens,
        prompt_tokens=image_tokens + characters // 4 + 20,
        rates=plan.rates,
    )
