"""What a training run learns from: the pictures and questions of one generation (numpy).

Law: `train` knows nothing of a generation but what stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.tiny import packing, pictures, replies
from tools.tiny.second import packing as second_packing
from tools.tiny.second import pictures as second_pictures
from tools.tiny.second import replies as second_replies

Source = Callable[[int, Path, Path | None, int, bool], Iterator[packing.Batch]]


@dataclass(frozen=True, slots=True)
class Lessons:
    """One generation: its batches, and the sizes that follow from them."""

    batches: Source
    encoder: Callable[[Path], packing.Encoder]
    tasks: tuple[str, ...]
    labels: int  # what the grounding head can say of a cell
    row_tokens: int


def of(generation: str) -> Lessons:
    """The lessons of the `first` or the `second` generation."""
    if generation == "first":
        return Lessons(
            packing.batches,
            packing.Encoder,
            replies.TASKS,
            len(pictures.LABELS),
            packing.ROW_TOKENS,
        )
    return Lessons(
        second_packing.batches,
        second_packing.encoder,
        second_replies.TASKS,
        len(second_pictures.LABELS),
        second_packing.ROW_TOKENS,
    )
