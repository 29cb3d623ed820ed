"""Events and results as plain JSON values, and events back again.

Law: `event_from_json(event_to_json(e)) == e`. A reader ignores keys that it does not know, and
refuses a record of a newer `version`. Names are the dataclasses' own; an event's kind is in
`type`. Pixels are never written.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from qvq_mlx.core.clip import Clip
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    ConcludedBy,
    Done,
    DoubleCheck,
    Event,
    Looked,
    Notice,
    Progress,
    Stage,
    Stats,
    StopReason,
    Tally,
    ThinkingDelta,
    Transcript,
    Vote,
)
from qvq_mlx.core.image_options import Region
from qvq_mlx.core.places import Coordinates, PointedImage
from qvq_mlx.core.request import Budget, Request, Sampling, SamplingOverrides, Think
from qvq_mlx.core.rounds import Round, Source
from qvq_mlx.reply.box import boxed

if TYPE_CHECKING:  # what reads a run needs no card and no setup
    from qvq_mlx.core.plan import Plan

VERSION = 2

Json = dict[str, Any]

_TYPES: dict[str, type[Event]] = {
    "progress": Progress,
    "thinking": ThinkingDelta,
    "answer": AnswerDelta,
    "answer_retracted": AnswerRetracted,
    "looked": Looked,
    "notice": Notice,
    "done": Done,
}
_NAMES = {cls: name for name, cls in _TYPES.items()}


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """Frames taken of a video: `frames` frames, `fps` of them a second, shown at `times_s`.

    `duration_s` and `source_fps` are of the whole file; `start_s` and `end_s` are null where all
    of it was asked for.
    """

    frames: int
    fps: float
    times_s: tuple[float, ...]
    duration_s: float
    source_fps: float
    start_s: float | None
    end_s: float | None


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One picture as it was read. `path` is as the user gave it, `-` for standard input.

    `page` is null where the file holds one picture, `crop` where all of it was shown. `cached`:
    what the model computed of it was kept of an earlier run; null where that is not known yet.
    `video` is null for a picture; else the other fields are of one frame, but for `tokens`, which
    are of all.
    """

    path: str
    source_width_px: int
    source_height_px: int
    width_px: int
    height_px: int
    tokens: int
    sha256: str
    page: int | None
    crop: Region | None
    cached: bool | None = None
    video: VideoRecord | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """Settings of the user, apart from the model's own defaults; null: they set nothing.

    `budget` with null tokens sets no bounds; `think` is on or off.
    """

    system: str | None = None
    max_tokens: int | None = None
    sampling: SamplingOverrides = SamplingOverrides()
    budget: Budget | None = None
    think: Think | None = None


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """The head of a run: what was asked of whom. `max_tokens`, `budget_tokens` (null: no bounds)
    and `sampling` as they were used.

    `model_argument` is what `-m` takes to name the same model again. `schema` is the text that the
    answer was held to. `given` is null in a run that was saved before it was kept.

    `sources` are what the images come from; `rounds` the earlier questions and answers, oldest
    first, and `follows` the id of the run that this one goes on from, or null.

    `look` is the most regions that may be looked at, null: as the model and the pictures suggest.
    `kv_bits` are those of the cache, null: as many as the model computes with.

    `boxes` is what the numbers mean with which the model points at a place; null in a run that was
    saved before it was kept. `thinks` false: the model was asked not to think, which it could.
    """

    version: int
    type: str
    question: str
    model: str
    images: tuple[ImageRecord, ...]
    system: str | None
    max_tokens: int
    sampling: Sampling
    model_argument: str = ""
    budget_tokens: int | None = None
    answer_tokens: int = 1024
    votes: int = 1
    double_check: bool = False
    look: int | None = None
    lang: str = "auto"
    schema: str | None = None
    draft: str = "auto"
    given: Given | None = None
    sources: tuple[Source, ...] = ()
    rounds: tuple[Round, ...] = ()
    follows: str | None = None
    boxes: Coordinates | None = None
    thinks: bool = True
    kv_bits: int | None = None


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """A whole run in one object, as `--json` prints it.

    `answer` is null where there is none that is complete; what there is, is in `partial_answer`.
    `boxed` is the content of the last box in `answer`. `pointing` is what the answer (or what there
    is of it) points at, an entry per image; null where it points at nothing.
    """

    version: int
    question: str
    model: str
    images: tuple[ImageRecord, ...]
    system: str | None
    max_tokens: int
    sampling: Sampling
    thinking: str
    answer: str | None
    partial_answer: str | None
    boxed: str | None
    answer_source: AnswerSource
    stop_reason: StopReason
    concluded: bool
    concluded_by: ConcludedBy | None
    notices: tuple[Notice, ...]
    stats: Stats
    vote: Vote | None
    double_check: DoubleCheck | None
    evidence: tuple[Looked, ...]
    pointing: tuple[PointedImage, ...] | None


