"""A run on a terminal: receipts, status, live thinking, one line for it, the answer as Markdown.

Law: the answer is provisional until `Done`, because the model may take it back. So the line about
the thinking and the answer stay in the live area while they fit, and a retraction leaves no
ghost; what had to go to the scrollback is never rewritten, and a retraction then says so. Nothing
of the model's reaches the terminal uncleaned. A frame is drawn at most 12 times a second; at
once where a stage moved on, something went to the scrollback or a key was pressed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qvq_mlx.core.env import Env
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    Event,
    Notice,
    Progress,
    Stage,
    ThinkingDelta,
    Transcript,
)
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.request import ThinkingView
from qvq_mlx.render.answer import Answer
from qvq_mlx.render.clean import Cleaner, clean_line, writable
from qvq_mlx.render.documents import boxed_or_whole
from qvq_mlx.render.meter import Meter, Stages, short, status, thought
from qvq_mlx.render.rows import (
    BLANK,
    Row,
    at_both_ends,
    bold,
    cells,
    dim,
    joined,
    plain,
    tail,
    wrap,
)
from qvq_mlx.render.terminal import Terminal
from qvq_mlx.render.thoughts import Thoughts

_FRAME_S = 1 / 12
_TAIL_ROWS = 6


@dataclass(frozen=True, slots=True)
class Manner:
    """What this screen shows.

    `answers` False: the answer goes elsewhere, and in the end nothing of ours is left here but
    what `view` FULL wrote. `hint` is the command that shows the thinking later, or empty.
    """

    view: ThinkingView
    answers: bool
    boxed_only: bool = False
    quiet: bool = False
    verbose: bool = False
    hint: str = ""


class Screen:
    """The renderer of a terminal."""

    def __init__(
        self, env: Env, *, manner: Manner, answer_now: Callable[[], None] = lambda: None
    ) -> None:
        """`answer_now`: a person asks for the answer, while the model thinks."""
        self._env = env
        self._answer_now = answer_now
        self._can_conclude = False
        self._manner = manner
        # behind a pipe, the keyboard may be a pager's
        keyboard = manner.answers or manner.view is ThinkingView.TAIL
        stream = env.stdout if manner.answers else env.stderr
        self._terminal = Terminal(env, stream, keyboard=keyboard)
        self._area = self._terminal.area
        self._cleaner = Cleaner()
        self._meter = Meter(env.clock)
        self._stages = Stages(env.clock)
        self._transcript = Transcript()
        self._thoughts = Thoughts()
        self._answer = Answer(colour=not env.environ.get("NO_COLOR"))
        self._line_kept = False  # the line about the thinking is in the scrollback
        self._expanded = False
        self._drawn_at = float("-inf")

    def begin(self, plan: Plan) -> None:
        """Say what was read, and take the keyboard."""
        self._can_conclude = bool(plan.card.thinking.closing)
        self._meter.begin()
        self._terminal.take()
        if self._manner.answers and not self._manner.quiet:
            new = plan.pictures[plan.seen_pictures :]
            receipts = [clean_line(picture.receipt) for picture in new]
            self._keep(
                [plain(row) for line in receipts for row in wrap(line, self._terminal.width)]
            )

    def feed(self, event: Event) -> None:
        """Show what has happened."""
        event = self._cleaner.event(event)
        self._meter.saw(event)
        said = self._aside(self._stages.lines(event)) if self._manner.verbose else []
        match event:
            case Done():
                self._finish(event, said)
                return
            case AnswerRetracted():
                said += self._take_back()
            case AnswerDelta(text=text):
                self._answer.add(text)
            case Notice() if not self._manner.quiet:
                said += self._aside([f"note[{event.code}]: {event.text}"])
            case Progress() | ThinkingDelta() | Notice():
                pass
        self._transcript.add(event)
        # a stage may stay for long as it is now
        self._refresh(said, urgent=isinstance(event, Progress) and self._meter.first is None)

    def abort(self) -> None:
        """Leave a clean screen."""
        self._terminal.release()

    @property
    def _thought(self) -> bool:
        return bool(self._transcript.thinking) and self._manner.view is not ThinkingView.NONE

    def _aside(self, lines: list[str]) -> list[Row]:
        """Rows above the live area; or stderr itself, where writing there tears nothing."""
        if self._env.stderr.isatty() and self._area.able:
            return [dim(row) for line in lines for row in wrap(line, self._terminal.width)]
        for line in lines:
            self._env.stderr.write(writable(line, self._env.stderr) + "\n")
            self._env.stderr.flush()
        return []

    def _take_back(self) -> list[Row]:
        """The answer is none: to the thinking view again."""
        kept = self._line_kept or self._answer.started
        self._answer.replace("")
        self._line_kept = False
        if not kept:
            return []
        line = "the model took that answer back and goes on thinking"
        return [dim(row) for row in wrap(line, self._terminal.width)]

    def _refresh(self, said: list[Row], *, urgent: bool) -> None:
        """Draw a frame if one is due."""
        urgent = self._terminal.stopped() or bool(said) or urgent
        pressed = self._terminal.pressed()
        if pressed.answer and self._can_conclude and self._transcript.thinking and not self._answer:
            self._answer_now()
        if pressed.toggles % 2 and self._manner.view is ThinkingView.TAIL:
            self._expanded = not self._expanded
            urgent = True
        now = self._env.clock()
        if not urgent and now - self._drawn_at < _FRAME_S:
            return
        self._drawn_at = now
        said = said + self._due()
        self._area.draw(self._frame() if self._area.able else [], said)

    def _due(self) -> list[Row]:
        """What has to go to the scrollback now."""
        rows = self._new_thinking(ended=bool(self._answer))
        if not self._area.able or not self._manner.answers or self._manner.boxed_only:
            return rows
        if self._expanded and not self._line_kept:
            return rows  # the thinking is on show, all of the answer waits
        budget = max(1, self._terminal.height - 2)
        head = self._head()
        answer = self._answer.rows(self._terminal.width) if self._answer else []
        if len(head) + len(answer) <= budget:
            return rows
        rows += head
        self._line_kept = self._line_kept or bool(head)
        return rows + self._answer.overflow(self._terminal.width, budget)

    def _new_thinking(self, *, ended: bool) -> list[Row]:
        """FULL: the rows of the thinking that will not change any more."""
        if self._manner.view is not ThinkingView.FULL:
            return []
        rows = self._thoughts.take(
            self._transcript.thinking, self._terminal.width, ended=ended, rows=self._area.able
        )
        return [*map(dim, rows), *([BLANK] if ended and rows else [])]

    def _head(self) -> list[Row]:
        """The line about the thinking with a blank one, where it still has to be shown."""
        if self._line_kept or not self._thought or not self._answer:
            return []
        return [*self._thought_line(), BLANK]

    def _thought_line(self) -> list[Row]:
        line, hint = " · ".join(thought(self._meter)), self._manner.hint
        if self._manner.view is not ThinkingView.FULL:
            line = f"▸ {line}"
            # a command that is cut in two cannot be copied
            between = " · " if cells(f"{line} · {hint}") <= self._terminal.width else "\n"
            line += between + hint if hint else ""
        return [dim(row) for row in wrap(line, self._terminal.width)]

    def _frame(self) -> list[Row]:
        """The live area as it should be now."""
        if self._answer and self._manner.answers:
            return [*self._answer_frame(), *self._checking()]
        if self._meter.first is None:
            progress = self._meter.progress
            if progress is None or self._manner.quiet:
                return []
            parts = [status(progress)]
            if progress.stage is Stage.VOTE:  # long, and nothing else moves meanwhile
                parts.append(short(self._meter.working_s))
            return [plain(joined(parts, self._terminal.width))]
        return self._thinking_frame()

    def _answer_frame(self) -> list[Row]:
        head = self._head()
        if self._manner.boxed_only:
            return head[:-1]
        room = max(1, self._terminal.height - len(head))
        rows = self._answer.rows(self._terminal.width)
        if self._expanded and head:
            shown = min(len(rows), max(1, room // 3))
            thinking = tail(
                self._transcript.thinking, self._terminal.width, room - shown - 1, compact=False
            )
            head = [*head[:-1], *map(dim, thinking), BLANK]
            room = shown
        return head + rows[-room:]

    def _thinking_frame(self) -> list[Row]:
        width = self._terminal.width
        if self._answer:
            return [] if self._manner.quiet else [self._header()]
        match self._manner.view:
            case ThinkingView.NONE:
                return [] if self._manner.quiet else [self._header()]
            case ThinkingView.LINE:
                return [self._header()]
            case ThinkingView.TAIL:
                room = self._terminal.height - 1
                count = room - 2 if self._expanded else min(_TAIL_ROWS, room)
                text = self._transcript.thinking
                rows = tail(text, width, max(1, count), compact=not self._expanded)
                return [self._header(), *map(dim, rows)]
            case ThinkingView.FULL:
                rows = self._thoughts.rest(self._transcript.thinking, width)
                return [*map(dim, rows[-(self._terminal.height - 1) :]), self._header()]

    def _checking(self) -> list[Row]:
        """Below an answer that stands: that it is looked at again."""
        parts = [] if self._manner.quiet else self._meter.checking()
        return [BLANK, dim(joined(parts, self._terminal.width))] if parts else []

    def _header(self) -> Row:
        """`Thinking 12s · 480 tok · 40 tok/s`, as much of it as fits, and the key."""
        meter = self._meter
        if parts := meter.checking():
            return plain(joined(parts, self._terminal.width))
        if self._manner.view is ThinkingView.NONE:
            parts = [f"Working {short(meter.working_s)}"]
        elif self._answer:
            parts = meter.header("Answering", meter.answer_tokens, meter.answering_since)
        else:
            parts = meter.header("Thinking", meter.thinking_tokens, meter.first)
        keyed = self._terminal.has_keys and self._manner.view is ThinkingView.TAIL
        note = ("t collapses" if self._expanded else "t expands") if keyed else ""
        head, width = joined(parts, self._terminal.width), self._terminal.width
        if keyed and self._can_conclude and not self._answer:
            both = f"{note} · a answers"
            note = both if cells(f"{head}  {both}") <= width else note
        return at_both_ends(head, note, width)

    def _finish(self, done: Done, said: list[Row]) -> None:
        """Everything that stands goes to the scrollback."""
        whole = done.answer_source is AnswerSource.WHOLE and bool(self._transcript.thinking)
        rows = [] if whole else self._new_thinking(ended=True)
        if self._manner.answers:
            rows += self._whole(done) if whole else self._rest(done)
        self._keep(rows + said)
        self.abort()

    def _whole(self, done: Done) -> list[Row]:
        """What came as thinking was the answer."""
        self._transcript.add(done)
        if not self._answer.started:
            self._answer.replace(self._transcript.answer)
        self._line_kept = True
        return self._answer_rows(done)

    def _rest(self, done: Done) -> list[Row]:
        """The line about the thinking, and what of the answer is not yet in the scrollback."""
        if self._answer:
            return self._head() + self._answer_rows(done)
        return self._thought_line() if self._thought else []

    def _answer_rows(self, done: Done) -> list[Row]:
        text = self._answer.text.strip()
        if not text:
            return []
        if self._manner.boxed_only and done.complete:
            return [bold(row) for row in wrap(boxed_or_whole(text), self._terminal.width)]
        if not self._area.able:
            rows = [plain(line) for line in text.split("\n")]
        else:
            rows = self._answer.rows(self._terminal.width)
        if done.complete:
            return rows
        if self._answer.started:
            return [*rows, dim("the answer above is unfinished")]
        return [dim("unfinished answer:"), *rows]

    def _keep(self, rows: list[Row]) -> None:
        if rows:
            self._area.draw([], rows)
