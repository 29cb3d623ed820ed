"""Read what a question is about: the sources of earlier rounds again, then those that are new.

Law: a follow-up is about the same bytes as the question that it follows, or it is refused: a
source that changed, or that nobody kept, is one error that names it. The bytes of a source that
cannot be read again go along, so that the run can keep them. All pictures together fit the context
and the memory (`image_budget`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qvq_mlx import images
from qvq_mlx.core.card import ModelCard, VisionLimits
from qvq_mlx.core.clip import Clip, Visual
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ImageChangedError, UsageError
from qvq_mlx.core.events import Notice
from qvq_mlx.core.image_options import Frames, ImageOptions
from qvq_mlx.core.plan import Resolved
from qvq_mlx.core.remedies import Ask, Field, Spelling
from qvq_mlx.core.request import Request
from qvq_mlx.core.rounds import Attachment, Shown, Source
from qvq_mlx.images.paths import operand, path_of
from qvq_mlx.memory import admission
from qvq_mlx.run import image_budget

_LONG_TEXT_TOKENS = 2_048  # by the estimate; below it a tokenizer is not worth its second


@dataclass(frozen=True, slots=True)
class Subject:
    """One source and how it is read. `shown`: an earlier question was about it."""

    name: str
    options: ImageOptions
    shown: Shown | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """The pictures in the order of the prompt, what they come from, and what is to be kept."""

    pictures: tuple[Visual, ...]
    sources: tuple[Source, ...]
    attachments: tuple[Attachment, ...]
    notices: tuple[Notice, ...]


def subjects_of(
    request: Request, image_sources: images.ImageSources | None = None
) -> tuple[Subject, ...]:
    """Return the request's sources, patterns as the files they name, and several files on the
    clipboard as those, where `image_sources` can be asked. Raises InputError.
    """
    past = [Subject(shown.source.name, shown.source.options, shown) for shown in request.earlier]
    new = [
        Subject(name, request.options_for(index))
        for index, given in enumerate(request.images)
        for name in images.expanded(given, image_sources)
    ]
    return (*past, *new)


def load(
    request: Request,
    resolved: Resolved,
    draft: ModelCard | None,
    env: Env,
    image_sources: images.ImageSources,
) -> Inputs:
    """Everything that `request` is about. `draft` is a model that is loaded beside its model.

    Raises what `images.read` raises, and UsageError or DoesNotFitError where the pictures are more
    than the context or the memory holds.
    """
    subjects = subjects_of(request, image_sources)
    card = resolved.card
    question = _question_tokens(request, resolved)

    def read(index: int, options: ImageOptions) -> tuple[Visual, ...]:
        return _read(subjects[index], card.vision, image_sources, options)

    def memory(wanted: int) -> int:
        return admission.most_image_tokens(resolved, draft, request, wanted, env)

    image_options = [subject.options for subject in subjects]
    reply = resolved.reply_tokens(request.limits.answer_tokens)
    found = image_budget.fit_images(card, image_options, reply, question, read, memory)
    new = [visual for group in found.groups[len(request.earlier) :] for visual in group]
    has_clip = any(isinstance(visual, Clip) for visual in new)
    if not has_clip and any(each.frames != Frames() for each in request.image_options):
        raise UsageError(
            (
                *(Field.FPS, ", ", Field.FRAMES, " and ", Field.SPAN),
                " are for a video, and no new one is given",
            ),
            Ask(("VIDEO",)),
        )
    return Inputs(
        pictures=found.pictures,
        sources=tuple(map(_source, subjects, found.groups)),
        attachments=tuple(_attachments(subjects, found.groups, image_sources)),
        notices=(*_unread_pages(subjects, found.groups, env.spelling), *found.notices),
    )


def _question_tokens(request: Request, resolved: Resolved) -> int:
    """The tokens of the text: estimated where it is short, else counted with the tokenizer.

    Raises UsageError where the text alone does not fit the context.
    """
    system = resolved.system or ""
    estimate = admission.prompt_tokens(request.question, system)
    if estimate < _LONG_TEXT_TOKENS or resolved.served is not None:
        return estimate  # the tokenizer of a host's model is there
    from qvq_mlx.engine.vocabulary import Vocabulary

    vocabulary = Vocabulary(resolved.folder / "tokenizer.json")
    count = len(vocabulary.encode(request.question)) + len(vocabulary.encode(system))
    count += admission.TEMPLATE_TOKENS
    reply = resolved.reply_tokens(request.limits.answer_tokens)
    room = image_budget.context_room(resolved.card, reply, 0, 0)
    if count > room:
        raise UsageError(
            f"the question takes {count:,} tokens, and {room:,} fit the context of"
            f" {resolved.card.name} beside the reply",
            Ask(),
        )
    return count


def _read(
    subject: Subject,
    limits: VisionLimits,
    image_sources: images.ImageSources,
    options: ImageOptions,
) -> tuple[Visual, ...]:
    shown = subject.shown
    if shown is None:
        return images.read(subject.name, limits, image_sources, options)
    if shown.data is not None:
        return images.pictures_in(subject.name, shown.data, limits, image_sources, options)
    expected, place = shown.source.sha256, shown.source.path or subject.name
    if not images.is_on_disk(place):
        raise ImageChangedError(
            f"{subject.name} cannot be read again, and its bytes (sha256 {expected[:8]}…) were not"
            " kept",
            Ask(),
        )
    data = images.bytes_of(place, image_sources)
    now = hashlib.sha256(data).hexdigest()
    if expected and now != expected:
        raise ImageChangedError(
            f"{subject.name} has changed since it was asked about"
            f" (sha256 {expected[:8]}… then, {now[:8]}… now)",
            Ask((operand(path_of(place)),)),
        )
    return images.pictures_in(subject.name, data, limits, image_sources, options)


def _source(subject: Subject, group: Sequence[Visual]) -> Source:
    name = images.called(subject.name)
    digest, count = group[0].sha256, len(group)
    place = subject.shown.source.path if subject.shown is not None else None
    return Source(name, subject.options, digest, count, place or _place(subject.name))


def _place(source: str) -> str | None:
    """Return the absolute path of a file, whatever the current folder is later."""
    if not images.is_on_disk(source):
        return None
    return str(Path.cwd() / path_of(source))


def _attachments(
    subjects: Sequence[Subject],
    groups: Sequence[Sequence[Visual]],
    image_sources: images.ImageSources,
) -> list[Attachment]:
    """One for the same bytes, however often they were given."""
    kept: dict[str, Attachment] = {}
    for subject, group in zip(subjects, groups, strict=True):
        digest = group[0].sha256
        if images.is_on_disk(subject.name):
            continue
        if subject.shown is None:
            kept[digest] = Attachment(digest, images.bytes_of(subject.name, image_sources))
        elif subject.shown.data is not None:
            kept[digest] = Attachment(digest, subject.shown.data)
    return list(kept.values())


def _unread_pages(
    subjects: Sequence[Subject], groups: Sequence[Sequence[Visual]], spelling: Spelling
) -> list[Notice]:
    """Say that a document has more pages than were asked for, where nobody chose."""
    return [
        Notice(
            "pages",
            spelling.sentence(
                (f"{first.name}: page {first.page} of {first.pages:,} is read (", Field.PAGE, ")")
            ),
        )
        for subject, (first, *_) in zip(subjects, groups, strict=True)
        if first.pages > 1 and not subject.options.pages.ranges and subject.shown is None
    ]
