"""The answer as data: text, one JSON object, or one JSON object per event.

Law: text holds the answer and a newline, and only where the answer is whole; JSON is written in
either case and says which. JSON strings hold no control, no bidirectional control and no lone
surrogate unescaped, so the lines are safe on a terminal too and read back as they were.
"""

from __future__ import annotations

from dataclasses import asdict

from qvq_mlx.core.events import Done, Event, Notice, Transcript
from qvq_mlx.core.plan import Plan
from qvq_mlx.records.runs import (
    RequestRecord,
    boxes_record,
    event_to_json,
    request_record,
    result_record,
)
from qvq_mlx.render.clean import json_text
from qvq_mlx.render.sink import Sink
from qvq_mlx.reply.box import boxed


def boxed_or_whole(answer: str) -> str:
    """Return the last boxed value, or the answer where there is none, as `-x` prints it."""
    content = boxed(answer)
    return answer if content is None else content


def boxes_text(request: RequestRecord, answer: str, *, complete: bool) -> str:
    """Return the text of `--boxes`."""
    return json_text(asdict(boxes_record(request, answer, complete=complete)), indent=2) + "\n"


class TextDocument:
    """The answer and a newline; with `boxed_only` the last boxed value, where there is one."""

    def __init__(self, sink: Sink, *, boxed_only: bool) -> None:
        self._sink = sink
        self._boxed_only = boxed_only
        self._transcript = Transcript()

    def begin(self, plan: Plan) -> None:  # noqa: ARG002
        """Make sure of the place."""
        self._sink.open()

    def feed(self, event: Event) -> None:
        """Write once the answer is known to be whole."""
        self._transcript.add(event)
        if not isinstance(event, Done):
            return
        if not event.complete:
            self._sink.discard()
            return
        answer = self._transcript.answer
        self._sink.write((boxed_or_whole(answer) if self._boxed_only else answer) + "\n")
        self._sink.finish()

    def abort(self) -> None:
        """Leave nothing behind."""
        self._sink.discard()


class JsonDocument:
    """One object at the end: the whole run, or with `boxes` what its answer points at."""

    def __init__(self, sink: Sink, *, boxes: bool = False) -> None:
        self._sink = sink
        self._boxes = boxes
        self._transcript = Transcript()
        self._notices: list[Notice] = []
        self._request: RequestRecord | None = None

    def begin(self, plan: Plan) -> None:
        """Make sure of the place."""
        self._request = request_record(plan)
        self._sink.open()

    def feed(self, event: Event) -> None:
        """Collect, and write at Done."""
        self._transcript.add(event)
        if isinstance(event, Notice):
            self._notices.append(event)
        if not isinstance(event, Done):
            return
        assert self._request is not None, "begin() comes first"
        if self._boxes:
            answer = self._transcript.answer
            self._sink.write(boxes_text(self._request, answer, complete=event.complete))
        else:
            record = result_record(self._request, self._transcript, tuple(self._notices), event)
            self._sink.write(json_text(asdict(record), indent=2) + "\n")
        self._sink.finish()

    def abort(self) -> None:
        """Leave nothing behind."""
        self._sink.discard()


class JsonlDocument:
    """The request, then the events as they happen, each on a line of its own."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def begin(self, plan: Plan) -> None:
        """The head."""
        self._sink.open()
        self._sink.write(json_text(asdict(request_record(plan))) + "\n")

    def feed(self, event: Event) -> None:
        """One line."""
        self._sink.write(json_text(event_to_json(event)) + "\n")
        if isinstance(event, Done):
            self._sink.finish()

    def abort(self) -> None:
        """Leave no half file behind."""
        self._sink.discard()
