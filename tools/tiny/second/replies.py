"""What a question and its reply are made of, with answers that point; standard library only.

Law: as in `tools.tiny.replies`. A box is written as Qwen2-VL writes it, in thousandths.
"""

from __future__ import annotations

from dataclasses import dataclass

from tools.tiny.second.scenes import Box

# Asked about one picture and answered in a LaTeX box.
BOXED_TASKS = (
    *("count", "attribute", "chart", "arithmetic", "describe"),
    *("compare", "position", "read"),
)
# `find` and `locate` are answered with boxes; `crop` is asked about a page and a part of it.
TASKS = (*BOXED_TASKS, "find", "locate", "crop")


@dataclass(frozen=True, slots=True)
class Example:
    """One question with the thinking and the answer it should get.

    `spoken`: what follows the closing; a LaTeX box with the answer, or boxes in the picture.
    """

    task: str
    question: str
    thinking: str
    answer: str
    places: tuple[Place, ...] = ()

    @property
    def spoken(self) -> str:
        """The answer as it is written."""
        if self.places:
            return ", ".join(place.text for place in self.places)
        return f"\\boxed{{{self.answer}}}"


@dataclass(frozen=True, slots=True)
class Place:
    """A named box in a picture, in thousandths of its width and height."""

    name: str
    left: int
    top: int
    right: int
    bottom: int

    @property
    def text(self) -> str:
        """The form of Qwen2-VL."""
        return (
            f"<|object_ref_start|>{self.name}<|object_ref_end|>"
            f"<|box_start|>({self.left},{self.top}),({self.right},{self.bottom})<|box_end|>"
        )


def place(name: str, box: Box) -> Place:
    """The box in thousandths, inside the picture."""
    left, top, right, bottom = (max(0, min(1000, round(v * 1000))) for v in box)
    return Place(name, left, top, right, bottom)
