"""Show what an answer points at, once it stands: on an annotated file, in the terminal.

Law: where a file cannot be written, or is one of the pictures, is known before the run. The run's
own screen has ended when anything is drawn here. Where the answer points at nothing, no file is
written and that is the error; a cut-off answer's whole boxes are drawn, and the run's error stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.clip import Clip
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import NoAnswerError, QvqError, UsageError
from qvq_mlx.core.events import Done, Event, Looked, Transcript
from qvq_mlx.core.places import Box, PointedImage
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.remedies import AskAgain, AskFor, Field, Show
from qvq_mlx.core.request import Output, OutputForm
from qvq_mlx.records.runs import (
    ImageRecord,
    RequestRecord,
    backgrounds_of,
    places_of,
    pointed_at,
    request_record,
)
from qvq_mlx.render.clean import clean_line
from qvq_mlx.run.outputs import NamedFile, check_outputs, run_files
from qvq_mlx.settings.config import Settings
from qvq_mlx.store import registry

if TYPE_CHECKING:
    from qvq_mlx.history import Run
    from qvq_mlx.images.originals import Kept

_MARGIN_ROWS = 6  # of the window, left for the prompt and the end of the answer


class Pointed:
    """One run's `--annotate` and `--show`, and the places below an answer on a terminal."""

    def __init__(self, output: Output, env: Env) -> None:
        """Raises UsageError where what was asked for cannot be done."""
        if output.show and not env.stdout.isatty():
            drawn = AskAgain(((Field.ANNOTATE, "annotated.png"),))
            raise UsageError((Field.SHOW, " needs a terminal"), drawn)
        self._output = output
        self._env = env
        self._transcript = Transcript()
        self._request: RequestRecord | None = None
        self._kept: dict[str, bytes] = {}

    def begin(self, plan: Plan) -> None:
        """Before the first event. Raises OutputError where the file could not be written."""
        self._request = request_record(plan)
        self._kept = {attachment.sha256: attachment.data for attachment in plan.attachments}
        if self._output.needs_originals and not plan.pictures:
            field = Field.ANNOTATE if self._output.annotate else Field.SHOW
            raise UsageError((field, " needs an image, and none is asked about"), Show.ASK_HELP)
        for clip in (visual for visual in plan.pictures if isinstance(visual, Clip)):
            if self._output.needs_originals:
                raise UsageError(
                    (
                        f"{clip.name} is a video, and ",
                        Field.ANNOTATE,
                        " and ",
                        Field.SHOW,
                        " draw on pictures",
                    ),
                    AskAgain(((Field.BOXES, ""),)),
                )
        if self._output.annotate is not None:
            check(self._output.annotate, self._request.images)

    def feed(self, event: Event) -> None:
        """Keep in step with the stream."""
        self._transcript.add(event)

    def finish(self, done: Done) -> None:
        """After `Done`. Raises InputError, OutputError or NoAnswerError for `--annotate`."""
        assert self._request is not None, "begin() comes first"
        output, asked = self._output, self._output.needs_originals
        person = self._env.stdout.isatty() and output.form is OutputForm.TEXT
        lists = person and not (output.quiet or output.boxed_only or output.file)
        if not (lists or asked):
            return
        pointing = pointed_at(self._request, self._transcript.answer, asked=asked)
        drawn = with_regions(pointing, done.evidence)
        if lists:
            from qvq_mlx.render.places import listed, say

            places = [self._env.spelling.sentence(line) for line in listed(pointing)]
            say(self._env, ["", *places] if places else [])
        written: tuple[Path, ...] = ()
        if self._output.annotate is not None:
            written = annotate(self._output.annotate, self._request, drawn, self._kept.get)
            if self._env.stderr.isatty() and not self._output.quiet:
                names = ", ".join(str(path) for path in written)
                self._env.stderr.write(clean_line(f"annotated: {names or 'nothing'}") + "\n")
        if self._output.show:
            self._show(self._request, drawn)
        if self._output.annotate is not None and not written and done.complete:
            raise _nothing(self._output.annotate)

    def _show(self, request: RequestRecord, pointing: Sequence[PointedImage]) -> None:
        """The pictures with what is pointed at, or a line that says why not."""
        from qvq_mlx.images.annotate import preview
        from qvq_mlx.images.originals import redrawn
        from qvq_mlx.render import preview as terminal
        from qvq_mlx.render.places import say

        how = terminal.protocol(self._env)
        if how is None:
            hint = ("; ", Field.ANNOTATE, " OUT.png writes a file")
            told = ("this terminal shows no pictures", *(() if self._output.annotate else hint))
            say(self._env, [self._env.spelling.sentence(told)])
            return
        rows = max(4, self._env.terminal_size().lines - _MARGIN_ROWS)
        grounds = backgrounds_of(request)
        for record, pointed, ground in zip(request.images, pointing, grounds, strict=True):
            image = redrawn(record.path, record.sha256, pointed, self._kept.get, ground)
            png = preview(image, terminal.LONGEST_PX)
            self._env.stdout.flush()
            if not terminal.show(self._env, png, how, rows):
                say(self._env, ["the terminal did not take the picture"])
                return


