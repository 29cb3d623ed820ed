"""A question as it was typed becomes a request, and is run on the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.image_options import ImageOptions
from qvq_mlx.core.remedies import Field
from qvq_mlx.core.request import (
    Limits,
    Method,
    Origin,
    Output,
    OutputForm,
    Policy,
    PromptOptions,
    Request,
    SamplingOverrides,
)

if TYPE_CHECKING:  # `qvq ask --help` reads this module
    from qvq_mlx.core.card import ModelCard
    from qvq_mlx.run.following import Past
    from qvq_mlx.run.world import World


@dataclass(frozen=True, slots=True)
class Sources:
    """The images and the question as they were typed.

    `follow`: from an earlier run too, which the first of `arguments` may name. `files` are read
    besides. `short`: the command line, where the command `ask` was not typed.
    """

    arguments: Sequence[str]
    images: Sequence[str]
    question: str | None
    follow: bool
    files: Sequence[Path]
    short: str


@dataclass(frozen=True, slots=True)
class Given:
    """The options of a question; None: not given."""

    model: str | None
    system: str | None
    limits: Limits
    sampling: SamplingOverrides
    method: Method
    policy: Policy


ReadAs = Callable[[Sequence[str]], tuple[ImageOptions, ...]]
"""How each of these images is read."""
Inputs = Callable[[Sources, Sequence[str]], tuple[tuple[str, ...], str | None]]
"""The images among the arguments in the order of the prompt, and the question, if any."""


def ask_as_typed(
    world: World,
    sources: Sources,
    given: Given,
    read: ReadAs,
    output: Output,
    inputs: Inputs,
    pull: Callable[[World, ModelCard], None],
) -> int:
    """Make the request, and run it on the screen. `inputs` tells images from the question."""
    from qvq_mlx.run.choose import addressed
    from qvq_mlx.run.ending import notifying
    from qvq_mlx.run.outputs import check_outputs, outputs_of
    from qvq_mlx.run.piped import asked
    from qvq_mlx.run.show import run

    env, settings = world.env, world.settings
    past, arguments, saved = _past(sources, world)
    images, text = inputs(sources, arguments)
    sent = asked(text, env, stdin_is_image="-" in images)
    named = given.model or (past.model if past else None)
    inherits = past is not None and given.system is None
    request = Request(
        question=sent.question,
        images=images,
        model=named or "",
        image_options=read(images),
        rounds=past.rounds if past else (),
        earlier=past.shown if past else (),
        prompt=PromptOptions(past.system_for(given.model) if past and inherits else given.system),
        limits=given.limits,
        sampling=given.sampling,
        method=given.method,
        policy=given.policy,
        origin=Origin(past.id if past else None, piped_characters=sent.piped_characters),
    )
    request = addressed(env, settings, request, partial(pull, world))
    is_watched = env.stdout.isatty() and output.form is OutputForm.TEXT
    if output.view is None and is_watched and not (output.file or output.quiet):
        # the config file speaks of the screen, not of pipes and files
        output = replace(output, view=settings.view)
    outputs = outputs_of(((Field.OUTPUT, output.file), (Field.ANNOTATE, output.annotate)))
    check_outputs(outputs, images, env, (*sources.files, *saved))
    with notifying(env, settings, "the run"):
        return run(request, output, env, settings)


def _past(sources: Sources, world: World) -> tuple[Past | None, Sequence[str], Sequence[Path]]:
    """Find the run that the question follows; return the other arguments and the run's files too.

    Raises InputError.
    """
    if not sources.follow:
        return None, sources.arguments, ()
    from qvq_mlx.run.following import past_of, run_of
    from qvq_mlx.run.outputs import run_files

    folder = world.settings.history_folder
    earlier, rest = run_of(sources.arguments, folder, world.settings.cache_folder, world.env)
    return past_of(earlier, folder), rest, run_files(earlier)
