"""A run on a terminal: receipts, status, live thinking, one line for it, the answer as Markdown.

Law: the answer is provisional until `Done`, because the model may take it back. So the line about
the thinking and the answer stay in the live area while they fit, and a retraction leaves no
ghost; what had to go to the scrollback is never rewritten, and a retraction then says so. Nothing
of the model's reaches the terminal uncleaned. A frame is drawn at most 12 times a second, and so
seldom that drawing takes at most 1/60 of the time; at once where a stage moved on, something
went to the scrollback or a key was pressed. An event that draws nothing costs the same however
much was said before it.
"""

from __future__ import annotations

from functools import partial

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import OutputError
from qvq_mlx.core.events import (
    UNSAVED,
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    Stage,
    ThinkingDelta,
)
from qvq_mlx.core.plan import STAGES, Plan, Rates
from qvq_mlx.core.request import ThinkingView
from qvq_mlx.core.sizes import counted
from qvq_mlx.render import Wishes
from qvq_mlx.render.accent import accented
from qvq_mlx.render.answer import Answer
from qvq_mlx.render.clean import Cleaner, clean, clean_line, writable
from qvq_mlx.render.clipboard import copy
from qvq_mlx.render.documents import boxed_or_whole
from qvq_mlx.render.flow import Flow
from qvq_mlx.render.forecast import Forecast
from qvq_mlx.render.header import header_row, key_notes, key_rows, status_row
from qvq_mlx.render.keys import Pressed
from qvq_mlx.render.markdown import box_text
from qvq_mlx.render.meter import Meter, Stages, short, thought
from qvq_mlx.render.opening import Manner, Opening, opening_of
from qvq_mlx.render.rows import BLANK, Row, bold, cells, cut, dim, joined, lines_taken, plain, wrap
from qvq_mlx.render.spoken import Spoken
from qvq_mlx.render.terminal import Terminal
from qvq_mlx.render.thoughts import Thoughts

_FRAME_S = 1 / 12
_SHARE = 60
"""A frame waits this many times as long as the one before it took to draw."""
_TAIL_ROWS = 6
_TYPED_ROWS = 3
_NARROWER = 4
"""A window may get this many times narrower at once, and the header stands once."""
_NO_WISHES = Wishes()
_NOTHING = Pressed()
STOP_QUESTION = "q again stops and saves what there is; any other key goes on"


