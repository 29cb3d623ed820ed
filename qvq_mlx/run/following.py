"""Inherit from a saved run what a follow-up needs.

Law: a follow-up inherits the model, the system message, the pictures with the way they were looked
at, and every earlier round, unless the user says otherwise. A question that came to no whole answer
hands on its pictures and is itself no round. A run that was saved before sources were recorded
hands on its images as plain files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qvq_mlx import history
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import InputError, QvqError
from qvq_mlx.core.image_options import ImageOptions
from qvq_mlx.core.remedies import Show
from qvq_mlx.core.rounds import Round, Shown, Source
from qvq_mlx.history import attachments, latest
from qvq_mlx.records.runs import RequestRecord
from qvq_mlx.store import registry

_ID = re.compile(r"[0-9a-f]{8}|[0-9]{8}-[0-9]{6}[0-9a-f-]*")
_SHORT = re.compile(r"[0-9a-f]{4,7}")


@dataclass(frozen=True, slots=True)
class Past:
    """The past of a follow-up. `system` None: none was sent.

    `model` is what `-m` takes; `own_system`: the system message was not the model's own.
    """

    id: str
    model: str
    system: str | None
    rounds: tuple[Round, ...]
    shown: tuple[Shown, ...]
    own_system: bool = False

    def system_for(self, model: str | None) -> str | None:
        """Return the system message for a request to `model`; None: the same model."""
        if model is None or self.own_system:
            return self.system or ""
        return None  # the other model's own


def past_of(run: history.Run, history_folder: Path) -> Past:
    """Return what `run` hands on."""
    record = run.request
    sources = sources_of(record)
    rounds = record.rounds
    if run.done is not None and run.done.complete:
        told = sum(past.pictures for past in rounds)
        own = sum(source.pictures for source in sources) - told
        rounds = (*rounds, Round(record.question, run.transcript.answer.strip("\n"), own))
    model = record.model_argument or record.model
    return Past(
        id=run.id,
        model=model,
        system=record.system,
        rounds=rounds,
        shown=shown_of(record, history_folder),
        own_system=record.system != _default_system(model),
    )


def run_of(
    arguments: Sequence[str],
    history_folder: Path,
    cache_folder: Path | None,
    env: Env,
) -> tuple[history.Run, list[str]]:
    """The run that `ask -c ARGUMENTS` goes on from, and what is left of the arguments.

    Where the first one has the form of a run's id or file name it is that run, and where it is a
    short id, as `qvq log list` shows them, and there is such a run; else it is the last run.
    Raises InputError where there is none, or more than one, and where the last run of this
    terminal could not be saved: an older one is not what is meant. Newer files that cannot be read
    are left out, and stderr says so.
    """
    first = arguments[0] if arguments else ""
    is_short = _SHORT.fullmatch(first) and any(
        file.id.startswith(first) for file in history.files(history_folder)
    )
    if not is_short and not _ID.fullmatch(first):
        if latest.is_unsaved(filter(None, (history_folder, cache_folder))):
            raise InputError(
                "the last run of this terminal could not be saved, so it cannot be followed;"
                " name the run that is meant by its id",
                Show.RUNS,
            )
        from qvq_mlx.run.left_out import warn

        run, skipped = history.newest(history_folder)
        warn(env, skipped)
        return run, list(arguments)
    return history.find(history_folder, first), list(arguments[1:])


def _default_system(model: str) -> str | None:
    try:
        return registry.find(model).system
    except QvqError:
        return None


def shown_of(record: RequestRecord, history_folder: Path) -> tuple[Shown, ...]:
    """Return the sources of a run, with the bytes that were kept of them."""
    folder = attachments.folder_in(history_folder)
    return tuple(
        Shown(source, attachments.find(source.sha256, folder)) for source in sources_of(record)
    )


def sources_of(record: RequestRecord) -> tuple[Source, ...]:
    """Return the sources of a run. An early version has images only, taken for plain files."""
    if record.sources or not record.images:
        return record.sources
    return tuple(Source(image.path, ImageOptions(), image.sha256, 1) for image in record.images)
