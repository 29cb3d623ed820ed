"""Events of one question, as a closed set of values.

Law: a stream of events is `Progress* (ThinkingDelta | AnswerDelta | AnswerRetracted | Looked |
Notice | Progress)* Done`: exactly one `Done`, and it is last, also after Ctrl-C. Recording, replay,
JSON and every screen are consumers of this stream and of nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """The stages of waiting: before the first token, or, for a double check, after the last."""

    LOAD = "load"
    ENCODE = "encode"
    PREFILL = "prefill"
    CALIBRATE = "calibrate"
    """Once per machine and model: whether drafting pays."""
    VOTE = "vote"
    """Several samples are drawn side by side; what the chosen one wrote follows."""
    LOOK = "look"
    """The model says where to look closer, or reads a region that it looks at."""
    DOUBLE_CHECK = "double_check"
    """The answer stands and is looked at once more."""


class StopReason(StrEnum):
    """The reasons why a run ended. Where a guard asked for the answer, it is the guard's, and the
    answer may well be complete.
    """

    END = "end"
    """The model ended its turn."""
    BUDGET = "budget"
    """The thinking budget was spent, and the answer was asked for."""
    LOOP = "loop"
    """It repeated itself: the answer was asked for, or the run was stopped."""
    LENGTH = "length"
    """The most tokens, or the context length, were reached."""
    INTERRUPT = "interrupt"
    """The user stopped it."""


class AnswerSource(StrEnum):
    """The ways to tell the answer from the thinking."""

    MARKER = "marker"
    """After the last complete `**Final Answer**` block."""
    TAG = "tag"
    """After the last `</think>`, or where a host says that the answer begins."""
    WHOLE = "whole"
    """There was neither: the whole text is the answer, and there is no thinking."""
    CONCLUSION = "conclusion"
    """There was neither, and the text thinks aloud: its concluding paragraph is the answer."""
    NONE = "none"
    """There is no answer."""


class ConcludedBy(StrEnum):
    """Who asked for the answer before the model gave it."""

    USER = "user"
    """A person, with a key or Ctrl-C."""
    BUDGET = "budget"
    """The thinking budget was spent."""
    LOOP = "loop"
    """The thinking went in circles, or said nothing new."""

    @classmethod
    def of(cls, reason: StopReason | None) -> ConcludedBy:
        """By a guard's reason for asking; None: the user asked."""
        match reason:
            case StopReason.BUDGET:
                return cls.BUDGET
            case StopReason.LOOP:
                return cls.LOOP
            case None | StopReason.END | StopReason.LENGTH | StopReason.INTERRUPT:
                return cls.USER