@dataclass(frozen=True, slots=True)
class BoxesRecord:
    """Places that an answer points at, as `--boxes` prints them: an entry per image, in order.

    `complete` is false where the answer was cut off; what there is of it, is here.
    """

    version: int
    complete: bool
    images: tuple[PointedImage, ...]


def type_name(kind: type[Event]) -> str:
    """Return the `type` of this kind of event's record."""
    return _NAMES[kind]


def event_to_json(event: Event) -> Json:
    """`{"type": ..., field: value, ...}`."""
    return {"type": type_name(type(event)), **asdict(event)}


def event_from_json(record: Json) -> Event:
    """The event of a record, of version 1 too. Raises ValueError for a record that is none."""
    try:
        from qvq_mlx.records.version_1 import upgraded_event  # for who reads a run

        record = upgraded_event(record)
        cls = _TYPES[record["type"]]
        if cls is Done:
            return _done(record)
        values = {f.name: record[f.name] for f in fields(cls)}
        if cls is Progress:
            values["stage"] = Stage(values["stage"])
        return cls(**values)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an event: {record!r}") from error


def _done(record: Json) -> Done:
    """A run that was saved before a number was counted, or a vote taken, goes without it."""
    vote, double_check = record.get("vote"), record.get("double_check")
    stats = record["stats"]
    return Done(
        stop_reason=StopReason(record["stop_reason"]),
        answer_source=AnswerSource(record["answer_source"]),
        complete=record["complete"],
        concluded=record["concluded"],
        stats=Stats(**{f.name: stats[f.name] for f in fields(Stats) if f.name in stats}),
        vote=None if vote is None else _vote(vote),
        double_check=None if double_check is None else _double_check(double_check),
        schema_met=record.get("schema_met"),
        concluded_by=_concluded_by(record),
        evidence=tuple(_looked(one) for one in record.get("evidence", ())),
    )


def _concluded_by(record: Json) -> ConcludedBy | None:
    """Who asked for the answer. A run of before this was saved says it in its stop reason."""
    if "concluded_by" in record:
        told = record["concluded_by"]
        return None if told is None else ConcludedBy(told)
    return ConcludedBy.of(StopReason(record["stop_reason"])) if record["concluded"] else None


def _looked(record: Json) -> Looked:
    return Looked(**{f.name: record[f.name] for f in fields(Looked)})


def _vote(record: Json) -> Vote:
    values = {f.name: record[f.name] for f in fields(Vote)}
    values["tallies"] = tuple(
        Tally(tally["answer"], tally["count"], tuple(tally["samples"]))
        for tally in values["tallies"]
    )
    return Vote(**values)


def _double_check(record: Json) -> DoubleCheck:
    values = {f.name: record[f.name] for f in fields(DoubleCheck)}
    values["stop_reason"] = StopReason(values["stop_reason"])
    return DoubleCheck(**values)


