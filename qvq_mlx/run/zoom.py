"""Looking closer by a tool: the model calls it while it thinks, and gets the region at once.

    user: picture, question    model: thinking, a call    user: region    model: thinking, answer

Law: it is one sequence. A call ends the model's turn; the region is appended to what was written as
a further picture, and nothing before it is encoded or prefilled again. The guards see one run: its
budget and its bounds count over all turns. A call that cannot be followed is answered with the
reason, which is a notice too; a model that goes on calling is asked for its answer, and at last
stopped.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import replace

from qvq_mlx.core.card import ThinkingStyle
from qvq_mlx.core.env import Engine
from qvq_mlx.core.events import Done, Event, Notice, Progress, StopReason
from qvq_mlx.core.image_options import Region
from qvq_mlx.core.look import RESPONSE, Look
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.places import Box, Coordinates
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.tokens import Continuation, Control, Effort, Finished, Peaks, Step, Token
from qvq_mlx.guards.supervise import supervise
from qvq_mlx.pointing.on_pictures import report
from qvq_mlx.records.runs import request_record
from qvq_mlx.reply.calls import CallScan, Malformed, Zoom, read
from qvq_mlx.run.answering import generation_of, limits_of, prompt_of
from qvq_mlx.run.locate import PICTURE, read_as_look
from qvq_mlx.run.regions import Refused, Regions
from qvq_mlx.run.timing import Pace

MOST_REFUSALS = 3
"""So many calls are answered with a reason; behind the last of them the answer is due."""


def zoomed(engine: Engine, plan: Plan, look: Look, control: Control, pace: Pace) -> Iterator[Event]:
    """The events of a run whose model may call the tool."""
    own = Control(control)  # what a guard asks of this run is not asked of a double check
    turns = _Turns(engine, plan, look, own)
    for event in supervise(turns.steps(pace), plan.resolved.thinking, own, limits_of(plan)):
        yield from turns.told()
        if isinstance(event, Done):
            event = replace(event, evidence=tuple(turns.regions.evidence))
        yield event


class _Turns:
    """The turns of one run, as one stream of steps."""

    def __init__(self, engine: Engine, plan: Plan, look: Look, control: Control) -> None:
        self.regions = Regions(plan, look.most)
        self._engine = engine
        self._plan = plan
        self._look = look
        self._control = control
        self._refusals = 0
        self._shown = False  # some text of the model's
        self._events: list[Event] = []

    def told(self) -> Iterator[Event]:
        """Yield what there is to say since the last time."""
        events, self._events = self._events, []
        yield from events

    def steps(self, pace: Pace) -> Iterator[Step]:
        """Yield the items of all turns without their calls, and one `Finished`."""
        plan, control, continuation = self._plan, self._control, Continuation()
        generation = generation_of(plan, continuation)
        prompt = prompt_of(self._engine, plan, self._look.system)
        ends: list[Finished] = []
        left, before = generation.max_tokens, 0
        while True:
            turn, scan, written = Control(control), CallScan(self._close_tag), list[int]()
            now = replace(generation, max_tokens=left)
            steps = pace(self._engine.generate(prompt, now, turn))
            steps = read_as_look(steps) if ends else steps
            ends.append((yield from self._scanned(steps, scan, turn, written)))
            left -= len(written)
            call = scan.call
            if call is None or control.stopping or self._refusals >= MOST_REFUSALS or left <= 0:
                yield self._end(ends, scan, before)
                return
            before += len(written)
            prompt = self._engine.extended(
                prompt, written, *self._answer(call), thinks=plan.resolved.thinks
            )

    def _scanned(
        self, steps: Iterator[Step], scan: CallScan, turn: Control, written: list[int]
    ) -> Generator[Step, None, Finished]:
        """Yield a turn's items with what is shown of their texts; return its end.

        A call stops the turn. What is shown of two turns stands apart.
        """
        apart = "\n\n" if self._shown else ""
        for step in steps:
            match step:
                case Token(id=token, text=text, forced=forced):
                    written.append(token)
                    text = scan.rest() + text if forced else scan.feed(text)
                    if scan.call is not None:
                        turn.stop()
                    if text:
                        text, apart, self._shown = apart + text, "", True
                    yield replace(step, text=text)
                case Progress():
                    yield step
                case Finished():
                    if step.stop_reason is StopReason.END:
                        scan.end()
                    return step
        raise AssertionError("the engine ended without Finished")

    @property
    def _close_tag(self) -> str:
        thinking = self._plan.resolved.thinking
        return thinking.close_tag if thinking.style is ThinkingStyle.PREOPENED else ""

    def _end(self, ends: list[Finished], scan: CallScan, before: int) -> Finished:
        """The end of the run, `before` tokens of whose last prompt the model had written itself."""
        last, reason = ends[-1], ends[-1].stop_reason
        if scan.call is not None and not self._control.stopping:
            endless = self._refusals >= MOST_REFUSALS
            reason = StopReason.LOOP if endless else StopReason.LENGTH
            text = (
                "the model goes on asking for regions: stopped"
                if endless
                else ("a region is asked for, and no token is left to answer with")
            )
            self._events.append(Notice("look", text))
        elif scan.call is not None:
            reason = self._control.reason
        return replace(
            _sum(ends),
            stop_reason=reason,
            tail=scan.rest() + last.tail,
            prompt_tokens=last.prompt_tokens - before,
        )

    def _answer(self, call: str) -> tuple[str, tuple[Picture, ...]]:
        """Return what the model is told, and the region if it is shown one."""
        found = self._cut(call)
        if isinstance(found, Refused):
            self._refusals += 1
            self._events.append(Notice("look", found.reason))
            if self._refusals == MOST_REFUSALS and not self._control.concluding:
                self._events.append(Notice("look", "the answer is asked for: no region is shown"))
                self._control.conclude(StopReason.LOOP)
            return found.reason.join(RESPONSE), ()
        self._events.append(self.regions.evidence[-1])
        return PICTURE.join(RESPONSE), (found,)

    def _cut(self, call: str) -> Picture | Refused:
        if self._control.concluding:
            return Refused("the answer is due: no further region is shown")
        zoom = read(call)
        if isinstance(zoom, Malformed):
            return Refused(zoom.reason)
        found = self._place(zoom)
        return found if isinstance(found, Refused) else self.regions.cut(*found)

    def _place(self, zoom: Zoom) -> tuple[int, Box] | Refused:
        """The picture that was given, and the place in it: in a region, in what that was cut of."""
        record, evidence = request_record(self._plan), self.regions.evidence
        given = len(record.images)
        if zoom.picture >= given + len(evidence):
            return Refused(f"there is no picture {zoom.picture}: they are counted from 0")
        if zoom.picture < given:
            number = zoom.picture
            shown = record.images[number]
        else:
            seen = evidence[zoom.picture - given]
            number = seen.picture
            part = Region(seen.x1, seen.y1, seen.x2 - seen.x1, seen.y2 - seen.y1)
            shown = replace(
                record.images[number],
                width_px=seen.width_px,
                height_px=seen.height_px,
                crop=part,
            )
        said = json.dumps({"bbox_2d": zoom.numbers, "label": zoom.label or ""})
        units = record.boxes or Coordinates.RELATIVE_1000
        [pointed] = report(said, [shown], units, asked=True)
        if not pointed.boxes:
            return Refused("bbox_2d is no region of the picture")
        self._events.extend(Notice("look", one.text) for one in pointed.problems)
        return number, replace(pointed.boxes[0], label=zoom.label)


def _sum(ends: list[Finished]) -> Finished:
    """The last end with the cost of all turns; what was kept of an earlier run was so at first."""
    last, efforts = ends[-1], [one.effort for one in ends]
    effort = Effort(
        drafter=efforts[0].drafter,
        passes=sum(one.passes for one in efforts),
        drafted_tokens=sum(one.drafted_tokens for one in efforts),
        accepted_tokens=sum(one.accepted_tokens for one in efforts),
        off=next((one.off for one in efforts if one.off), ""),
    )
    return replace(
        last,
        concluded=any(one.concluded for one in ends),
        peak_memory_bytes=max(one.peak_memory_bytes for one in ends),
        peaks=Peaks(
            load_bytes=last.peaks.load_bytes,
            encode_bytes=max(one.peaks.encode_bytes for one in ends),
            prefill_bytes=max(one.peaks.prefill_bytes for one in ends),
        ),
        cached_tokens=ends[0].cached_tokens,
        cached_images=ends[0].cached_images,
        effort=effort,
    )
