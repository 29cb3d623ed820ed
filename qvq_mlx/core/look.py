"""Closer looks at regions of a picture: how many, and in which way the model asks for one.

Law: nothing here is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

AUTO_REGIONS = 3
"""The most that are looked at where nobody said how many."""

ZOOM_TOOL = "image_zoom_in_tool"
"""The name of the tool in the makers' own training."""
RESPONSE = ("<tool_response>\n", "\n</tool_response>")
"""The text around what a tool gives back, in a message of the user's."""


class LookForm(StrEnum):
    """The ways to ask for a region."""

    POINTING = "pointing"
    """The model is first asked where to look, and answers with a box."""
    TOOL = "tool"
    """The model calls a tool, with a box, while it thinks."""


@dataclass(frozen=True, slots=True)
class Look:
    """The model may look closer at `most` regions. `system` is the system message that
    offers the tool; '' where it points.
    """

    form: LookForm
    most: int
    system: str = ""