ASKED = "asked"
"""The code of the notice that says that the user asked for the answer."""
PIPED = "stdin"
"""The code of the notice that says that text from stdin is part of the question."""
UNSAVED = "history"
"""The code of the notice that says that the run could not be saved."""
FORCED = frozenset({ASKED, "budget", "loop", "no-news"})
"""The codes of notices that say that an answer was forced."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a stage: `done` of `total`, in the stage's own unit.

    load: bytes of weights; encode: image tokens; prefill: prompt tokens; calibrate: measurements;
    vote: samples that have ended; look: tokens that say where, or image tokens of the region;
    double_check: tokens of the double check.
    `total` 0: not known yet.
    """

    stage: Stage
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """More thinking. `tokens` counts the tokens generated for it since the last delta."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    """More of the answer, as far as can be told now. `tokens` as in ThinkingDelta."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class AnswerRetracted:
    """The model went on thinking: no answer stands any more.

    `text` is what the model wrote from the marker up to here, and belongs to the thinking.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know. `code` is stable, `text` is one line for people."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Looked:
    """The model looked closer at a region of an image, which was cut from the original.

    `picture` is the image's place, from 0. The region covers the columns x1 <= x < x2 and the rows
    y1 <= y < y2 of the upright original; the model saw it at `width_px` x `height_px`, which are so
    many `tokens`. `label` is what the model says is there, or null.
    """

    picture: int
    x1: int
    y1: int
    x2: int
    y2: int
    width_px: int
    height_px: int
    tokens: int
    label: str | None = None

    @property
    def receipt(self) -> str:
        """`looked closer at 1200,300-1460,560 → 868×868 · 961 tokens`, an en dash between."""
        return (
            f"looked closer at {self.x1},{self.y1}\u2013{self.x2},{self.y2}"
            f" → {self.width_px}×{self.height_px} · {self.tokens:,} tokens"
        )


@dataclass(frozen=True, slots=True)
class Stats:
    """The numbers of one question.

    `generated_tokens` = `thinking_tokens` + `answer_tokens`; forced tokens count as generated.
    `image_tokens` are part of `prompt_tokens`. `first_token_s` counts from the start of `ask`
    and includes load; `decode_s` is from the first token to the last.

    `cached_tokens` are prompt tokens that were kept of an earlier run; of the images, the first
    `cached_images` were, and are neither encoded nor prefilled again. `passes` of the model wrote
    the tokens, `accepted_tokens` of them guessed right by the `drafter`, which guessed
    `drafted_tokens`; `drafter_off` says why it stopped, if it did. Peaks are of memory, weights
    included; `peak_memory_bytes` covers encode, prefill and decode.

    With votes, tokens are those of all samples together, and decoding starts with their first one.
    A double check is not part of these numbers, but for its time, `double_check_s`. `look_s` is the
    time of reading regions, and of the question that asks where to look; `decode_s` is without it.

    `server_pid` is the process id of the running server whose model answered; null: this process
    had its own. `host` is the address of the host that answered, null: this machine.
    """

    prompt_tokens: int = 0
    image_tokens: int = 0
    generated_tokens: int = 0
    thinking_tokens: int = 0
    answer_tokens: int = 0
    load_s: float = 0.0
    encode_s: float = 0.0
    prefill_s: float = 0.0
    first_token_s: float = 0.0
    thinking_s: float = 0.0
    decode_s: float = 0.0
    peak_memory_bytes: int = 0
    load_peak_bytes: int = 0
    encode_peak_bytes: int = 0
    prefill_peak_bytes: int = 0
    cached_tokens: int = 0
    cached_images: int = 0
    passes: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    drafter: str = "none"
    drafter_off: str = ""
    double_check_s: float = 0.0
    look_s: float = 0.0
    server_pid: int | None = None
    host: str | None = None

    @property
    def tokens_per_s(self) -> float:
        """Decoding speed in tokens/s; 0.0 before there are two tokens."""
        return (self.generated_tokens - 1) / self.decode_s if self.decode_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Tally:
    """The samples that gave an answer, in canonical form: their count and numbers, from 0."""

    answer: str
    count: int
    samples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Vote:
    """The result of a vote. `tallies`: the most frequent answer first, of equals the earliest.

    `chosen` is the sample that is shown, the first with the winning answer; `agreement` the share
    of all `samples` that gave it; `unanswered` counts those without a whole answer.
    """

    samples: int
    tallies: tuple[Tally, ...]
    unanswered: int
    chosen: int
    agreement: float


@dataclass(frozen=True, slots=True)
class DoubleCheck:
    """The result of a double check; `agrees` is null where it came to no whole answer.

    `thinking` and `answer` are the double check's; `cached_tokens` of its prompt were kept of the
    first. `thinking_tokens` are part of `generated_tokens`.
    """

    agrees: bool | None
    answer: str | None
    thinking: str
    stop_reason: StopReason
    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    thinking_tokens: int


@dataclass(frozen=True, slots=True)
class Done:
    """The end. `complete` is False where the answer was cut off, or there is none.

    `concluded` says that the user or a guard asked for the answer before the model did, and
    `concluded_by` who; null where nobody did. `vote` and `double_check` are null where they were
    not asked for, or there was nothing to check; `schema_met` is null where the answer was held to
    no schema. `evidence` are the regions that were looked at, in order.
    """

    stop_reason: StopReason
    answer_source: AnswerSource
    complete: bool
    concluded: bool
    stats: Stats
    vote: Vote | None = None
    double_check: DoubleCheck | None = None
    schema_met: bool | None = None
    concluded_by: ConcludedBy | None = None
    evidence: tuple[Looked, ...] = ()


Event = Progress | ThinkingDelta | AnswerDelta | AnswerRetracted | Looked | Notice | Done


class Transcript:
    """The fold of a stream: what was thought and what was answered.

    Law: the one place that knows how deltas, a retraction and `Done` add up to two texts. For
    AnswerSource.WHOLE the deltas came as thinking, and `Done` moves them; for CONCLUSION the answer
    repeats the end of the thinking, and `Done` takes it from there. An event costs the
    same however much was said before it; a text is put together when it is asked for.
    """

    __slots__ = ("_answer", "_thinking")

    def __init__(self, thinking: str = "", answer: str = "") -> None:
        self._thinking = [thinking] if thinking else []
        self._answer = [answer] if answer else []

    def __eq__(self, other: object) -> bool:
        """The same two texts."""
        if not isinstance(other, Transcript):
            return NotImplemented
        return (self.thinking, self.answer) == (other.thinking, other.answer)

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"Transcript(thinking={self.thinking!r}, answer={self.answer!r})"

    @property
    def thinking(self) -> str:
        """Return the thinking so far."""
        return _whole(self._thinking)

    @property
    def answer(self) -> str:
        """Return the answer so far."""
        return _whole(self._answer)

    def add(self, event: Event) -> None:
        """Take the next event of the stream."""
        match event:
            case ThinkingDelta(text=text):
                self._thinking.append(text)
            case AnswerDelta(text=text):
                self._answer.append(text)
            case AnswerRetracted(text=text):
                self._thinking.append(text)
                self._answer = []
            case Done(answer_source=AnswerSource.WHOLE):
                self._answer = [(self.thinking + self.answer).strip()]
                self._thinking = []
            case Done(answer_source=AnswerSource.CONCLUSION):
                self._thinking = [self.thinking.removesuffix(self.answer).rstrip()]
            case Done():
                self._answer = [self.answer.rstrip()]
            case Progress() | Looked() | Notice():
                pass


def fold(events: Iterable[Event]) -> Transcript:
    """The transcript of a whole stream."""
    transcript = Transcript()
    for event in events:
        transcript.add(event)
    return transcript


def checked(events: Iterable[Event]) -> Iterator[Event]:
    """The same events; AssertionError where the stream breaks the grammar."""
    ended = False
    answering = False
    for event in events:
        assert not ended, f"{event} after Done"
        match event:
            case Done():
                ended = True
            case AnswerDelta():
                answering = True
            case AnswerRetracted():
                assert answering, "AnswerRetracted without an answer"
                answering = False
            case ThinkingDelta():
                assert not answering, "ThinkingDelta within an answer that was not retracted"
            case Progress() | Looked() | Notice():
                pass
        yield event
    assert ended, "the stream ended without Done"


def _whole(pieces: list[str]) -> str:
    if len(pieces) > 1:
        pieces[:] = ["".join(pieces)]
    return pieces[0] if pieces else ""
