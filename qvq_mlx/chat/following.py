"""What a saved run hands on to a question that follows it.

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
from typing import Any

from qvq_mlx import history, keepsakes
from qvq_mlx.core.errors import InputError, QvqError
from qvq_mlx.core.events import Done, fold
from qvq_mlx.core.look import Crop, Detail, Look, Pages
from qvq_mlx.core.records import Json
from qvq_mlx.core.rounds import Round, Shown, Source
from qvq_mlx.store import registry

_ID = re.compile(r"[0-9]{8}-[0-9]{6}[0-9a-f-]*")


@dataclass(frozen=True, slots=True)
class Past:
    """What stands before a follow-up. `system` None: none was sent.

    `model` is what `-m` takes; `own_system`: the system message was not the model's own.
    """

    id: str
    model: str
    system: str | None
    rounds: tuple[Round, ...]
    shown: tuple[Shown, ...]
    own_system: bool = False

    def system_for(self, model: str | None) -> str | None:
        """What a request for `model` says of the system message; None: the same model."""
        if model is None or self.own_system:
            return self.system or ""
        return None  # the other model's own


def past_of(run: history.Run, history_folder: Path) -> Past:
    """What `run` hands on. Raises InputError for a record that holds no question."""
    record = run.request
    try:
        sources = _sources(record)
        rounds = tuple(
            Round(str(past["question"]), str(past["answer"]), int(past["pictures"]))
            for past in record.get("rounds", ())
        )
        name, system = str(record["model"]), record["system"]
        question = str(record["question"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{run.path} is no run that can be followed: {error!r}") from error
    if any(isinstance(event, Done) and event.complete for event in run.events):
        told = sum(past.pictures for past in rounds)
        own = sum(source.pictures for source in sources) - told
        rounds = (*rounds, Round(question, fold(run.events).answer.strip("\n"), own))
    folder = keepsakes.folder_in(history_folder)
    model = str(record.get("model_argument") or name)
    return Past(
        id=run.path.stem,
        model=model,
        system=system,
        rounds=rounds,
        shown=tuple(Shown(source, keepsakes.find(source.sha256, folder)) for source in sources),
        own_system=system != _default_system(model),
    )


def run_of(arguments: Sequence[str], history_folder: Path) -> tuple[history.Run, list[str]]:
    """The run that `ask -c ARGUMENTS` goes on from, and what is left of the arguments.

    Where the first one has the form of a run's id, or of its beginning down to the second, it is
    that run; else it is the last one. Raises InputError where there is none.
    """
    if not arguments or not _ID.fullmatch(arguments[0]):
        return history.last(history_folder), list(arguments)
    found = sorted(history_folder.glob(f"{arguments[0]}*.jsonl"))
    if len(found) != 1:
        count = "no run" if not found else f"more than one run ({len(found)})"
        raise InputError(f"{count} is called {arguments[0]}…", f"ls {history_folder}")
    return history.load(found[0]), list(arguments[1:])


def _default_system(model: str) -> str | None:
    try:
        return registry.find(model).system
    except QvqError:
        return None


def _sources(record: Json) -> list[Source]:
    if "sources" in record:
        return [
            Source(str(one["name"]), _look(one["look"]), str(one["sha256"]), int(one["pictures"]))
            for one in record["sources"]
        ]
    return [Source(str(one["path"]), Look(), str(one["sha256"]), 1) for one in record["images"]]


def _look(values: dict[str, Any]) -> Look:
    """A `Look` out of JSON. A field that is not there has its default."""
    plain = Look()
    detail, crop = values.get("detail", plain.detail), values.get("crop")
    ranges = values.get("pages", {}).get("ranges", ())
    return Look(
        detail=int(detail) if isinstance(detail, int) else Detail(detail),
        crop=None if crop is None else Crop(**crop),
        pages=Pages(tuple((int(first), last) for first, last in ranges)),
        background=str(values.get("background", plain.background)),
    )