def request_record(plan: Plan) -> RequestRecord:
    """The head of a run that is about to start."""
    request, resolved = plan.request, plan.resolved
    card, method = resolved.card, request.method
    return RequestRecord(
        version=VERSION,
        type="request",
        question=request.question,
        model=card.name,
        images=tuple(
            ImageRecord(
                path=picture.name,
                source_width_px=picture.source_width_px,
                source_height_px=picture.source_height_px,
                width_px=picture.width_px,
                height_px=picture.height_px,
                tokens=picture.tokens,
                sha256=picture.sha256,
                page=picture.page,
                crop=picture.crop,
                video=_video_record(picture) if isinstance(picture, Clip) else None,
            )
            for picture in plan.pictures
        ),
        system=resolved.system,
        max_tokens=resolved.max_tokens,
        sampling=resolved.sampling,
        # a card that was made for a folder is called by that folder, and no other name finds it
        model_argument=card.folder if card.folder.startswith("/") else card.name,
        budget_tokens=resolved.budget_tokens,
        answer_tokens=request.limits.answer_tokens,
        votes=method.votes,
        double_check=method.double_check,
        look=method.look,
        lang=method.lang,
        schema=method.schema or None,
        draft=request.policy.draft,
        given=_given(request),
        sources=plan.sources,
        rounds=request.rounds,
        follows=request.origin.follows,
        boxes=card.boxes,
        thinks=resolved.thinks,
        kv_bits=method.kv_bits,
    )


def _video_record(clip: Clip) -> VideoRecord:
    start_s, end_s = clip.span_s or (None, None)
    return VideoRecord(
        frames=len(clip.frames),
        fps=clip.fps,
        times_s=clip.times_s,
        duration_s=clip.duration_s,
        source_fps=clip.source_fps,
        start_s=start_s,
        end_s=end_s,
    )


def _given(request: Request) -> Given:
    limits = request.limits
    return Given(
        request.prompt.system, limits.max_tokens, request.sampling, limits.budget, limits.think
    )


def pointed_at(request: RequestRecord, answer: str, *, asked: bool) -> tuple[PointedImage, ...]:
    """Return the places of an answer to `request`; `asked`: the user asked for boxes."""
    from qvq_mlx.pointing.on_pictures import report  # not before: most who read a run do not ask

    coordinates = request.boxes or Coordinates.RELATIVE_1000
    return report(answer, request.images, coordinates, asked=asked)


def boxes_record(request: RequestRecord, answer: str, *, complete: bool) -> BoxesRecord:
    """Return the places of a run's answer as a record, where someone asked for them."""
    return BoxesRecord(VERSION, complete, pointed_at(request, answer, asked=True))


def backgrounds_of(request: RequestRecord) -> tuple[str, ...]:
    """Return the background under transparency, picture by picture; white where none was kept."""
    found = [
        source.options.background for source in request.sources for _ in range(source.pictures)
    ]
    return tuple(found) if len(found) == len(request.images) else ("white",) * len(request.images)


def places_of(request: RequestRecord) -> tuple[str, ...]:
    """Return each image's absolute path where one is known, else what the user gave."""
    known = [source.path for source in request.sources for _ in range(source.pictures)]
    known += [None] * (len(request.images) - len(known))
    return tuple(place or image.path for place, image in zip(known, request.images, strict=True))


def result_record(
    request: RequestRecord, transcript: Transcript, notices: tuple[Notice, ...], done: Done
) -> ResultRecord:
    """The whole of a run that has ended."""
    answer = transcript.answer
    pointing = pointed_at(request, answer, asked=False)
    return ResultRecord(
        version=VERSION,
        question=request.question,
        model=request.model,
        images=tuple(
            replace(image, cached=index < done.stats.cached_images)
            for index, image in enumerate(request.images)
        ),
        system=request.system,
        max_tokens=request.max_tokens,
        sampling=request.sampling,
        thinking=transcript.thinking,
        answer=answer if done.complete else None,
        partial_answer=answer or None if not done.complete else None,
        boxed=boxed(answer) if done.complete else None,
        answer_source=done.answer_source,
        stop_reason=done.stop_reason,
        concluded=done.concluded,
        concluded_by=done.concluded_by,
        notices=notices,
        stats=done.stats,
        vote=done.vote,
        double_check=done.double_check,
        evidence=done.evidence,
        pointing=pointing if any(image.said for image in pointing) else None,
    )
