"""Watches a run from both sides of the split, and steers it out of loops and over-long thinking.

    steps ─Watch.steps─▶ split ─Watch.events─▶ events

Law: the guards hold `Control` and nothing else of the engine. What has to be exact is counted on
the steps, one committed token each, before the next one is pulled; what needs to know thinking
from answer is read off the events. Generators make that safe: when a step is pulled, every event
of the step before it has passed. So a budget of N forces the closing text after exactly N tokens
of thinking, whatever the splitter still holds back and however many tokens were drafted.

- Budget: after `budget_tokens` of thinking the answer is asked for; `answer_tokens` may follow.
- Loop: the first one within the thinking asks for the answer. The next one, and one within an
  answer, stops the run with what there is. A boxed answer block that comes again word for word
  stops it too.
- Language: strays are counted at the end. Nothing that was shown is taken away.

A guard that does not act passes the same stream through. Every action is a Notice with a stable
code: `budget`, `answer-tokens`, `repetition`, `loop`, `loop-stop`, `language-thinking`,
`language-answer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from qvq_mlx.answer.box import boxed
from qvq_mlx.answer.thinking import split
from qvq_mlx.core.card import Thinking
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    Event,
    Notice,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.tokens import Control, Step, Token
from qvq_mlx.guards.language import Script, strays
from qvq_mlx.guards.loop import LoopDetector, Repetition, Severity


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run is held to. `budget_tokens` None: thinking may take as long as it takes.

    `scripts` are those that the answer may be written in; None holds it to nothing.
    """

    budget_tokens: int | None = None
    answer_tokens: int = 1024
    scripts: frozenset[Script] | None = None


def supervise(
    steps: Iterable[Step], thinking: Thinking, control: Control, limits: Limits
) -> Iterator[Event]:
    """The events of a run, kept in bounds."""
    watch = Watch(control, limits, can_conclude=bool(thinking.closing))
    return watch.events(split(watch.steps(steps), thinking))


class Watch:
    """One run's guards. `loop` is the first loop that was found; `answering` says whether an answer
    has begun.
    """

    def __init__(self, control: Control, limits: Limits, *, can_conclude: bool) -> None:
        self.loop: Repetition | None = None
        self._control = control
        self._limits = limits
        self._can_conclude = can_conclude
        self._detector = LoopDetector()
        self._notices: list[Notice] = []
        self._chars = 0
        self._thinking_tokens = 0
        self._after_tokens = 0  # committed since a guard asked for the answer
        self.answering = False
        self._forced = False  # the closing text has begun
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
        if token.forced and not self._forced:
            self._forced = True
            self._detector.restart()  # the answer is judged afresh
        self._found(self._detector.feed(token.text))
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
            self._say("budget", f"{budget:,} tokens of thinking are spent: asked for the answer")

    def _stop_answer(self) -> None:
        if not self._control.stopping:
            self._control.stop(self._control.conclusion or StopReason.BUDGET)
            tokens = self._limits.answer_tokens
            self._say("answer-tokens", f"the answer did not end within {tokens:,} tokens")

    def _found(self, findings: list[Repetition]) -> None:
        for finding in findings:
            where = f"at character {finding.at_char:,}, period {finding.period_chars:,}"
            if finding.severity is Severity.HARD:
                self._looped(finding, where)
            elif not self.answering:
                self._say("repetition", f"the thinking repeats a passage ({where})")

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

    def _see(self, event: Event) -> None:
        match event:
            case ThinkingDelta(text=text):
                self._thinking.append(text)
            case AnswerDelta(text=text):
                self.answering = True
                self._answer.append(text)
                self._answer_chars += len(text)
                if self._previous and self._answer_chars == len(self._previous):
                    self._judge_block()
            case AnswerRetracted(text=text):
                block = "".join(self._answer)
                self._previous = block if boxed(block) is not None else ""
                self._thinking.append(text)
                self._answer, self._answer_chars = [], 0
            case _:
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
        thinking, answer = "".join(self._thinking), "".join(self._answer)
        if done.answer_source is AnswerSource.WHOLE:
            thinking, answer = "", thinking + answer
        for code, text in (("language-thinking", thinking), ("language-answer", answer)):
            if found := strays(text, self._limits.scripts):
                part = code.partition("-")[2]
                what = ", ".join(f"{count:,} {script}" for script, count in found.items())
                self._say(code, f"the {part} leaves the question's language: {what} letters")
        conclusion = self._control.conclusion
        if done.concluded and conclusion is not None and done.stop_reason is StopReason.END:
            return replace(done, stop_reason=conclusion)
        return done

    def _say(self, code: str, text: str) -> None:
        self._notices.append(Notice(code, text))

    def _told(self) -> Iterator[Notice]:
        told, self._notices = self._notices, []
        yield from told
