"""Show a run. `renderer` picks; a renderer takes the events of one run.

Law: stdout gets the answer, and more only where it is a terminal; what a person watches is drawn
on the terminal that is there, and where there is none nothing is drawn. This package is the only
home of rich, which is loaded when a renderer needs it and not before.

| stdout | stderr | stdout gets | stderr gets |
|---|---|---|---|
| terminal | any | receipts, live thinking, one line for it, the answer as Markdown | warnings |
| other, or `-o`, `--json`, `--jsonl` | terminal | the document | a status that erases itself |
| other | other | the document | errors, notes of a forced answer; `-v`: stages |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import AskAgain, Field, Show
from qvq_mlx.core.request import Output, OutputForm, ThinkingView

if TYPE_CHECKING:  # what only prints a line needs no plan
    from qvq_mlx.core.events import Event
    from qvq_mlx.core.plan import Plan
    from qvq_mlx.render.type_ahead import TypeAhead


@dataclass(frozen=True, slots=True)
class Wishes:
    """Wishes that a person states with a key: the answer now, or the end.

    `ahead` gets what is typed meanwhile and is no key; None: the shell gets it back.
    """

    answer_now: Callable[[], None] = lambda: None
    stop: Callable[[], None] = lambda: None
    ahead: TypeAhead | None = None


_NO_WISHES = Wishes()


class Renderer(Protocol):
    """Shows one run: `begin`, then `feed` for every event up to `Done`, or `abort` at any time."""

    def begin(self, plan: Plan) -> None:
        """Before the first event. Raises OutputError where the answer could not be written."""

    def feed(self, event: Event) -> None:
        """Show one event. At `Done` the screen is left as it should stay."""

    def abort(self) -> None:
        """An exception ended the run: restore the terminal and print nothing."""


def renderer(
    env: Env,
    output: Output,
    *,
    saved: bool = True,
    wishes: Wishes = _NO_WISHES,
) -> Renderer:
    """The renderer for these streams and this wish.

    `saved`: the run will be in the history, so the screen may name the command that shows the
    thinking again. `wishes` are called when a person presses the key for it. Raises UsageError
    where a tail was asked for and there is nowhere to draw it.
    """
    on_stdout = env.stdout.isatty() and output.form is OutputForm.TEXT and output.file is None
    return _person(env, output, saved, wishes) if on_stdout else _document(env, output, wishes)


def _person(env: Env, output: Output, saved: bool, wishes: Wishes) -> Renderer:
    from qvq_mlx.render.opening import Manner
    from qvq_mlx.render.tty import Screen
    from qvq_mlx.render.unmarked import Unmarked

    default = ThinkingView.NONE if output.quiet else ThinkingView.TAIL
    manner = Manner(
        view=output.view or default,
        answers=True,
        boxed_only=output.boxed_only,
        quiet=output.quiet,
        verbose=output.verbose,
        hint=env.spelling.remedy(Show.LAST_THINKING) if saved else "",
    )
    return Unmarked(Screen(env, manner=manner, wishes=wishes))


def _document(env: Env, output: Output, wishes: Wishes) -> Renderer:
    from qvq_mlx.render.documents import (
        JsonDocument,
        JsonlDocument,
        TextDocument,
    )
    from qvq_mlx.render.plain import Together
    from qvq_mlx.render.sink import FileSink, StreamSink

    sink = StreamSink(env.stdout) if output.file is None else FileSink(output.file)
    document: Renderer
    match output.form:
        case OutputForm.TEXT:
            document = TextDocument(sink, boxed_only=output.boxed_only)
        case OutputForm.JSON:
            document = JsonDocument(sink)
        case OutputForm.JSONL:
            document = JsonlDocument(sink)
        case OutputForm.BOXES:
            document = JsonDocument(sink, boxes=True)
    return Together([*_beside(env, output, wishes), document])


def _beside(env: Env, output: Output, wishes: Wishes) -> list[Renderer]:
    """Return the renderer of stderr while the document is made."""
    # one terminal cannot hold lines that come as they happen and an area that is redrawn
    torn = output.form is OutputForm.JSONL and output.file is None and env.stdout.isatty()
    drawable = env.stderr.isatty() and not torn
    if output.view is ThinkingView.TAIL and not drawable:
        if torn:
            text = (
                Field.THINKING,
                f" {ThinkingView.TAIL} and ",
                Field.JSONL,
                " need two terminals",
            )
            raise UsageError(text, AskAgain(((Field.JSONL, ""),)))
        raise UsageError(
            (Field.THINKING, f" {ThinkingView.TAIL} needs a terminal"),
            AskAgain(((Field.THINKING, ThinkingView.FULL),)),
        )
    if drawable:
        if output.quiet and output.view in (None, ThinkingView.LINE, ThinkingView.NONE):
            from qvq_mlx.render.plain import UnsavedNotes

            return [UnsavedNotes(env.stderr)]
        from qvq_mlx.render.opening import Manner
        from qvq_mlx.render.tty import Screen
        from qvq_mlx.render.unmarked import Unmarked

        view = output.view or ThinkingView.LINE
        manner = Manner(view, answers=False, quiet=output.quiet, verbose=output.verbose)
        return [Unmarked(Screen(env, manner=manner, wishes=wishes))]
    from qvq_mlx.render.plain import ForcedNotes, StageLines, ThinkingText, UnsavedNotes

    beside: list[Renderer] = []
    if output.verbose:
        beside.append(StageLines(env.stderr, env.clock))  # it prints every notice
    else:
        beside.append(UnsavedNotes(env.stderr))
        if not output.quiet:
            beside.append(ForcedNotes(env.stderr))
    if output.view is ThinkingView.FULL:
        beside.append(ThinkingText(env.stderr))
    return beside
