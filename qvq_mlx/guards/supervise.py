"""Watches a run from both sides of the split, and steers it out of loops and over-long thinking.

    steps ─Watch.steps─▶ split ─Watch.events─▶ events

Law: the guards hold `Control` and nothing else of the engine. What has to be exact is counted on
the steps, one committed token each, before the next one is pulled; what needs to know thinking
from answer is read off the events. Generators make that safe: when a step is pulled, every event
of the step before it has passed. So a budget of N forces the closing text after exactly N tokens
of thinking, whatever the splitter still holds back and however many tokens were drafted.

- Budget: after `budget_tokens` of thinking the answer is asked for; `answer_tokens` may follow.
- Loop: one within the thinking asks for the answer, as does thinking that says nothing new. After
  that a loop in the answer stops the run, as does one behind a closed box, and a boxed answer block
  that comes again word for word.
- Any other repetition in an answer may be the picture's own (a log, a receipt, a chorus, a
  timetable), so it ends nothing until LONGEST_REPETITION_CHARS of it stand on end, or white space
  without end. An answer that the length ends within a loop has `loop` as its reason. An answer that
  is held to a schema is never stopped for its repetition.
- Language: strays are counted at the end. Nothing that was shown is taken away.

A guard that does not act passes the same stream through. Every action is a Notice with a stable
code: `budget`, `answer-tokens`, `repetition`, `no-news`, `loop`, `loop-stop`, `language-thinking`,
`language-answer`, and `asked` where the user asked for the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import assert_never

from qvq_mlx.core.card import Thinking
from qvq_mlx.core.events import (
    ASKED,
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    ConcludedBy,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.sizes import counted
from qvq_mlx.core.tokens import Control, Step, Token
from qvq_mlx.guards.language import Script, leaves, strays
from qvq_mlx.guards.loop import BlankRun, LoopDetector, Repetition, Severity
from qvq_mlx.reply.box import boxed
from qvq_mlx.reply.thinking import split

LONGEST_REPETITION_CHARS = 12_000
"""More than a picture of 16,384 image tokens shows of one line that repeats."""
_STILL_LOOPING_CHARS = 2_000  # an answer that ends so soon after a finding ends within the loop


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """Limits that the guards hold a run to. `budget_tokens` None: no bound on the thinking.

    `scripts` are those that an explanation is expected in; None expects nothing. `has_schema`:
    the answer is held to a JSON schema, which may ask for repetition.
    """

    budget_tokens: int | None = None
    answer_tokens: int = 1024
    scripts: frozenset[Script] | None = None
    has_schema: bool = False


def supervise(
    steps: Iterable[Step], thinking: Thinking, control: Control, limits: GuardLimits
) -> Iterator[Event]:
    """The events of a run, kept in bounds."""
    watch = Watch(control, limits, can_conclude=bool(thinking.closing))
    return watch.events(split(watch.steps(steps), thinking))


class Watch:
    """One run's guards.

    `loop` is the first loop that was acted on, `stale` where the thinking first said nothing new;
    `answering` is True once an answer has begun.
    """

    def __init__(self, control: Control, limits: GuardLimits, *, can_conclude: bool) -> None:
        self.loop: Repetition | None = None
        self.stale: Repetition | None = None
        self._control = control
        self._limits = limits
        self._can_conclude = can_conclude
        self._detector = LoopDetector()
        self._answer_detector = LoopDetector()
        self.answer_loop: Repetition | None = None  # the last one in the answer that stands
        self._answer_loop_begin = 0  # where it began, in characters of the answer
        self._blanks = BlankRun()
        self._has_retracted = False
        self._notices: list[Notice] = []
        self._chars = 0
        self._thinking_tokens = 0
        self._after_tokens = 0  # committed since a guard asked for the answer
        self.answering = False
        self._thinking: list[str] = []
        self._answer: list[str] = []
        self._answer_chars = 0
        self._previous = ""  # the answer block that was taken back last, if it held a box

    def steps(self, steps: Iterable[Step]) -> Iterator[Step]:
        """The same items; a token is judged when the next one is wanted."""
        self._judge_budget()
        for step in steps:
            yield step
            if isinstance(step, Token):
                self._commit(step)

    def events(self, events: Iterable[Event]) -> Iterator[Event]:
        """The same events, with what the guards have to say between them."""
        for event in events:
            self._see(event)
            if isinstance(event, Done):
                event = self._ended(event)
            yield from self._told()
            yield event

    def _commit(self, token: Token) -> None:
        self._chars += len(token.text)
        if self._blanks.feed(token.text):
            self._looped(Repetition(Severity.HARD, self._chars, 1), "nothing but white space")
        if token.forced:
            return
        if self._control.conclusion is not None:
            self._after_tokens += 1
            if self._after_tokens >= self._limits.answer_tokens:
                self._stop_answer()
        elif not self.answering:
            self._thinking_tokens += 1
            self._judge_budget()

    def _judge_budget(self) -> None:
        budget = self._limits.budget_tokens
        if budget is None or not self._can_conclude or self._control.concluding:
            return
        if self._thinking_tokens >= budget:
            self._control.conclude(StopReason.BUDGET)
            spent = f"{counted(budget, 'token')} of thinking {'is' if budget == 1 else 'are'} spent"
            self._say("budget", f"{spent}: asked for the answer")

    def _stop_answer(self) -> None:
        if not self._control.stopping:
            self._control.stop(self._control.conclusion or StopReason.BUDGET)
            tokens = self._limits.answer_tokens
            self._say("answer-tokens", f"the answer did not end within {counted(tokens, 'token')}")

    def _found(self, findings: list[Repetition]) -> None:
        """Act on what was found in the thinking."""
        for finding in findings:
            where = f"at character {finding.at_char:,}, period {finding.period_chars:,}"
            match finding.severity:
                case Severity.HARD:
                    self._looped(finding, where)
                case Severity.STALE:
                    self._went_stale(finding)
                case Severity.SOFT:
                    self._say("repetition", f"the thinking repeats a passage ({where})")
                case _:
                    assert_never(finding.severity)

    def _went_stale(self, finding: Repetition) -> None:
        self.stale = self.stale or finding
        if not self._can_conclude or self._control.concluding or self._control.stopping:
            return
        self._control.conclude(StopReason.LOOP)
        text = f"the thinking says nothing new (at character {finding.at_char:,})"
        self._say("no-news", f"{text}: asked for the answer")

    def _looped(self, finding: Repetition, where: str) -> None:
        self.loop = self.loop or finding
        if self._control.stopping:
            return
        if self._can_conclude and not self.answering and not self._control.concluding:
            self._control.conclude(StopReason.LOOP)
            self._say("loop", f"the thinking goes in circles ({where}): asked for the answer")
        else:
            self._control.stop(StopReason.LOOP)
            self._say("loop-stop", f"the text goes in circles ({where}): stopped")

    def _repeated(self, findings: list[Repetition]) -> None:
        """Note a loop in the answer; stop where it is longer than any picture's own."""
        for finding in findings:
            if finding.severity is not Severity.HARD:
                continue
            self._answer_detector.restart()
            last = self.answer_loop
            if last is None or finding.at_char - last.at_char > _longest_step(finding):
                self._answer_loop_begin = finding.at_char - 2 * finding.period_chars
            self.answer_loop = finding
            before = "".join(self._answer)[: max(0, self._answer_loop_begin)]
            if self._control.conclusion is StopReason.LOOP or boxed(before) is not None:
                # the thinking was no better, or the answer was there before
                self._looped(finding, f"{finding.period_chars:,} characters of the answer")
            chars = finding.at_char - self._answer_loop_begin
            if chars >= LONGEST_REPETITION_CHARS and not self._limits.has_schema:
                self._looped(finding, f"the last {chars:,} characters of the answer")

    def _see(self, event: Event) -> None:
        match event:
            case ThinkingDelta(text=text):
                self._thinking.append(text)
                self._found(self._detector.feed(text))
            case AnswerDelta(text=text):
                if not self.answering:
                    self._found(self._detector.close())
                self.answering = True
                blocks = self._detector.feed(text)
                if self._has_retracted:  # the same blocks again and again, markers between them
                    self._found(blocks)
                self._answer.append(text)
                self._answer_chars += len(text)
                self._repeated(self._answer_detector.feed(text))
                if self._previous and self._answer_chars == len(self._previous):
                    self._judge_block()
            case AnswerRetracted(text=text):
                block = "".join(self._answer)
                self._previous = block if boxed(block) is not None else ""
                self._thinking.append(text)
                self._answer, self._answer_chars = [], 0
                self._answer_detector, self.answer_loop = LoopDetector(), None
                self._has_retracted = True
            case Progress() | Looked() | Notice() | Done():
                pass

    def _judge_block(self) -> None:
        """The answer block has become as long as the one before it."""
        if "".join(self._answer) == self._previous:
            finding = Repetition(Severity.HARD, self._chars, len(self._previous))
            self._looped(finding, f"the same answer twice, {len(self._previous):,} characters")

    def _ended(self, done: Done) -> Done:
        for finding in self._detector.close():  # too late to act
            if finding.severity is Severity.HARD:
                self.loop = self.loop or finding
        if self._ends_in_a_loop() and done.stop_reason is StopReason.LENGTH:
            assert self.answer_loop is not None, "an answer that ends in a loop has one"
            self.loop = self.loop or self.answer_loop
            done = replace(done, stop_reason=StopReason.LOOP)
            self._say("loop-stop", "the answer repeats itself to its last token")
        thinking, answer = "".join(self._thinking), "".join(self._answer)
        if done.answer_source is AnswerSource.WHOLE:
            thinking, answer = "", thinking + answer
        elif done.answer_source is AnswerSource.CONCLUSION:
            thinking = thinking.removesuffix(answer)
        expected = self._limits.scripts
        for code, text, strayed in (
            ("language-thinking", thinking, strays),
            ("language-answer", answer, leaves),
        ):
            if found := strayed(text, expected):
                part = code.partition("-")[2]
                what = ", ".join(f"{count:,} {script}" for script, count in found.items())
                self._say(code, f"the {part} leaves the question's language: {what} letters")
        if not done.concluded:
            return done
        conclusion = self._control.conclusion
        done = replace(done, concluded_by=ConcludedBy.of(conclusion))
        if conclusion is None:
            tokens = self._thinking_tokens
            text = f"the answer was asked for after {counted(tokens, 'token')} of thinking"
            self._say(ASKED, text if tokens != 1 else text.replace("tokens", "token"))
        elif done.stop_reason is StopReason.END:
            done = replace(done, stop_reason=conclusion)
        return done

    def _ends_in_a_loop(self) -> bool:
        loop = self.answer_loop
        return loop is not None and self._answer_chars - loop.at_char <= _longest_step(loop)

    def _say(self, code: str, text: str) -> None:
        self._notices.append(Notice(code, text))

    def _told(self) -> Iterator[Notice]:
        told, self._notices = self._notices, []
        yield from told


def _longest_step(loop: Repetition) -> int:
    """The most characters between two findings of one loop that goes on."""
    return max(_STILL_LOOPING_CHARS, 4 * loop.period_chars)
