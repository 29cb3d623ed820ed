"""Decides how many regions a run looks at closer, and in which way the model names them.

Law: what the user asked for is done or refused by name. By default regions are looked at only where
a picture was shrunk a lot and the model can point; then, as with a number of the user's, no more
than the context and the memory have room for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qvq_mlx.core.card import ModelCard, ThinkingStyle
from qvq_mlx.core.clip import Visual
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import QvqError, UsageError
from qvq_mlx.core.events import Notice
from qvq_mlx.core.look import AUTO_REGIONS, Look, LookForm
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.plan import Resolved
from qvq_mlx.core.remedies import Ask, Field
from qvq_mlx.core.request import Placement, Request
from qvq_mlx.guards.language import held_scripts
from qvq_mlx.memory import admission
from qvq_mlx.reply.calls import Zoom, read
from qvq_mlx.run.image_budget import context_room
from qvq_mlx.store.chat_template import template_of
from qvq_mlx.store.template_tools import BOX, offer

_TURN_TOKENS = 256
"""Tokens that a region's question, its answer and the template around them may take."""

Planned = tuple[Look | None, tuple[Notice, ...]]


def look_of(
    request: Request,
    resolved: Resolved,
    pictures: Sequence[Visual],
    draft: ModelCard | None,
    env: Env,
) -> Planned:
    """Return how regions are looked at, None for not at all, and what to say of it.

    Raises UsageError where the user asked for it and this model or question has no regions.
    """
    card, wanted = resolved.card, request.method.look
    if wanted is not None:
        _check(request, card, pictures)
    elif not card.points or request.prompt.placement is Placement.INLINE:
        return None, ()
    most = AUTO_REGIONS if wanted is None else wanted
    offered = _offered(request, resolved)
    if offered is not None:
        resolved = replace(resolved, system=offered)
    room = min(most, _room(request, resolved, pictures, draft, env, most))
    if room < most and wanted is not None:
        counted = f"{room} of {most} regions" if room else "no region"
        text = f"there is room for {counted} beside the pictures and the reply"
        notices: tuple[Notice, ...] = (Notice("look", text),)
    else:
        notices = ()
    if room <= 0:
        return None, notices
    form = LookForm.POINTING if offered is None else LookForm.TOOL
    return Look(form, room, offered or ""), notices


def _offered(request: Request, resolved: Resolved) -> str | None:
    """Return the system message that offers the zoom-in tool; None where the model has to point.

    A vote shares one prefill, region and all; an answer that is held to something has no room for a
    call. There the regions come first.
    """
    thinking, method = resolved.thinking, request.method
    held = method.schema or held_scripts(method.lang) is not None
    if held or method.votes > 1 or not resolved.card.rounds:
        return None
    if thinking.style not in (ThinkingStyle.PREOPENED, ThinkingStyle.NONE):
        return None
    offered = offer(_template(resolved.folder), resolved.system, resolved.thinks)
    zoom = read(offered.call) if offered else None
    known = isinstance(zoom, Zoom) and zoom.numbers == BOX
    return offered.system if offered and known else None


def _template(folder: Path) -> str:
    try:
        return template_of(folder)
    except QvqError:  # it is told where the model is loaded
        return ""


def _check(request: Request, card: ModelCard, pictures: Sequence[Visual]) -> None:
    said = f" {request.method.look}"
    if not any(isinstance(visual, Picture) for visual in pictures):
        raise UsageError(
            (Field.LOOK, f"{said}: regions are cut out of pictures, and none is asked about"), Ask()
        )
    if request.prompt.placement is Placement.INLINE:
        raise UsageError((Field.LOOK, f"{said}: pictures stand within this question"), Ask())
    if not card.sees:
        raise UsageError((Field.LOOK, f"{said}: {card.name} reads text only"), Ask())


def _room(
    request: Request,
    resolved: Resolved,
    pictures: Sequence[Visual],
    draft: ModelCard | None,
    env: Env,
    most: int,
) -> int:
    """Regions that fit the context and the memory, of the size that one has at most."""
    card = resolved.card
    each = card.vision.max_tokens + _TURN_TOKENS
    taken = sum(visual.tokens for visual in pictures)
    reply = resolved.reply_tokens(request.limits.answer_tokens)
    question = admission.prompt_tokens(request.question, resolved.system or "")
    in_context = context_room(card, reply, question, len(pictures)) - taken
    fits = admission.most_image_tokens(resolved, draft, request, taken + most * each, env) - taken
    return max(0, min(in_context, fits) // each)
