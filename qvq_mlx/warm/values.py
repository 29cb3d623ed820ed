"""The engine's values as JSON and bytes, and back.

Law: what comes back equals what was sent. Pictures travel once on a connection; after that they
have a number.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from enum import Enum
from pathlib import Path
from typing import Any, cast

from qvq_mlx import __version__
from qvq_mlx.core import errors, remedies
from qvq_mlx.core.card import ModelCard, Thinking
from qvq_mlx.core.clip import Clip, Visual
from qvq_mlx.core.errors import QvqError
from qvq_mlx.core.events import Event, Notice, Progress, StopReason
from qvq_mlx.core.image_options import Region
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.rounds import Round
from qvq_mlx.core.setup import Checkpoint
from qvq_mlx.core.tokens import (
    AnswerConstraint,
    Continuation,
    Control,
    Finished,
    Generation,
    Step,
    Token,
)
from qvq_mlx.records.typed import typed
from qvq_mlx.warm.frames import Frame

SPOKEN = f"2 {__version__}"
"""The protocol and the version of qvq: two processes that differ in it do not speak."""
_PIXELS = {"rgb", "frames"}


def described(checkpoint: Checkpoint) -> str:
    """Return a text that is equal for an equal card and an equal folder."""
    return json.dumps(asdict(checkpoint), default=_plain, sort_keys=True)


def of_checkpoint(checkpoint: Checkpoint) -> Frame:
    """Encode a card and a folder."""
    frame: Frame = json.loads(json.dumps(asdict(checkpoint), default=_plain))
    return frame


def checkpoint_from(frame: Frame) -> Checkpoint:
    """Decode them. Raises ValueError."""
    return Checkpoint(typed(ModelCard, frame["card"]), Path(frame["folder"]))


def _plain(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, frozenset | set) else str(value)


def of_step(step: Step | Event) -> list[Any]:
    """Encode an item of the engine's; a token as briefly as it can be."""
    if isinstance(step, Token):
        return ["t", step.id, step.text, step.forced, step.row]
    kind = {Progress: "p", Notice: "n", Finished: "f"}[type(step)]
    return [kind, asdict(step)]


def step_from(items: Sequence[Any]) -> Step | Notice:
    """Decode it. Raises ValueError."""
    kind, *values = items
    if kind == "t":
        return Token(*values)
    kinds: dict[str, type[Progress | Notice | Finished]] = {
        "p": Progress,
        "n": Notice,
        "f": Finished,
    }
    return typed(kinds[kind], values[0])


def of_control(control: Control) -> list[Any]:
    """Encode what is wished for now."""
    return [control.stopping, control.reason, control.concluding, control.conclusion]


def steer(control: Control, wishes: Sequence[Any]) -> None:
    """Have `control` wish for the same. Raises ValueError."""
    stopping, reason, concluding, conclusion = wishes
    if stopping:
        control.stop(StopReason(reason))
    if concluding:
        control.conclude(None if conclusion is None else StopReason(conclusion))


def of_generation(generation: Generation, kept: int | None) -> Frame:
    """Encode the settings of a generation; `kept` stands for its continuation."""
    held = generation.constraint
    return {
        "sampling": asdict(generation.sampling),
        "max_tokens": generation.max_tokens,
        "closing": generation.closing,
        "constraint": None
        if held is None
        else {
            "thinking": asdict(held.thinking),
            "schema": held.schema,
            "scripts": None if held.scripts is None else sorted(held.scripts),
        },
        "kept": kept,
        "kv_bits": generation.kv_bits,
        "ends": generation.ends,
    }


def generation_from(frame: Frame, continuation: Continuation | None) -> Generation:
    """Decode them. Raises ValueError."""
    held, constraint = frame["constraint"], None
    if held is not None:
        scripts = held["scripts"]
        thinking = typed(Thinking, held["thinking"])
        named = None if scripts is None else frozenset(scripts)
        constraint = AnswerConstraint(thinking, held["schema"], named)
    sampling = typed(Sampling, frame["sampling"])
    return Generation(
        sampling,
        frame["max_tokens"],
        frame["closing"],
        constraint,
        continuation,
        frame["kv_bits"],
        frame["ends"],
    )


def of_rounds(rounds: Sequence[Round]) -> list[Frame]:
    """Encode earlier rounds."""
    return [asdict(one) for one in rounds]


def rounds_from(value: Sequence[Frame]) -> tuple[Round, ...]:
    """Decode them. Raises ValueError."""
    return tuple(typed(Round, one) for one in value)


def of_visual(visual: Visual) -> tuple[Frame, tuple[bytes, ...]]:
    """Encode a picture or a clip, its pixels as bytes."""
    frame: Frame = {
        field.name: getattr(visual, field.name)
        for field in fields(visual)
        if field.name not in _PIXELS
    }
    if isinstance(visual, Picture):
        frame["crop"] = None if visual.crop is None else asdict(visual.crop)
        return frame, (visual.rgb,)
    return {**frame, "clip": len(visual.frames)}, visual.frames


def visual_from(frame: Frame, pixels: memoryview) -> Visual:
    """Decode it from what `of_visual` gave. Raises ValueError."""
    count = frame.pop("clip", None)
    if count is None:
        crop = None if frame["crop"] is None else typed(Region, frame.pop("crop"))
        return Picture(**{**frame, "crop": crop, "rgb": bytes(pixels)})
    each = len(pixels) // max(1, count)
    parts = tuple(bytes(pixels[at * each : (at + 1) * each]) for at in range(count))
    span = frame["span_s"] and tuple(frame["span_s"])
    return Clip(**{**frame, "times_s": tuple(frame["times_s"]), "span_s": span, "frames": parts})


def of_error(error: BaseException) -> Frame:
    """Encode why the engine failed."""
    if not isinstance(error, QvqError):
        return {"kind": "", "parts": [f"{type(error).__name__}: {error}"], "remedy": None}
    parts = [
        {"field": str(part)} if isinstance(part, remedies.Field) else part for part in error.parts
    ]
    remedy: object = None
    if isinstance(error.remedy, Enum):
        remedy = [type(error.remedy).__name__, error.remedy.name]
    elif error.remedy is not None:
        remedy = [type(error.remedy).__name__, asdict(error.remedy)]
    return {"kind": type(error).__name__, "parts": parts, "remedy": remedy}


def error_from(frame: Frame) -> QvqError:
    """Decode it as the same kind of error; a bug says that it is one."""
    parts = tuple(
        remedies.Field(part["field"]) if isinstance(part, dict) else str(part)
        for part in frame["parts"]
    )
    kind = getattr(errors, str(frame["kind"]), None)
    if not (isinstance(kind, type) and issubclass(kind, QvqError)):
        return QvqError((*parts, " (this is a bug)"), remedies.Show.TRACEBACK)
    error = QvqError.__new__(kind)
    QvqError.__init__(error, parts, _remedy_from(frame["remedy"]))
    return error


def _remedy_from(value: tuple[str, Any] | None) -> remedies.Remedy | None:
    """Decode a remedy; None for one that is not known."""
    if not value:
        return None
    kind = getattr(remedies, str(value[0]), None)
    if not isinstance(kind, type):
        return None
    found = kind[value[1]] if issubclass(kind, Enum) else typed(kind, value[1])
    return cast("remedies.Remedy", found)
