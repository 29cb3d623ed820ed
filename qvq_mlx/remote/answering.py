"""Makes the events of a run of what a host sends.

Law: the events of a qvq are passed on as they came: its guards have seen them, and it alone can ask
its model for the answer. What any other server writes is split and guarded here; a guard can end
its stream, and where the server goes on with a reply that is begun, ask for the answer. A stop ends
the connection, and the run ends with its `Done`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from qvq_mlx.core.errors import HostError
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    Stage,
    Stats,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.host import Served
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.tokens import Control, Finished, Step, Token
from qvq_mlx.guards.supervise import GuardLimits, supervise
from qvq_mlx.remote.body import Json, body_of
from qvq_mlx.remote.chunks import Ended, Piece, Usage, events, pieces, records
from qvq_mlx.remote.wire import StoppedReadingError, Wire

_CHAT = "/v1/chat/completions"
_REASONS = {"stop": StopReason.END, "length": StopReason.LENGTH}

Pace = Callable[[Iterator[Step]], Iterator[Step]]


def answered(
    plan: Plan, served: Served, limits: GuardLimits, control: Control, pace: Pace = iter
) -> Iterator[Event]:
    """Yield the events of a plan that `served` answers. Raises a QvqError."""
    body = body_of(plan, served)
    found = (
        _told(body, served, control, plan)
        if served.tells_events
        else _split(body, served, limits, control, pace, plan)
    )
    for event in found:
        if isinstance(event, Done):
            stats = replace(event.stats, host=served.host.url, server_pid=None)
            event = replace(event, stats=stats)
        yield event


@contextmanager
def _lines(body: object, served: Served, control: Control) -> Iterator[tuple[Wire, Iterator[str]]]:
    wire = Wire(served.host, lambda: control.stopping)
    with wire.lines(_CHAT, body) as lines:
        yield wire, lines


def _told(body: Json, served: Served, control: Control, plan: Plan) -> Iterator[Event]:
    """Yield the events that a qvq sends."""
    yield Progress(Stage.LOAD, 0, 0)
    counted, name = _Counted(), served.host.name
    try:
        with _lines(body, served, control) as (wire, lines):
            for event in events(records(lines, name, wire.look), name, wire.look):
                if isinstance(event, Notice) and event in plan.notices:
                    continue  # it was said here
                counted.see(event)
                yield event
                if isinstance(event, Done):
                    return
                if control.stopping:
                    raise StoppedReadingError
            raise HostError(f"{name} sends no end of its run", wire.look)
    except StoppedReadingError:
        yield Done(control.reason, AnswerSource.NONE, False, False, counted.stats)


def _split(
    body: Json,
    served: Served,
    limits: GuardLimits,
    control: Control,
    pace: Pace,
    plan: Plan,
) -> Iterator[Event]:
    """Tell apart and guard here the text that another server writes."""
    own, thinking = Control(control), plan.resolved.thinking
    run = _Run(served, own, plan.resolved.max_tokens, thinking.closing)
    for event in supervise(pace(run.steps(body)), thinking, own, limits):
        yield _recounted(event, run.usage) if isinstance(event, Done) else event


class _Run:
    """One reply of a server that is no qvq, as an engine's items.

    Law: a piece counts as a token until the host has counted. Where the answer is asked for, the
    stream is ended, and the host is asked to go on behind the closing text, in a second request.
    """

    def __init__(self, served: Served, control: Control, max_tokens: int, closing: str) -> None:
        self.usage = Usage()
        self._served = served
        self._control = control
        self._max_tokens = max_tokens
        self._closing = closing
        self._texts: list[str] = []  # of the reply, as the host wrote it
        self._tells = False  # the host tells thinking from answer
        self._reason = StopReason.INTERRUPT

    def steps(self, body: Json) -> Iterator[Step]:
        """Yield the items, `Finished` last."""
        yield Progress(Stage.PREFILL, 0, 0)
        yield from self._streamed(body)
        concluded = self._wants_conclusion
        if concluded:
            written = len(self._texts)
            yield Token(written, self._closing, forced=True)
            begun = {"role": "assistant", "content": "".join(self._texts) + self._closing}
            body = {
                **body,
                "messages": [*body["messages"], begun],
                "max_tokens": max(1, self._max_tokens - written),
                "add_generation_prompt": False,
                "continue_final_message": True,
            }
            yield from self._streamed(body, concluded=True)
            # of the first stream, which was ended, nobody told the count
            prompt = max(0, self.usage.prompt - written)
            self.usage = replace(self.usage, prompt=prompt, completion=None)
        reason = self._control.reason if self._control.stopping else self._reason
        usage = self.usage
        yield Finished(
            reason, "", usage.prompt, usage.image, 0, concluded, cached_tokens=usage.cached
        )

    @property
    def _wants_conclusion(self) -> bool:
        control = self._control
        can = bool(self._closing) and not self._tells
        return can and control.concluding and not control.stopping

    def _streamed(self, body: Json, *, concluded: bool = False) -> Iterator[Step]:
        name = self._served.host.name
        with (
            suppress(StoppedReadingError),
            _lines(body, self._served, self._control) as (
                wire,
                lines,
            ),
        ):
            for one in pieces(records(lines, name, wire.look), name, wire.look):
                match one:
                    case Piece(text, part):
                        self._tells = part is not None
                        self._texts.append(text)
                        yield Token(len(self._texts) - 1, text, part=part)
                        if self._tells and self._control.concluding:  # no text can ask for it
                            self._control.stop(self._control.conclusion or StopReason.INTERRUPT)
                        if self._control.stopping or (self._wants_conclusion and not concluded):
                            return
                        if len(self._texts) >= self._max_tokens:
                            self._reason = StopReason.LENGTH  # a server may not know the field
                            return
                    case Ended(finish, usage):
                        self.usage = usage
                        if finish not in _REASONS:
                            raise HostError(f"{name} ended its reply: {finish[:40]}", wire.look)
                        self._reason = _REASONS[finish]


def _recounted(done: Done, usage: Usage) -> Done:
    """Return `done` with the tokens that the host counted, where it did."""
    if usage.completion is None:
        return done
    stats, total = done.stats, usage.completion
    thinking = usage.reasoning
    if done.answer_source is AnswerSource.WHOLE:
        thinking = 0
    elif thinking is None:  # as the pieces were
        share = stats.thinking_tokens / stats.generated_tokens if stats.generated_tokens else 0.0
        thinking = round(share * total)
    thinking = min(thinking, total)
    stats = replace(
        stats, generated_tokens=total, thinking_tokens=thinking, answer_tokens=total - thinking
    )
    return replace(done, stats=stats)


class _Counted:
    """Counts the tokens of a run that may end here before it ends there."""

    def __init__(self) -> None:
        self._thinking = 0
        self._answer = 0

    def see(self, event: Event) -> None:
        match event:
            case ThinkingDelta(tokens=tokens):
                self._thinking += tokens
            case AnswerDelta(tokens=tokens):
                self._answer += tokens
            case AnswerRetracted():
                self._thinking, self._answer = self._thinking + self._answer, 0
            case Progress() | Looked() | Notice() | Done():
                pass

    @property
    def stats(self) -> Stats:
        return Stats(
            generated_tokens=self._thinking + self._answer,
            thinking_tokens=self._thinking,
            answer_tokens=self._answer,
        )
