"""What a question is about, read: the sources of earlier rounds again, then those that are new.

Law: a follow-up is about the same bytes as the question that it follows, or it is refused: a
source that changed, or that nobody kept, is one error that names it. The bytes of a source that
cannot be read again go along, so that the run can keep them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from qvq_mlx import images
from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import ImageChangedError
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Request
from qvq_mlx.core.rounds import Keepsake, Shown, Source
from qvq_mlx.images.paths import ASK, path_of, quoted


@dataclass(frozen=True, slots=True)
class Sight:
    """The pictures in the order of the prompt, what they come from, and what is to be kept."""

    pictures: tuple[Picture, ...]
    sources: tuple[Source, ...]
    keepsakes: tuple[Keepsake, ...]


def read(request: Request, limits: VisionLimits, desk: images.Desk) -> Sight:
    """Everything that `request` is about. Raises an InputError."""
    past = ((shown.source, _again(shown, desk)) for shown in request.earlier)
    taken = [(source.name, source.look, data) for source, data in past]
    for index, name in enumerate(request.images):
        taken.append((name, request.look_at(index), images.bytes_of(name, desk)))
    pictures: list[Picture] = []
    sources: list[Source] = []
    keepsakes: dict[str, Keepsake] = {}
    for name, look, data in taken:
        found = images.pictures_in(name, data, limits, look)
        digest = hashlib.sha256(data).hexdigest()
        pictures += found
        sources.append(Source(name, look, digest, len(found)))
        if not images.is_on_disk(name):
            keepsakes[digest] = Keepsake(digest, data)
    return Sight(tuple(pictures), tuple(sources), tuple(keepsakes.values()))


def _again(shown: Shown, desk: images.Desk) -> bytes:
    """The bytes that an earlier question was about. Raises an InputError."""
    name, expected = shown.source.name, shown.source.sha256
    if shown.data is not None:
        return shown.data
    if not images.is_on_disk(name):
        raise ImageChangedError(
            f"{name} cannot be read again, and its bytes (sha256 {expected[:8]}…) were not kept",
            'qvq ask IMAGE "question"',
        )
    data = images.bytes_of(name, desk)
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise ImageChangedError(
            f"{name} has changed since it was asked about"
            f" (sha256 {expected[:8]}… then, {found[:8]}… now)",
            ASK.format(quoted(path_of(name))),
        )
    return data