class Screen:
    """The renderer of a terminal."""

    def __init__(self, env: Env, *, manner: Manner, wishes: Wishes = _NO_WISHES) -> None:
        self._env = env
        self._wishes = wishes
        self._manner = manner
        # behind a pipe, the keyboard may be a pager's
        keyboard = manner.answers or manner.view is ThinkingView.TAIL
        stream = env.stdout if manner.answers else env.stderr
        self._paint = partial(accented, env=env, stream=stream)
        self._ahead = wishes.ahead
        self._terminal = Terminal(env, stream, keyboard=keyboard, ahead=wishes.ahead)
        self._area = self._terminal.area
        self._cleaner = Cleaner()
        self._meter = Meter(env.clock)
        self._stages = Stages(env.clock)
        self._spoken = Spoken(self._meter, manner.view)
        self._opening = Opening()
        self._forecast = Forecast(env.clock, Rates(), {})
        self._flow = Flow()
        self._thoughts = Thoughts()
        self._answer = Answer()
        self._line_kept = False  # the line about the thinking is in the scrollback
        self._expanded = False
        self._explaining = False
        self._stop_asked = False  # the key to stop was pressed once
        self._copying = False  # the key was pressed: the answer goes to the clipboard at the end
        self._late: list[str] = []  # said when the answer stands
        self._next_frame_at = float("-inf")

    def begin(self, plan: Plan) -> None:
        """Say what was read, and take the keyboard."""
        self.open(opening_of(plan))

    def open(self, opening: Opening) -> None:
        """`begin`, for events that are no run of this moment."""
        self._opening = opening
        amounts = {Stage.LOAD: 0.0, Stage.ENCODE: float(opening.image_tokens)}
        amounts[Stage.PREFILL] = float(opening.prompt_tokens)
        if not opening.image_tokens:
            del amounts[Stage.ENCODE]
        self._forecast = Forecast(self._env.clock, opening.rates, amounts)
        self._meter.begin()
        self._terminal.take()
        if self._manner.answers and not self._manner.quiet:
            receipts = [clean_line(receipt) for receipt in opening.receipts]
            self._keep([dim(row) for line in receipts for row in wrap(line, self._terminal.width)])

    def feed(self, event: Event) -> None:
        """Show what has happened."""
        event = self._cleaner.event(event)
        self._meter.saw(event)
        said = self._aside(self._stages.lines(event)) if self._manner.verbose else []
        match event:
            case Done():
                self._finish(event, said)
                return
            case ThinkingDelta(text=text):
                self._think(text)
            case AnswerRetracted(text=text):
                said += self._take_back()
                self._think(text)
            case AnswerDelta(text=text):
                self._expanded &= bool(self._answer)  # an answer that begins is shown
                self._answer.add(text)
            case Notice(code=code) if code == UNSAVED or not self._manner.quiet:
                said += self._note(f"note[{event.code}]: {event.text}")
            case Progress():
                self._forecast.saw(event)
            case Looked():
                said += self._looked(event)
            case Notice():
                pass
        told = self._manner.answers and not (self._manner.quiet or self._manner.saved)
        if told and not self._area.able:
            lines = self._spoken.lines(event)
            said += [plain(row) for line in lines for row in wrap(line, self._terminal.width)]
        # a stage may stay for long as it is now
        self._refresh(said, urgent=isinstance(event, Progress) and self._meter.first is None)

    def abort(self) -> None:
        """Leave a clean screen."""
        self._terminal.release()

    @property
    def _thought(self) -> bool:
        return bool(self._flow) and self._manner.view is not ThinkingView.NONE

    @property
    def _can_answer(self) -> bool:
        """True if there is thinking that the user may cut short."""
        return self._opening.can_conclude and bool(self._flow) and not self._answer

    def _think(self, text: str) -> None:
        self._flow.add(text)
        if self._manner.view is ThinkingView.FULL:
            self._thoughts.add(text)

    def _aside(self, lines: list[str]) -> list[Row]:
        """Rows above the live area; or stderr itself, where writing there tears nothing."""
        if self._env.stderr.isatty() and self._area.able:
            return [dim(row) for line in lines for row in wrap(line, self._terminal.width)]
        for line in lines:
            self._env.stderr.write(writable(line, self._env.stderr) + "\n")
            self._env.stderr.flush()
        return []

    def _looked(self, looked: Looked) -> list[Row]:
        """The receipt of a region, where those of the images stand."""
        if self._manner.quiet or not self._manner.answers:
            return []
        return [dim(row) for row in wrap(clean_line(looked.receipt), self._terminal.width)]

    def _note(self, line: str) -> list[Row]:
        """Rows for a note; one that comes within an answer is said below it."""
        if not self._answer:
            return self._aside([line])
        self._late.append(line)
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
        urgent = self._heard() or urgent
        now = self._env.clock()
        if not urgent and now < self._next_frame_at:
            return
        said = said + self._due()
        frame = self._frame() if self._area.able else []
        made = self._env.clock()
        self._area.settle()  # may wait for the terminal, which costs no processor time
        settled = self._env.clock()
        self._area.draw(frame, said, self._text)
        took = self._env.clock() - settled + made - now
        self._next_frame_at = now + max(_FRAME_S, _SHARE * took)

    def _heard(self) -> bool:
        """Do what the keys ask for. True where the screen looks different now."""
        pressed = self._terminal.pressed()
        asked_before = self._stop_asked
        if pressed != _NOTHING:
            self._stop_asked = pressed.stop
        if pressed.stop and asked_before:
            self._wishes.stop()
        self._copying ^= pressed.copy
        if pressed.answer and self._can_answer:
            self._wishes.answer_now()
        turned = bool(pressed.toggles % 2) and self._manner.view is ThinkingView.TAIL
        folded = pressed.fold and self._expanded
        asked = bool(pressed.explanations % 2)
        self._expanded ^= turned or folded
        self._explaining ^= asked
        shown = pressed.copy or (pressed.typed and self._ahead is not None)
        return turned or folded or asked or shown or asked_before != self._stop_asked

    @property
    def _text(self) -> str:
        """The name of the text that is on show: the thinking, or one of its answers."""
        thinking = not self._answer or (self._expanded and self._thought)
        return "thinking" if thinking else f"answer {self._answer.number}"

    def _due(self) -> list[Row]:
        """Return the rows that have to go to the scrollback now."""
        rows = self._new_thinking(ended=bool(self._answer))
        if not self._area.able or not self._manner.answers or self._manner.boxed_only:
            return rows
        if self._expanded or not self._answer:
            return rows  # while the thinking is on show, all of the answer waits
        budget = max(1, self._room - 2)
        head = self._head()
        answer = self._answer.last_rows(self._terminal.width, budget + 1)
        if len(head) + len(answer) <= budget:
            return rows
        rows += head
        self._line_kept = self._line_kept or bool(head)
        return rows + self._answer.overflow(self._terminal.width, budget)

    def _new_thinking(self, *, ended: bool) -> list[Row]:
        """FULL: the rows of the thinking that will not change any more."""
        if self._manner.view is not ThinkingView.FULL:
            return []
        rows = self._thoughts.take(self._terminal.width, ended=ended, rows=self._area.able)
        return [*rows, *([BLANK] if ended and rows else [])]

    def _head(self) -> list[Row]:
        """The line about the thinking with a blank one, where it still has to be shown."""
        if self._line_kept or not self._thought or not self._answer:
            return []
        return [*self._thought_line(), BLANK]

    def _thought_line(self) -> list[Row]:
        line, hint = " · ".join(thought(self._meter)), self._manner.hint
        if self._manner.view is not ThinkingView.FULL:
            line = f"▸ {line}" if self._area.able else line
            # a command that is cut in two cannot be copied
            between = " · " if cells(f"{line} · {hint}") <= self._terminal.width else "\n"
            line += between + hint if hint else ""
        return [dim(row) for row in wrap(line, self._terminal.width)]

    @property
    def _room(self) -> int:
        """Rows for what is not below all else."""
        return max(1, self._terminal.height - len(self._beneath()))

    def _beneath(self) -> list[Row]:
        """Below all else: the keys, the question whether to stop, and what is typed ahead.

        As much as leaves the header in a window of a quarter of the width, where each of these rows
        takes four: what leaves the window cannot be drawn over, and the header changes.
        """
        width = self._terminal.width
        quarter = max(1, (width + 1) // _NARROWER)
        rows = [bold(cut(STOP_QUESTION, width))] if self._stop_asked else []
        if self._copying:
            rows.append(dim(cut("the answer will be copied (c: not)", width)))
        header = lines_taken("-" * width, quarter)
        left = self._terminal.height - header - _lines(rows, quarter)
        typed = self._typed(min(width, quarter * max(1, left)))
        while len(typed) > 1 and _lines(typed, quarter) > left:
            del typed[0]
        keys = self._keys()
        if (rows or typed) and _lines([*keys, *typed], quarter) > left:
            keys = []
        return [*keys, *rows, *typed]

    def _typed(self, width: int) -> list[Row]:
        """The end of what is typed ahead."""
        if self._ahead is None or not self._terminal.has_keys:
            return []
        lines = [*self._ahead.lines, *([self._ahead.line] if self._ahead.line else [])][-3:]
        ends = (clean(f"> {line}"[-_TYPED_ROWS * width :]) for line in lines)
        return [dim(row) for end in ends for row in wrap(end, width)[-_TYPED_ROWS:]]

    def _keys(self) -> list[Row]:
        if not (self._explaining and self._terminal.has_keys):
            return []
        return key_rows(
            self._terminal.width,
            view=self._manner.view,
            can_answer=self._can_answer,
            expanded=self._expanded,
            height=self._terminal.height - 2,
        )

    def _frame(self) -> list[Row]:
        """The live area as it should be now."""
        return [*self._body(), *self._beneath()]

    def _body(self) -> list[Row]:
        if self._answer and self._manner.answers:
            return [*self._answer_frame(), *self._checking()]
        if self._meter.first is not None:
            return self._thinking_frame()
        progress, width = self._meter.progress, self._terminal.width
        if progress is None or self._manner.quiet:
            return []
        if progress.stage is Stage.VOTE:  # long, and nothing else moves meanwhile
            vote = f"{progress.stage.value} {progress.done:,}/{progress.total:,}"
            row = joined([vote, short(self._meter.working_s)], width)
            return [header_row([row], [], width, self._paint)]
        stages = [s for s in STAGES if s is not Stage.ENCODE or self._opening.image_tokens]
        return [status_row(progress, stages, self._forecast.left_s, width, self._paint)]

    def _answer_frame(self) -> list[Row]:
        head = self._head()
        if self._manner.boxed_only:
            return head[:-1]
        if self._expanded and self._thought:
            count = max(1, self._room - 2)
            thinking = self._flow.placed(self._terminal.width, count, compact=False)
            return [*thinking, self._header()]
        room = max(1, self._room - len(head))
        return head + self._answer.last_rows(self._terminal.width, room)

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
                room = self._room - 1
                count = room - 1 if self._expanded else min(_TAIL_ROWS, room)
                rows = self._flow.placed(width, max(1, count), compact=not self._expanded)
                return [*rows, self._header()]
            case ThinkingView.FULL:
                rows = self._thoughts.rest(width)
                return [*rows[max(0, len(rows) - self._room + 1) :], self._header()]

    def _checking(self) -> list[Row]:
        """Below an answer that stands: that it is looked at again."""
        parts = [] if self._manner.quiet else self._meter.checking()
        return [BLANK, dim(joined(parts, self._terminal.width))] if parts else []

    def _header(self) -> Row:
        """`Thinking 12s · 480/4,096 tok · 7.9 tok/s`, as much of it as fits, and the keys."""
        meter, width, view = self._meter, self._terminal.width, self._manner.view
        if parts := meter.checking():
            return header_row([joined(parts, width)], [], width, self._paint)
        if view is ThinkingView.NONE:
            variants = [f"Working {short(meter.working_s)}"]
        elif self._answer:
            variants = meter.headers("Answering", meter.answer_tokens, meter.answering_since, None)
        else:
            budget = self._opening.budget_tokens
            variants = meter.headers("Thinking", meter.thinking_tokens, meter.first, budget)
        notes = []
        if self._terminal.has_keys:
            notes = key_notes(view=view, can_answer=self._can_answer, expanded=self._expanded)
        return header_row(variants, notes, width, self._paint)

    def _finish(self, done: Done, said: list[Row]) -> None:
        """Everything that stands goes to the scrollback."""
        whole = done.answer_source is AnswerSource.WHOLE and bool(self._flow)
        rows = [] if whole else self._new_thinking(ended=True)
        if self._manner.answers:
            rows += self._whole(done) if whole else self._rest(done)
        if self._copying and done.complete:
            self._late.append(self._copied())
        self._keep(rows + said + self._aside(self._late))
        self.abort()

    def _copied(self) -> str:
        """Copy the answer, and return a line about it."""
        text = self._answer.text.strip()
        try:
            return f"copied: {counted(len(text), 'character')}, by {copy(text, self._env)}"
        except OutputError as error:
            return f"not copied: {error}"

    def _whole(self, done: Done) -> list[Row]:
        """Show as the answer what came as thinking."""
        if not self._answer.started:
            self._answer.replace((self._flow.text + self._answer.text).strip())
        self._line_kept = True
        return self._answer_rows(done)

    def _rest(self, done: Done) -> list[Row]:
        """The line about the thinking, and what of the answer is not yet in the scrollback."""
        if self._answer:
            return self._head() + self._answer_rows(done)
        return self._thought_line() if self._thought else []

    def _answer_rows(self, done: Done) -> list[Row]:
        if not self._answer:
            return []
        text = self._answer.text.strip()
        width = self._terminal.width
        if self._manner.boxed_only and done.complete:
            found = boxed_or_whole(text)
            content = box_text(found) if found != text else found
            return [bold(row) for row in wrap(content, width)]
        if self._area.able:
            rows = self._answer.kept(width)
        else:
            from qvq_mlx.render.spoken_answer import spoken_rows  # most runs need none

            rows = spoken_rows(text, width)
        if done.complete:
            return rows
        if self._answer.started:
            return [*rows, dim("the answer above is unfinished")]
        return [dim("unfinished answer:"), *rows]

    def _keep(self, rows: list[Row]) -> None:
        if rows:
            self._area.draw([], rows, self._text)


def _lines(rows: list[Row], width: int) -> int:
    """Return the lines that rows take in a window of this width."""
    return sum(lines_taken(row.plain, width) for row in rows)