def with_regions(
    pointing: Sequence[PointedImage], evidence: Sequence[Looked]
) -> tuple[PointedImage, ...]:
    """The places with the regions that were looked at, as boxes with a name of their own."""
    return tuple(
        replace(
            one,
            boxes=(*one.boxes, *(_box(seen) for seen in evidence if seen.picture == number)),
        )
        for number, one in enumerate(pointing)
    )


def _box(seen: Looked) -> Box:
    name = f"looked closer: {seen.label}" if seen.label else "looked closer"
    return Box(name, seen.x1, seen.y1, seen.x2, seen.y2)


def check(path: Path, seen: Sequence[ImageRecord]) -> None:
    """True if every file that may come of `--annotate` can be written. Raises OutputError."""
    from qvq_mlx.images.annotate import Target

    for name in targets(path, len(seen)):
        Target(name).check()


def draw_again(run: Run, path: Path, settings: Settings, env: Env) -> tuple[Path, ...]:
    """`--annotate` for a saved run: originals are read from the disk, or were kept beside the runs.

    Raises UsageError where it would replace an original, OutputError, InputError where an original
    is gone or changed, NoAnswerError where the answer points at nothing.
    """
    from qvq_mlx.history import attachments

    folder = attachments.folder_in(settings.history_folder)
    images = zip(run.request.images, places_of(run.request), strict=True)
    request = replace(run.request, images=tuple(replace(one, path=place) for one, place in images))
    outputs = [NamedFile(Field.ANNOTATE, name) for name in targets(path, len(request.images))]
    check_outputs(outputs, [image.path for image in request.images], env, run_files(run))
    check(path, request.images)
    found = pointed_at(with_coordinates(request, settings), run.transcript.answer, asked=True)
    pointing = with_regions(found, run.done.evidence if run.done else ())
    written = annotate(path, request, pointing, lambda sha256: attachments.find(sha256, folder))
    if not written:
        raise _nothing(path)
    return written


def with_coordinates(request: RequestRecord, settings: Settings) -> RequestRecord:
    """`request`, where it does not say what numbers mean, with what its model's card says."""
    if request.boxes is not None:
        return request
    try:
        card = registry.find(request.model, settings.cards_folder)
    except QvqError:  # the card is gone; most models count in thousandths
        return request
    return replace(request, boxes=card.boxes)


def _nothing(path: Path) -> NoAnswerError:
    return NoAnswerError(
        f"the answer points at nothing; {path} is not written",
        AskFor("Outline every ... as a box, in JSON"),
    )


def targets(path: Path, count: int) -> tuple[Path, ...]:
    """`path` for one image; for several `NAME-1.png`, `NAME-2.png` by their place in the prompt."""
    if count < 2:
        return (path,)
    return tuple(path.with_name(f"{path.stem}-{n}{path.suffix}") for n in range(1, count + 1))


def annotate(
    path: Path, request: RequestRecord, pointing: Sequence[PointedImage], kept: Kept
) -> tuple[Path, ...]:
    """Write each image in which something is pointed at, and return the files.

    Raises InputError where an original is gone or changed, OutputError where a file cannot be
    written.
    """
    from qvq_mlx.images.annotate import Target
    from qvq_mlx.images.originals import redrawn

    written = []
    names, grounds = targets(path, len(pointing)), backgrounds_of(request)
    for name, record, pointed, ground in zip(names, request.images, pointing, grounds, strict=True):
        if pointed.count:
            Target(name).write(redrawn(record.path, record.sha256, pointed, kept, ground))
            written.append(name)
    return tuple(written)
