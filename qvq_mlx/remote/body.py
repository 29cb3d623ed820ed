"""A plan as the body of a request for chat completions.

Pictures are sent as they were prepared here, as PNG: turned, cropped and sized as a model here
would see them, whatever the file was. Samplings that change nothing are left out, since not every
server knows them. A qvq retells, numbers and fills in defaults by itself; any other server is told
as a model here would be.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from qvq_mlx.core.clip import Clip, Visual
from qvq_mlx.core.errors import NoVideoError
from qvq_mlx.core.host import Served
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.remedies import Ask
from qvq_mlx.core.request import Limits, Sampling
from qvq_mlx.core.rounds import kept
from qvq_mlx.images.encoded import png_of
from qvq_mlx.remote.models import EVENTS

Json = dict[str, Any]


def body_of(plan: Plan, served: Served) -> Json:
    """Return the body. Raises NoVideoError."""
    resolved, limits = plan.resolved, plan.request.limits
    body: Json = {
        "model": served.model,
        "messages": _messages(plan, served),
        "stream": True,
        "stream_options": {"include_usage": True},
        **_sampling(resolved.sampling),
    }
    if limits.max_tokens is not None or not served.tells_events:
        body["max_tokens"] = resolved.max_tokens
    if served.tells_events:
        body["qvq"] = {
            "events": EVENTS,
            "answer_tokens": limits.answer_tokens,
            "lang": plan.request.method.lang,
            "think": limits.think,
        }
        body["store"] = False  # who asks keeps it
        body |= _budget(limits)
        body |= _schema(plan.request.method.schema)
    elif resolved.card.thinking.unasked and (limits.think is not None or not resolved.thinks):
        body["chat_template_kwargs"] = {"enable_thinking": resolved.thinks}
    return body


def _budget(limits: Limits) -> Json:
    if limits.budget is None:
        return {}
    tokens = limits.budget.tokens
    return {"reasoning_effort": "max"} if tokens is None else {"thinking_budget": tokens}


def _schema(schema: str) -> Json:
    if not schema:
        return {}
    named = {"name": "answer", "strict": True, "schema": json.loads(schema)}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _sampling(sampling: Sampling) -> Json:
    found: Json = {"temperature": sampling.temperature, "seed": sampling.seed}
    off = Sampling()
    for name in ("top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty"):
        value = getattr(sampling, name)
        if value != getattr(off, name):
            found[name] = value
    return found


def _messages(plan: Plan, served: Served) -> list[Json]:
    question = plan.request.question
    if served.tells_events:
        rounds = kept(plan.request.rounds, plan.room_bytes)
    else:
        question, rounds = plan.posed(question)
    labels = [""] * len(plan.pictures)
    if plan.labelled and not served.tells_events:
        labels = [f"Picture {number}: " for number in range(1, len(plan.pictures) + 1)]
    messages: list[Json] = []
    system = plan.resolved.system
    if system is None and served.tells_events and plan.resolved.card.system:
        system = ""  # else the model's own would be sent there
    if system is not None:
        messages.append({"role": "system", "content": system})
    detail = "original" if served.tells_events else "high"  # the most that each of them takes
    shown = 0
    for past in rounds:
        end = shown + past.pictures
        seen = plan.pictures[shown:end]
        messages.append(_asked(past.question, seen, labels[shown:end], detail))
        messages.append({"role": "assistant", "content": past.answer})
        shown = end
    messages.append(_asked(question, plan.pictures[shown:], labels[shown:], detail))
    return messages


def _asked(text: str, pictures: Sequence[Visual], labels: Sequence[str], detail: str) -> Json:
    """A message of the user's: its pictures before its text, numbered where they are several."""
    parts: list[Json] = []
    for visual, label in zip(pictures, labels, strict=True):
        if isinstance(visual, Clip):
            raise NoVideoError(f"{visual.name} is a video, and a host takes pictures only", Ask())
        if label and len(pictures) > 1:
            parts.append({"type": "text", "text": label})
        data = base64.b64encode(png_of(visual)).decode()
        # what was prepared is not to be made smaller there
        url = {"url": f"data:image/png;base64,{data}", "detail": detail}
        parts.append({"type": "image_url", "image_url": url})
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}
