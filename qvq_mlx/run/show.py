"""One run on the screen: events to the renderer, signals to the control, `Done` to an exit code.

Law: however a run ends, the terminal is put back first, and then the stream is pulled to its
`Done`, so that what is saved says why. An exception of the engine's own has ended the stream.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from qvq_mlx import render
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ExitCode
from qvq_mlx.core.events import Done, Event
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.remedies import Field
from qvq_mlx.core.request import Output, Request
from qvq_mlx.core.tokens import Control
from qvq_mlx.records.runs import request_record
from qvq_mlx.render.plain import Together
from qvq_mlx.run.ask import ask
from qvq_mlx.run.outputs import check_outputs, checkpoint_files, outputs_of
from qvq_mlx.run.plan import make_plan
from qvq_mlx.run.pointed import Pointed, targets
from qvq_mlx.run.resident import ResidentModel
from qvq_mlx.run.signals import Interrupts, ending, handled
from qvq_mlx.run.verdict import failure
from qvq_mlx.settings.config import Settings
from qvq_mlx.system.streams import reader_gone

if TYPE_CHECKING:
    from qvq_mlx.render.type_ahead import TypeAhead


def run(
    request: Request,
    output: Output,
    env: Env,
    settings: Settings,
    loaded: ResidentModel | None = None,
    witness: render.Renderer | None = None,
    ahead: TypeAhead | None = None,
) -> ExitCode:
    """Ask, show, and judge how it ended. Raises a QvqError where there is no whole answer.

    `loaded` keeps the model for the next question; `witness` is shown what the screen is. `ahead`
    gets what a person types meanwhile; None: the shell gets it back.
    """
    control, keeps = Control(), settings.keeps(request.policy)
    wishes = render.Wishes(control.conclude, control.stop, ahead)
    renderer = render.renderer(env, output, saved=keeps, wishes=wishes)
    if witness is not None:
        renderer = Together([witness, renderer])
    pointed = Pointed(output, env)
    plan = make_plan(request, env, settings)
    _check_outputs(plan, output, env)
    pointed.begin(plan)
    screens = [stream for stream in (env.stdout, env.stderr) if stream.isatty()]
    watched = env.stdout.isatty() and not env.in_script()
    can_conclude = watched and bool(plan.resolved.thinking.closing)
    interrupts = Interrupts(control, can_conclude=can_conclude)
    events = ask(plan, env, settings, control, loaded)
    done: Done | None = None
    with handled(interrupts):
        try:
            renderer.begin(plan)
            for event in events:
                if output.file is None and reader_gone(env.stdout):
                    raise BrokenPipeError  # before minutes are spent for nobody
                interrupts.saw(event)
                pointed.feed(event)
                if isinstance(event, Done):
                    done = event
                renderer.feed(event)
        except BaseException as error:
            with interrupts.held():
                renderer.abort()
            if done is None:
                _pull_to_the_end(events, control)
            if isinstance(error, OSError) and not all(screen.isatty() for screen in screens):
                raise ending(signal.SIGHUP, "the terminal went away", None) from error
            raise
    assert done is not None, "the stream ended without Done"
    pointed.finish(done)
    failed = failure(done, plan, interrupts.ended_by, saved=keeps)
    if failed is not None:
        raise failed
    return ExitCode.OK


def _check_outputs(plan: Plan, output: Output, env: Env) -> None:
    """Raise UsageError where what is written would replace what is read."""
    record = request_record(plan)
    pictures = [*plan.request.images, *(image.path for image in record.images)]
    pictures += [source.path or source.name for source in plan.sources]
    drawn = targets(output.annotate, len(record.images)) if output.annotate else ()
    outputs = outputs_of(((Field.OUTPUT, output.file), *((Field.ANNOTATE, one) for one in drawn)))
    check_outputs(outputs, pictures, env, checkpoint_files(plan.resolved) if outputs else ())


def _pull_to_the_end(events: Iterator[Event], control: Control) -> None:
    """Pull a run that nobody watches any more to its `Done`, which is saved."""
    control.stop()
    with suppress(Exception):  # the one that ended the run is the one to tell
        for _ in events:
            pass
