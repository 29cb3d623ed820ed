"""Closer looks at regions of a picture: how many, and in which way the model asks for one.

Law: nothing here is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

AUTO_REGIONS = 3
"""The most that are looked at where nobody said how many."""


class LookForm(StrEnum):
    """The ways to ask for a region."""

    POINTING = "pointing"
    """The model is first asked where to look, and answers with a box."""
    TOOL = "tool"
    """The model calls a tool, with a box, while it thinks."""


@dataclass(frozen=True, slots=True)
class Look:
    """The model may look closer at `most` regions."""

    form: LookForm
    most: int
