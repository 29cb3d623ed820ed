"""qvq: ask a visual-reasoning model about an image, on your own machine.

From Python: `from qvq_mlx import answer, ask, Model, Options`. Importing this loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qvq_mlx.library import Event, Image, Model, Options, QvqError, Result, answer, ask

__version__ = "0.1.0"

__all__ = ["Event", "Image", "Model", "Options", "QvqError", "Result", "answer", "ask"]


def __getattr__(name: str) -> object:
    """Import and return what `__all__` names, when it is asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("qvq_mlx.library"), name)
