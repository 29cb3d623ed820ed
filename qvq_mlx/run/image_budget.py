"""Several pictures in one prompt: what each of them gets of the room that there is.

    room = min(context - reply - question - PICTURE_TOKENS x pictures, what fits in memory)

Law: pictures at `Detail.AUTO` are read again at fewer tokens each, the same most for all of them,
until all fit, and one notice says so. A detail that the user gave is kept: where it does not fit,
the request is refused with the numbers before anything is loaded. No picture is shrunk below
`Detail.LOW`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.clip import Visual
from qvq_mlx.core.errors import DoesNotFitError, ImageSizeError, UsageError
from qvq_mlx.core.events import Notice
from qvq_mlx.core.image_options import MAX_PICTURES, Detail, ImageOptions
from qvq_mlx.core.remedies import Ask, AskMany, Field, Message
from qvq_mlx.images.detail import LOW_TOKENS

PICTURE_TOKENS = 8
"""What stands around a picture: its marks and its label."""
REPLY_SHARE = 0.25
"""Of the context, at most: kept for the reply."""

Reader = Callable[[int, ImageOptions], tuple[Visual, ...]]
"""The pictures of the source of that index, looked at so."""
Memory = Callable[[int], int]
"""How many image tokens fit in memory, of so many."""


@dataclass(frozen=True, slots=True)
class FittedImages:
    """The pictures of each source, in the order of the prompt, and what to say of them."""

    groups: tuple[tuple[Visual, ...], ...]
    notices: tuple[Notice, ...] = ()

    @property
    def pictures(self) -> tuple[Visual, ...]:
        """All of them."""
        return _flat(self.groups)


def fit_images(
    card: ModelCard,
    image_options: Sequence[ImageOptions],
    reply_tokens: int,
    question_tokens: int,
    read: Reader,
    memory: Memory,
) -> FittedImages:
    """The pictures of as many sources as there are `image_options`, read so that all of them fit.

    `reply_tokens` is the most that the model writes. Raises UsageError where they exceed the
    context, DoesNotFitError where they exceed the memory, ImageSizeError for more than
    MAX_PICTURES, and what `read` raises.
    """
    groups: list[tuple[Visual, ...]] = []
    for index, options in enumerate(image_options):
        groups.append(read(index, options))
        if sum(map(len, groups)) > MAX_PICTURES:
            raise ImageSizeError(
                f"{groups[-1][0].name}: is beyond the {MAX_PICTURES} pictures of a question",
                AskMany(),
            )
    pictures = _flat(groups)
    wanted = sum(picture.tokens for picture in pictures)
    room = min(context_room(card, reply_tokens, question_tokens, len(pictures)), wanted)
    in_memory = memory(room)
    if min(room, in_memory) >= wanted:
        return FittedImages(tuple(groups))
    bound = "memory" if in_memory < room else "context"
    room = min(room, in_memory)
    fixed = [
        options.detail is not Detail.AUTO
        for options, group in zip(image_options, groups, strict=True)
        for _ in group
    ]
    each = share([picture.tokens for picture in pictures], fixed, room)
    if each is None or each < _least(card):
        raise _refused(card, pictures, all(fixed), room, bound)
    groups = [
        read(index, replace(options, detail=each))
        if options.detail is Detail.AUTO and any(picture.tokens > each for picture in group)
        else group
        for index, (options, group) in enumerate(zip(image_options, groups, strict=True))
    ]
    smaller = _flat(groups)
    if sum(picture.tokens for picture in smaller) > room:  # narrow ones keep a token per side
        raise _refused(card, smaller, all(fixed), room, bound)
    count = f"{len(pictures)} pictures" if len(pictures) > 1 else "the picture"
    text = f"{count}: {wanted:,} image tokens do not fit the {bound}, {room:,} do"
    return FittedImages(
        tuple(groups), (Notice("shrunk", f"{text}; each is shown at {each:,} or fewer"),)
    )


def share(wanted: Sequence[int], fixed: Sequence[bool], room: int) -> int | None:
    """The most tokens for each picture that is not `fixed`, so that all of them take at most
    `room`; pictures that want less keep what they want. None where not even one each fits.
    """
    room -= sum(tokens for tokens, is_fixed in zip(wanted, fixed, strict=True) if is_fixed)
    left = sorted(tokens for tokens, is_fixed in zip(wanted, fixed, strict=True) if not is_fixed)
    for index, tokens in enumerate(left):
        each = room // (len(left) - index)
        if each <= tokens:
            return each if each > 0 else None
        room -= tokens
    return left[-1] if left and room >= 0 else None


def _flat(groups: Sequence[tuple[Visual, ...]]) -> tuple[Visual, ...]:
    return tuple(picture for group in groups for picture in group)


def _least(card: ModelCard) -> int:
    """Return the tokens of `Detail.LOW`, or of `auto` where that is less."""
    return min(LOW_TOKENS, card.vision.max_tokens)


def context_room(card: ModelCard, reply_tokens: int, question_tokens: int, pictures: int) -> int:
    """Image tokens that the context has room for; without bounds where it is not known."""
    context = card.shape.context_tokens if card.shape else 0
    if context <= 1:
        return 2**62
    reply = min(reply_tokens, int(context * REPLY_SHARE))
    return max(0, context - reply - question_tokens - PICTURE_TOKENS * pictures)


def _refused(
    card: ModelCard, pictures: Sequence[Visual], is_fixed: bool, room: int, bound: str
) -> UsageError | DoesNotFitError:
    """The error, with a remedy that helps: `auto` where that would still show something."""
    wanted = sum(picture.tokens for picture in pictures)
    least = _least(card)
    smallest = sum(min(picture.tokens, least) for picture in pictures)
    count = f"{len(pictures)} pictures take" if len(pictures) > 1 else "the picture takes"
    fact = f"{count} {wanted:,} image tokens, and {room:,} fit the {bound} of {card.name}"
    text: Message = fact
    remedy = Ask(settings=((Field.DETAIL, Detail.AUTO),))
    if smallest > room:
        text = (f"{fact}; that is {room // least} at ", Field.DETAIL, f" {Detail.LOW}")
        remedy = Ask()
    elif not is_fixed:
        remedy = Ask(settings=((Field.DETAIL, Detail.LOW),))
    return DoesNotFitError(text, remedy) if bound == "memory" else UsageError(text, remedy)
