"""What a person reads of what a terminal gets."""

from __future__ import annotations

import re


def unstyled(text: str) -> str:
    """`text` without its colours and weights."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
