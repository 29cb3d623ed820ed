"""Build the groups of a `Request` from options, and bound its numbers: each option is read in one
place, whichever front end it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from pathlib import Path

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.image_options import (
    Detail,
    Frames,
    ImageOptions,
    Pages,
    image_options_for,
    parse_crop,
    parse_detail,
    parse_pages,
)
from qvq_mlx.core.remedies import AskAgain, Field, Show
from qvq_mlx.core.request import Limits, Method, Request, SamplingOverrides, Think

_ALL_FRAMES = Frames()
MOST_IN_FLIGHT = 64
"""Questions at a time that a person may ask for."""
KV_BITS = (8, 4)
"""Of a key or a value in the cache, where it is quantised."""
MOST_VOTES = 16
"""Samples of a vote: rows of one KV cache."""


def limits_of(
    budget: str | None,
    answer_tokens: int = Limits().answer_tokens,
    max_tokens: int | None = None,
    think: Think | None = None,
    usual: str | None = None,
) -> Limits:
    """Build the limits, the budget from a text; `usual` is the user's own default of it.

    Raises UsageError.
    """
    from qvq_mlx.guards.budget import parse_budget

    text = usual if budget is None else budget
    bound = None if text is None else parse_budget(text)
    return Limits(bound, answer_tokens, max_tokens, think, budget is None and bound is not None)


def sampling_of(
    temperature: float | None,
    top_p: float | None,
    top_k: int | None,
    min_p: float | None,
    seed: int | None,
    penalty: str | None,
) -> SamplingOverrides:
    """Build the sampling, the penalties from a text as `repetition=1.05,presence=1.5`.

    Raises UsageError.
    """
    repetition = presence = None
    for part in penalty.split(",") if penalty else ():
        kind, _, text = part.strip().partition("=")
        value = _number(text)
        if value is None or kind not in ("repetition", "presence"):
            said = f" is {penalty}; it is like repetition=1.05,presence=1.5"
            raise UsageError((Field.PENALTY, said), Show.ASK_HELP)
        if kind == "repetition":
            repetition = value
        else:
            presence = value
    return SamplingOverrides(temperature, top_p, top_k, min_p, seed, repetition, presence)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


MOST_REGIONS = 16
"""Of a run: each is a further picture of its sequence."""


def look_of(text: str) -> int | None:
    """`auto`, `off`, or the most regions that are looked at; None: auto. Raises UsageError."""
    word = text.strip().lower()
    if word in ("auto", "off"):
        return None if word == "auto" else 0
    if word.isascii() and word.isdigit() and 1 <= int(word) <= MOST_REGIONS:
        return int(word)

    said = f" is {text[:40]!r}; it is auto, off, or a number from 1 to {MOST_REGIONS}"
    raise UsageError((Field.LOOK, said), AskAgain(((Field.LOOK, "3"),)))


def method_of(
    vote: int | None,
    schema: str | None,
    lang: str,
    *,
    double_check: bool = False,
    look: str = "auto",
) -> Method:
    """Build the method from texts. Raises UsageError."""
    from qvq_mlx.guards.language import parse_lang

    text = ""
    if schema is not None:
        from qvq_mlx.run.schema_text import read_schema

        text = read_schema(schema)
    return Method(vote or 1, double_check, text, parse_lang(lang), look_of(look))


def frames_of(fps: float | None, count: int | None, span: str | None) -> Frames:
    """Build the choice of video frames from texts. Raises UsageError."""
    if (fps, count, span) == (None, None, None):
        return Frames()
    from qvq_mlx.core.spans import parse_frames

    return parse_frames(fps, count, span)


def image_options_of(
    page: str | None = None,
    background: str = "white",
    *,
    detail: str | None = None,
    crop: str | None = None,
    frames: Frames = _ALL_FRAMES,
) -> ImageOptions:
    """Build how every image is read. Raises UsageError."""
    return ImageOptions(
        detail=Detail.AUTO if detail is None else parse_detail(detail),
        crop=None if crop is None else parse_crop(crop),
        pages=Pages() if page is None else parse_pages(page),
        background=background,
        frames=frames,
    )


def reading(
    page: str | None,
    background: str,
    details: Sequence[str] | None,
    crops: Sequence[str] | None,
    frames: Frames,
    usual_detail: str | None = None,
) -> Callable[[Sequence[str]], tuple[ImageOptions, ...]]:
    """Build how images are read, each with its own detail and crop. Raises UsageError.

    `usual_detail` holds where none is given, and asks for no image.
    """
    plain = image_options_of(page, background, detail=usual_detail, frames=frames)
    return partial(image_options_for, details=details or [], crops=crops or [], plain=plain)


def files_of(*given: str | None) -> list[Path]:
    """Those of the arguments that name files: not `-`, and not JSON that stands there itself."""
    return [
        Path(text).expanduser()
        for text in given
        if text and text != "-" and not text.lstrip().startswith("{")
    ]


def check_numbers(request: Request) -> None:
    """Raise UsageError for a number that is out of its bounds, or is none."""
    sampling, limits = request.sampling, request.limits
    check_kv_bits(request.method.kv_bits)
    budget = limits.budget.tokens if limits.budget else None
    for field, value, least, most in (
        (Field.VOTE, request.method.votes, 1, MOST_VOTES),
        (Field.LOOK, request.method.look, 0, MOST_REGIONS),
        (Field.TEMPERATURE, sampling.temperature, 0, inf),
        (Field.TOP_P, sampling.top_p, 0, 1),
        (Field.TOP_K, sampling.top_k, 0, inf),
        (Field.MIN_P, sampling.min_p, 0, 1),
        (Field.PENALTY, sampling.repetition_penalty, 0.01, 100),
        (Field.PENALTY, sampling.presence_penalty, -100, 100),
        (Field.SEED, sampling.seed, 0, inf),
        (Field.MAX_TOKENS, limits.max_tokens, 1, inf),
        (Field.ANSWER_TOKENS, limits.answer_tokens, 1, inf),
        (Field.BUDGET, budget, 0, inf),
    ):
        if value is None or (least <= value <= most and value != inf):
            continue
        bound = f"from {least} to {most}" if most < inf else f"at least {least}"
        raise UsageError((field, f" is {value}; it is {bound}"), Show.ASK_HELP)


def check_kv_bits(bits: int | None) -> None:
    """Raise UsageError for bits of the cache that there are none of."""
    if bits not in (None, *KV_BITS):
        raise UsageError((Field.KV_BITS, f" is {bits}; it is 8 or 4"), Show.ASK_HELP)


def in_flight_of(text: str) -> int | None:
    """Return a number of questions at a time; None for `auto`. Raises UsageError."""
    if text.strip().lower() == "auto":
        return None
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST_IN_FLIGHT:
        return int(text)
    raise UsageError(
        (Field.PARALLEL, f" is {text!r}; it can be auto, or 1 to {MOST_IN_FLIGHT}"),
        AskAgain(((Field.PARALLEL, "auto"),)),
    )
