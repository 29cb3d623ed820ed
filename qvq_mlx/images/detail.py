"""Turns `detail` into the limits of one picture, in image tokens.

    low 256    auto the card's limit    high 2,560    max the checkpoint's own maximum
    1280-16384 at least and at most so many: a smaller picture is enlarged

Law: a name never exceeds the checkpoint's own maximum; a number that does, or that is below its
minimum, is refused. A narrow picture may take more than was allowed, because a side has at least
one token: 200 to 1 takes at least 200.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.image_options import Detail, ImageSize, TokenRange
from qvq_mlx.core.remedies import Ask, Field

LOW_TOKENS = 256
HIGH_TOKENS = 2560


def limited(limits: VisionLimits, detail: ImageSize) -> VisionLimits:
    """`limits` with the size that `detail` asks for. Raises UsageError for a number that the
    checkpoint does not take.
    """
    if isinstance(detail, TokenRange):
        least = _checked(limits, detail.min_tokens) * limits.factor_px**2
        most = _checked(limits, detail.max_tokens) * limits.factor_px**2
        return replace(limits, min_pixels=least, max_pixels=most)
    tokens = _tokens(limits, detail)
    if tokens is None:
        return limits
    area_px = tokens * limits.factor_px**2
    return replace(limits, max_pixels=area_px, min_pixels=min(limits.min_pixels, area_px))


def _tokens(limits: VisionLimits, detail: Detail | int) -> int | None:
    """None: as the card has it."""
    match detail:
        case Detail.AUTO:
            return None
        case Detail.LOW:
            return min(LOW_TOKENS, limits.own_max_tokens)
        case Detail.HIGH:
            return min(HIGH_TOKENS, limits.own_max_tokens)
        case Detail.MAX:
            return limits.own_max_tokens
        case int():
            return _checked(limits, detail)
        case _:
            assert_never(detail)


def _checked(limits: VisionLimits, tokens: int) -> int:
    """Return a number of image tokens that the checkpoint takes. Raises UsageError."""
    if not limits.min_tokens <= tokens <= limits.own_max_tokens:
        raise UsageError(
            (
                Field.DETAIL,
                f" {tokens:,}: this model takes {limits.min_tokens:,} to",
                f" {limits.own_max_tokens:,} image tokens for a picture",
            ),
            Ask(settings=((Field.DETAIL, Detail.MAX),)),
        )
    return tokens
